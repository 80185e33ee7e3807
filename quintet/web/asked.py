"""What a call tells beside who asks: where, for what, when, on what device, beside what item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from quintet.data.interactions import Ints
from quintet.data.requests import query_tokens
from quintet.serve.trained import Trained
from quintet.web.choosing import rows_of, scenario_index
from quintet.web.live import Live
from quintet.web.models import AskedIn
from quintet.web.people import Person

#: microseconds since 1970; what lies beyond is no moment
LATEST = 2**62


def asking(live: Live, one: Person, asked: AskedIn) -> Person:
    """The person with what is asked, so that their state is turned towards it as in training.

    What the model does not read is left out, and a context may hold more than it knows: rules read
    it too. The states of plain scenarios and devices are kept with the person.

    Raises:
        InvalidRequestError: the scenario is unknown.
        UnknownIdError: the page's item is not in the catalogue.
    """
    if asked.scenario is None and asked.query is None and not asked.context:
        return one
    trained = live.trained
    place = -1 if asked.scenario is None else scenario_index(trained, asked.scenario)
    page = asked.context.get("page_item")
    told = _told(trained, place, asked)
    if isinstance(page, str | int):
        beside = _beside(trained, one, int(rows_of(live, [page])[0]), max(place, 0))
        return replace(beside, asked=told)
    if not told:
        return one
    if "query" in told or "time" in told:
        return replace(one, asked=told, state={}, turned={})
    key = tuple((name, int(value[0])) for name, value in told.items())
    if key not in one.turned:
        one.turned[key] = replace(one, asked=told, state={}, turned={})
    return one.turned[key]


def _told(trained: Trained, place: int, asked: AskedIn) -> dict[str, Ints]:
    """[1, ...] of each field that the model reads and the call tells; calibration reads where."""
    shape, turn, context = trained.model.shape, trained.model.turn, asked.context
    read = {"scenario", *([] if turn is None else turn.request.fields)}
    device = str(context.get("device"))
    told = {
        "scenario": np.array([place]),
        "time": np.array([_moment(context)]),
        "device": np.array([shape.devices.index(device) if device in shape.devices else -1]),
    }
    known = {name: value for name, value in told.items() if value[0] >= 0}
    if asked.query is not None and asked.query.strip():
        known["query"] = query_tokens([asked.query])
    return {name: value for name, value in known.items() if name in read}


def _moment(context: Mapping[str, Any]) -> int:
    """Microseconds since 1970 where the context tells them as a whole number; else -1."""
    given = context.get("time")
    if not isinstance(given, int) or isinstance(given, bool):
        return -1
    return given if 0 < given < LATEST else -1


def _beside(trained: Trained, one: Person, row: int, scenario: int) -> Person:
    """The person who has just looked at the page's item, at the moment of their newest event."""
    look = trained.model.shape.rules.look
    return replace(
        one,
        item=np.append(one.item, row),
        time=np.append(one.time, one.time[-1:].max(initial=0)),
        behaviour=np.append(one.behaviour, look),
        scenario=np.append(one.scenario, scenario),
        value=np.append(one.value, np.float32(np.nan)),
        state={},
        turned={},
    )
