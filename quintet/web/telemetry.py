"""What can be seen of the service from outside: numbers for Prometheus, lines for a log.

Neither holds an id, a key or anything that was sent: routes go by their template, people not at
all.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

if TYPE_CHECKING:
    from quintet.web.writing import Made

SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = (0, 1, 2, 5, 10, 20, 50, 100, 200)
SCORES = (-8, -4, -2, -1, 0, 1, 2, 4, 8, 16)
NAMESPACE = "quintet"
Mode = Literal["livesum", "max"]
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


class Local:
    """A histogram kept in plain numbers until somebody looks: each of its own costs a lock.

    Args:
        histogram: of the library, without labels left to give.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds = histogram._upper_bounds
        self._lock = threading.Lock()
        self._counts, self._sum = [0] * len(self._bounds), 0.0

    def observe(self, *values: float) -> None:
        """Count some."""
        with self._lock:
            for value in values:
                self._counts[bisect_left(self._bounds, value)] += 1
                self._sum += value

    def flush(self) -> None:
        """Hand on what was counted."""
        with self._lock:
            counts, total = self._counts, self._sum
            self._counts, self._sum = [0] * len(self._bounds), 0.0
        for bucket, count in zip(self._histogram._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._histogram._sum.inc(total)


class Metrics:
    """The numbers of one service; several workers add theirs up through a shared folder."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "answers", "route", "status")
        self.seconds = self._histogram("request_seconds", "to answer", SECONDS, "route")
        self.busy = self._gauge("requests_in_flight", "requests being answered", "livesum")
        self.refused = self._counter("refused", "requests turned away", "why")
        self.batch = Local(self._histogram("batch_size", "lists made in one go", SIZES))
        self.events = self._counter("events", "events by what became of them", "outcome")
        self.exposures = self._counter("exposures", "lists by whether they are on disk", "kept")
        self.basis = self._counter("lists", "lists by what they rest on", "basis")
        self.length = Local(self._histogram("history_length", "events behind a list", LENGTHS))
        self.score = Local(self._histogram("top_score", "score of the first item", SCORES))
        self.popularity = Local(
            self._histogram("shown_popularity", "standardised log count of shown items", SCORES)
        )
        self.unknown = self._counter("unknown_items", "events on items the model lacks")
        self.swaps = self._counter("model_swaps", "bundles put in place or refused", "outcome")
        self.offset = self._gauge("delta_offset", "journal offset", "max")
        self.loaded = self._gauge("model_loaded_seconds", "when the live bundle came", "max")
        self._taken: dict[str, Local] = {}
        self._answers: Counted[tuple[str, int]] = Counted()
        self._in_flight = 0

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            name, what, labels, namespace=NAMESPACE, registry=self.registry, buckets=buckets
        )

    def _gauge(self, name: str, what: str, mode: Mode) -> Gauge:
        return Gauge(
            name, what, namespace=NAMESPACE, registry=self.registry, multiprocess_mode=mode
        )

    def in_flight(self, requests: int) -> None:
        """So many requests are being answered."""
        self._in_flight = requests

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Take down one answer; called by one thread."""
        taken = self._taken.get(route)
        if taken is None:
            taken = self._taken[route] = Local(self.seconds.labels(route))
        taken.observe(seconds)
        self._answers[route, status] += 1

    def lists(self, made: Sequence[Made]) -> None:
        """Take down what some lists were like."""
        for basis, count in Counted(one.basis for one in made).items():
            self.basis.labels(basis).inc(count)
        self.length.observe(*(one.length for one in made))
        self.score.observe(*(one.top for one in made))
        self.popularity.observe(*(one.popularity for one in made))

    def flush(self) -> None:
        """Hand on what was counted since; called by the thread that answers."""
        for local in (self.batch, self.length, self.score, self.popularity, *self._taken.values()):
            local.flush()
        for (route, status), count in self._answers.items():
            self.requests.labels(route, status).inc(count)
        self._answers.clear()
        self.busy.set(self._in_flight)

    def text(self) -> bytes:
        """The exposition format."""
        self.flush()
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
