"""Who asks: what the bundle and the journal know of a person, as a history that the model reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quintet.data.interactions import Floats, Interactions, Ints, Request
from quintet.serve.trained import Trained
from quintet.store import Event

Id = str | int
COLUMNS = ("item", "time", "behaviour", "scenario", "value")
#: in a person's state, once a list was made of it
LISTED = "listed"


@dataclass(frozen=True, eq=False)
class Person:
    """One history of N events, and what its owner said of it.

    Attributes:
        row: in the bundle's users; -1 for somebody new.
        item: [N] rows of the catalogue.
        time: [N] microseconds since 1970 UTC.
        behaviour: [N] indices.
        scenario: [N] indices.
        value: [N] ratings; NaN where missing.
        edits: what the person said of the profile.
        asked: [1, ...] what is asked of the model, by field (``web/asked.py``).
        state: what the model makes of the history, kept by the ranker once it is computed.
        turned: the same person as asked in plain scenarios and on devices, kept likewise.
    """

    row: int
    item: Ints
    time: Ints
    behaviour: Ints
    scenario: Ints
    value: Floats
    edits: Mapping[str, Any] = field(default_factory=dict)
    asked: Request = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    turned: dict[tuple[tuple[str, int], ...], Person] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item)

    def asked_like(self, other: Person) -> list[Person]:
        """This person, asked in all the ways in which the ``other`` was given a list."""
        listed = {key: one for key, one in other.turned.items() if LISTED in one.state}
        for key, one in listed.items():
            self.turned.setdefault(key, replace(self, asked=one.asked, state={}, turned={}))
        turned = [self.turned[key] for key in listed]
        return [self, *turned] if LISTED in other.state else turned


def person(
    trained: Trained, row: int, events: Iterable[Event], edits: Mapping[str, Any] | None = None
) -> Person:
    """What is known of somebody: the bundle's events, then the journal's, in time order.

    Args:
        trained: the model; events on items that it does not know are left out.
        row: in the bundle's users, or -1.
        events: of the journal, oldest first, later than what the bundle was trained on.
        edits: of the profile; what is to be forgotten is left out of the bundle's events.
    """
    columns = _of_bundle(trained, row)
    forgotten = [item for item, on in ((edits or {}).get("forget_items") or {}).items() if on]
    if forgotten:
        kept = ~np.isin(columns["item"], trained.items.rows(forgotten))
        columns = {name: values[kept] for name, values in columns.items()}
    if more := _of_journal(trained, list(events)):
        timeless = len(columns["time"]) > 0 and not columns["time"].any()
        if timeless:  # the log had no times: order is all there is
            more["time"] = np.zeros_like(more["time"])
        columns = {name: np.concatenate([columns[name], more[name]]) for name in COLUMNS}
        order = np.argsort(columns["time"], kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
    return Person(row, **columns, edits=edits or {})


def from_items(items: Ints) -> Person:
    """Somebody of whom only the items met are known, oldest first."""
    n = len(items)
    zeros, missing = np.zeros(n, np.int64), np.full(n, np.nan, np.float32)
    return Person(-1, items.astype(np.int64), zeros, zeros, zeros, missing)


def batch(people: Sequence[Person], n_items: int) -> Interactions:
    """Histories of several people, at least one; row ``b`` is the b-th."""
    length = np.array([len(one) for one in people], np.int64)
    owner = np.array([one.row for one in people], np.int64)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in people]) for name in COLUMNS
    }
    return Interactions(
        offsets=np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
        user=np.repeat(owner, length),
        n_items=n_items,
        owner=owner,
        request=_requests(people),
        **columns,
    )


def _requests(people: Sequence[Person]) -> Request | None:
    """[B, ...] what is asked, -1 where one does not tell it; None where nobody tells anything."""
    told = {name: value for one in people for name, value in one.asked.items()}
    if not told:
        return None
    return {
        name: np.concatenate([one.asked.get(name, np.full_like(like, -1)) for one in people])
        for name, like in told.items()
    }


def _of_bundle(trained: Trained, row: int) -> dict[str, Any]:
    events = trained.events
    span = slice(0, 0) if row < 0 else slice(events.offsets[row], events.offsets[row + 1])
    return {name: getattr(events, name)[span] for name in COLUMNS}


def _of_journal(trained: Trained, events: list[Event]) -> dict[str, Any]:
    if not events:
        return {}
    shape = trained.model.shape
    behaviours = {name: index for index, name in enumerate(shape.behaviours)}
    scenarios = {name: index for index, name in enumerate(shape.scenarios)}
    rows = trained.items.rows([one.item_id for one in events])
    silent = shape.silent
    behaviour = [behaviours.get(one.behaviour or "", silent["behaviour"]) for one in events]
    known = [
        row >= 0 and (one.behaviour is None or one.behaviour in behaviours)
        for row, one in zip(rows, events, strict=True)
    ]
    kept = np.array(known, np.bool_)
    scenario = [scenarios.get(one.scenario or "", silent["scenario"]) for one in events]
    value = [shape.rating_of(one.behaviour, one.value) for one in events]
    return {
        "item": rows[kept],
        "time": np.array([one.timestamp for one in events], np.int64)[kept],
        "behaviour": np.array(behaviour, np.int64)[kept],
        "scenario": np.array(scenario, np.int64)[kept],
        "value": np.array(value, np.float32)[kept],
    }
