"""What ``quintet doctor --service`` asks a running service, and what it makes of the answers."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

KEY = "QUINTET_KEY"
LOOKS = 20
SLOW_MS = 50.0
NUMBER = re.compile(r"^quintet_(\w+?)(\{[^}]*\})? ([-+.e\d]+)$", re.MULTILINE)

Found = tuple[str, str, str]


def examined(url: str) -> Iterator[Found]:
    """Status, name and finding of every check of the service at ``url``.

    Raises:
        MissingExtraError: the extra ``client`` is not installed.
    """
    from quintet.errors import MissingExtraError

    try:
        import httpx
    except ImportError:
        raise MissingExtraError("quintet doctor --service", "client") from None
    key = os.environ.get(KEY, "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=10) as client:
        try:
            yield from _alive(client)
        except httpx.HTTPError as error:
            yield ("problem", "answers", f"{url}: {type(error).__name__}: is it running there?")
            return
        yield from _ready(client)
        yield from _model(client)
        yield from _numbers(client)


def _alive(client: httpx.Client) -> Iterator[Found]:
    took = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        status = client.get("/health/live").status_code
        took.append((time.perf_counter() - started) * 1000)
    if status != 200:
        yield ("problem", "answers", f"/health/live gives {status}: is this quintet?")
        return
    middle = statistics.median(took)
    told = f"in {middle:.1f} ms, at most {max(took):.1f} ms of {LOOKS}"
    yield ("ok" if middle <= SLOW_MS else "note", "answers", told)


def _ready(client: httpx.Client) -> Iterator[Found]:
    told = _json(client, "/health/ready")
    problems = told.get("problems") or []
    if told.get("status") == "ok":
        found = f"model {told.get('model')}, journal offset {told.get('offset')}"
        yield ("ok", "ready", found)
    else:
        yield ("problem", "ready", "; ".join(problems) or "it does not say why not")


def _model(client: httpx.Client) -> Iterator[Found]:
    answer = client.get("/v1/model")
    if answer.status_code in (401, 403):
        yield ("note", "model", f"not told without a key of scope admin in {KEY}")
        return
    told = answer.json()
    back = f", before it {told['previous']}" if told.get("previous") else ", none to go back to"
    yield ("ok", "model", f"{told.get('bundle')}: {told.get('items'):,} items{back}")


def _numbers(client: httpx.Client) -> Iterator[Found]:
    answer = client.get("/metrics")
    if answer.status_code in (401, 403):
        yield ("note", "numbers", f"not told without a key of scope read in {KEY}")
        return
    numbers = [(name, labels, float(value)) for name, labels, value in NUMBER.findall(answer.text)]

    def total(name: str, label: str = "") -> int:
        return round(sum(n for own, labels, n in numbers if own == name and label in labels))

    answers, errors = total("requests_total"), total("requests_total", 'status="500"')
    yield _judged("errors", errors, f"{errors:,} of {answers:,} answers are errors of its own")
    lost = total("exposures_total", 'kept="failed"')
    yield _judged("exposures", lost, f"{lost:,} of {total('exposures_total'):,} not on disk")
    refused = total("model_swaps_total", 'outcome="refused"')
    swaps = total("model_swaps_total")
    yield ("note" if refused else "ok", "swaps", f"{refused} of {swaps} bundles refused")
    events, unknown = total("events_total"), total("unknown_items_total")
    status = "note" if events and unknown > events / 10 else "ok"
    yield (status, "items", f"{unknown:,} of {events:,} events on items that the model lacks")


def _judged(name: str, bad: int, found: str) -> Found:
    return ("problem" if bad else "ok", name, found)


def _json(client: httpx.Client, path: str) -> dict[str, Any]:
    try:
        told = client.get(path).json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
