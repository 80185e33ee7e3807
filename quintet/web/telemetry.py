"""What can be seen of the service from outside: numbers for Prometheus, lines for a log.

Neither holds an id, a key or anything that was sent: routes go by their template, people not at
all.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = (0, 1, 2, 5, 10, 20, 50, 100, 200)
SCORES = (-8, -4, -2, -1, 0, 1, 2, 4, 8, 16)
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The numbers of one service; several workers add theirs up through a shared folder."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        own = {"registry": registry, "namespace": "quintet"}
        self.requests = Counter("requests", "answers", ["route", "status"], **own)
        self.seconds = Histogram("request_seconds", "to answer", ["route"], buckets=SECONDS, **own)
        self.busy = Gauge(
            "requests_in_flight", "requests being answered", multiprocess_mode="livesum", **own
        )
        self.refused = Counter("refused", "requests turned away", ["why"], **own)
        self.batch = Histogram("batch_size", "lists made in one go", buckets=SIZES, **own)
        self.events = Counter("events", "events by what became of them", ["outcome"], **own)
        self.exposures = Counter("exposures", "lists by whether they are on disk", ["kept"], **own)
        self.basis = Counter("lists", "lists by what they rest on", ["basis"], **own)
        self.length = Histogram("history_length", "events behind a list", buckets=LENGTHS, **own)
        self.score = Histogram("top_score", "score of the first item", buckets=SCORES, **own)
        self.popularity = Histogram(
            "shown_popularity", "standardised log count of shown items", buckets=SCORES, **own
        )
        self.unknown = Counter("unknown_items", "events on items the model lacks", **own)
        self.swaps = Counter("model_swaps", "bundles put in place or refused", ["outcome"], **own)
        self.offset = Gauge("delta_offset", "journal offset", multiprocess_mode="max", **own)
        self.loaded = Gauge(
            "model_loaded_seconds", "when the live bundle came", multiprocess_mode="max", **own
        )

    def text(self) -> bytes:
        """The exposition format."""
        if os.environ.get(MULTIPROCESS):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self.registry)


class Log:
    """JSON lines.

    Args:
        stream: where to; None writes nothing.
    """

    def __init__(self, stream: IO[str] | None = sys.stderr) -> None:
        self.stream = stream

    def write(self, event: str, **fields: Any) -> None:
        """One line; fields are numbers and names of ours, never what was sent."""
        if self.stream is None:
            return
        line = {"time": round(time.time(), 3), "event": event, **fields}
        self.stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.stream.flush()
