"""Events as arrays: what memories, towers and metrics read.

Rows, never ids, live here: user ``u`` is row ``u`` of the user vocabulary and item ``i`` row ``i``
of the catalogue's. Events stand grouped by user and, within a user, in time order; equal times are
ordered by a seeded hash of the event's row number, so that neither ids nor luck decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: what is known of requests besides the history, by name; -1 where it is not
Request = Mapping[str, Ints]

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class Interactions:
    """Events grouped by user in time order (compressed sparse rows).

    Shapes: U users, E events.

    Attributes:
        offsets: [U + 1] where each user's events start; ``offsets[-1] == E``.
        user: [E] user row of each event (for a batch of queries: -1 where unknown).
        item: [E] item row.
        time: [E] microseconds since 1970 UTC; 0 throughout where the log has no times.
        behaviour: [E] index into the data set's behaviours.
        scenario: [E] index into the data set's scenarios.
        value: [E] rating or amount; NaN where missing.
        n_items: size of the catalogue.
        owner: [U] user row of each history, -1 where unknown; derived from ``user`` when absent.
        context: [E, ...] what else was known when the event was asked for (``data/requests.py``).
        request: [U, ...] what is asked at the end of each history, if anything is known of it.
    """

    offsets: Ints
    user: Ints
    item: Ints
    time: Ints
    behaviour: Ints
    scenario: Ints
    value: Floats
    n_items: int
    owner: Ints | None = None
    context: Request = field(default_factory=dict)
    request: Request | None = None

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def n_users(self) -> int:
        """How many users, those without events counted too."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Ints:
        """[U] events of each user."""
        return np.diff(self.offsets)

    @classmethod
    def build(
        cls,
        user: NDArray[np.integer],
        item: NDArray[np.integer],
        *,
        n_users: int,
        n_items: int,
        time: NDArray[np.integer] | None = None,
        behaviour: NDArray[np.integer] | None = None,
        scenario: NDArray[np.integer] | None = None,
        value: NDArray[np.floating] | None = None,
        tie_seed: int = 0,
        keep_order: bool = False,
    ) -> Interactions:
        """Group events by user and order them in time.

        Args:
            user: [E] user rows.
            item: [E] item rows.
            n_users: size of the user vocabulary.
            n_items: size of the catalogue.
            time: [E] microseconds; without it the given order is kept.
            behaviour: [E] behaviour indices; 0 when absent.
            scenario: [E] scenario indices; 0 when absent.
            value: [E] values; NaN when absent.
            tie_seed: orders events of one user at one time.
            keep_order: leave equal times as given instead of by hash.
        """
        n = len(user)
        row = np.arange(n, dtype=np.int64)
        times = np.zeros(n, np.int64) if time is None else time.astype(np.int64)
        hashed = row if time is None or keep_order else seeded_hash(row, tie_seed)
        order = np.lexsort((row, hashed, times, user))
        offsets = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(user.astype(np.int64), minlength=n_users), out=offsets[1:])

        def column(values: NDArray[np.integer] | None) -> Ints:
            return np.zeros(n, np.int64) if values is None else values.astype(np.int64)[order]

        return cls(
            offsets=offsets,
            user=user.astype(np.int64)[order],
            item=item.astype(np.int64)[order],
            time=times[order],
            behaviour=column(behaviour),
            scenario=column(scenario),
            value=(
                np.full(n, np.nan, np.float32) if value is None else value.astype(np.float32)[order]
            ),
            n_items=n_items,
            owner=np.arange(n_users, dtype=np.int64),
        )

    def select(self, keep: Mask) -> Interactions:
        """The events where ``keep`` [E] is true; users keep their rows."""
        running = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
        return self._take(np.flatnonzero(keep), running[self.offsets])

    def users(self, rows: Sequence[int] | NDArray[np.integer]) -> Interactions:
        """The histories of the given users, in that order, as a batch."""
        chosen = np.asarray(rows, np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        taken = self._take(np.arange(offsets[-1]) + shift, offsets, self.owners()[chosen])
        return taken if self.request is None else taken.asking(rows_of(self.request, chosen))

    def asking(self, request: Request | None) -> Interactions:
        """The same histories, with what is asked at their ends."""
        return replace(self, request=request)

    def asked(self, rows: NDArray[np.integer]) -> Request:
        """[N, ...] what was known of the given events before their item was."""
        own = {"scenario": self.scenario, "time": self.time, **self.context}
        return rows_of(own, np.asarray(rows, np.int64))

    def retied(self, seed: int) -> Interactions:
        """The same histories with events of one user at one moment in another order.

        Where the log has no times, its order is all there is and stays.
        """
        if len(self) == 0 or self.time.min() == self.time.max():
            return self
        hashed = seeded_hash(np.arange(len(self)), seed)
        order = np.lexsort((hashed, self.time, self.group()))
        return self._take(order, self.offsets)

    def tail(self, longest: int) -> Interactions:
        """The last ``longest`` events of every user."""
        position = np.arange(len(self)) - np.repeat(self.offsets[:-1], self.lengths)
        return self.select(position >= np.repeat(self.lengths, self.lengths) - longest)

    def before(self, rows: NDArray[np.integer], longest: int | None = None) -> Interactions:
        """The histories just before the given events, as a batch: the state that led to each.

        Args:
            rows: [N] rows of events.
            longest: keep only that many newest events of each history.
        """
        stop = np.asarray(rows, np.int64)
        start = self.offsets[:-1][self.group()[stop]]
        if longest is not None:
            start = np.maximum(start, stop - longest)
        lengths = stop - start
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(start - offsets[:-1], lengths)
        owner = self.owners()[self.group()[stop]]
        taken = self._take(np.arange(offsets[-1]) + shift, offsets, owner)
        return taken.asking(self.asked(stop))

    def owners(self) -> Ints:
        """[U] user row of each history, -1 where unknown."""
        if self.owner is not None:
            return self.owner
        owner = np.full(self.n_users, -1, np.int64)
        there = self.lengths > 0
        owner[there] = self.user[self.offsets[:-1][there]]
        return owner

    def _take(self, index: Ints, offsets: Ints, owner: Ints | None = None) -> Interactions:
        return replace(
            self,
            owner=self.owner if owner is None else owner,
            offsets=offsets,
            user=self.user[index],
            item=self.item[index],
            time=self.time[index],
            behaviour=self.behaviour[index],
            scenario=self.scenario[index],
            value=self.value[index],
            context=rows_of(self.context, index),
        )

    def positions(self) -> Ints:
        """[E] index of each event within its user's history, from 0."""
        return np.arange(len(self)) - np.repeat(self.offsets[:-1], self.lengths)

    def group(self) -> Ints:
        """[E] index of the history (batch row) that each event belongs to."""
        return np.repeat(np.arange(self.n_users), self.lengths)

    def item_counts(self) -> Ints:
        """[I] events of each item."""
        return np.bincount(self.item, minlength=self.n_items).astype(np.int64)


def rows_of(columns: Request, index: Ints) -> Request:
    """The given rows of every column."""
    return {name: column[index] for name, column in columns.items()}


def seeded_hash(keys: NDArray[np.integer], seed: int) -> Ints:
    """[N] a well mixed, non-negative number for each key (splitmix64); same on all machines."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(1)).astype(np.int64)
