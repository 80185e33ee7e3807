"""Splits of a log into training, validation and test events, none of which sees its own future.

A split labels every event with its part, so that the parts always add up to the log. Targets stand
in ``valid`` and ``test``; the history of a target is what its user did before it.

Leave-one-out trains on what other users did after a target: "no leak" means within a user. Where
times exist, report :func:`global_time` as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.data.interactions import Interactions, Ints, Mask, seeded_hash
from quintet.errors import ConfigError, DataError, EmptyDataError


class Part(IntEnum):
    """What an event is used for."""

    TRAIN = 0
    VALID = 1
    TEST = 2
    HISTORY = 3  #: seen as history of a held-out user, neither learned from nor a target


@dataclass(frozen=True)
class Split:
    """A log whose events are labelled with their part.

    Attributes:
        name: how it was made, such as "leave_one_out".
        events: the whole log (E events).
        part: [E] the :class:`Part` of each event.
        cuts: the times (microseconds) at which validation and test begin, where global.
    """

    name: str
    events: Interactions
    part: NDArray[np.int8]
    cuts: tuple[int, ...] = ()

    @cached_property
    def train(self) -> Interactions:
        """The events to learn from."""
        return self._only(Part.TRAIN)

    @cached_property
    def valid(self) -> Interactions:
        """The target events of validation."""
        return self._only(Part.VALID)

    @cached_property
    def test(self) -> Interactions:
        """The target events of the test."""
        return self._only(Part.TEST)

    def valid_histories(self) -> Interactions:
        """What is known of every user when validation begins: [U] histories."""
        return self._only(Part.TRAIN, Part.HISTORY)

    def test_histories(self) -> Interactions:
        """What is known of every user when the test begins: validation events too."""
        return self._only(Part.TRAIN, Part.HISTORY, Part.VALID)

    def _only(self, *parts: Part) -> Interactions:
        return self.events.select(np.isin(self.part, parts))

    @classmethod
    def from_parts(
        cls, train: Interactions, valid: Interactions, test: Interactions, name: str = "given"
    ) -> Split:
        """A split that came with the data; a user's events stand in the order train, valid, test.

        Raises:
            DataError: the parts differ in their numbers of users or items.
        """
        parts = (train, valid, test)
        if len({(part.n_users, part.n_items) for part in parts}) != 1:
            sizes = ", ".join(f"{part.n_users} x {part.n_items}" for part in parts)
            raise DataError(
                f"train, valid and test have different users x items ({sizes}); "
                "build all three with one vocabulary"
            )
        label = np.repeat([Part.TRAIN, Part.VALID, Part.TEST], [len(part) for part in parts])
        user = np.concatenate([part.group() for part in parts])
        order = np.lexsort((np.arange(len(user)), label, user))
        columns: dict[str, Any] = {
            column: np.concatenate([getattr(part, column) for part in parts])[order]
            for column in ("item", "time", "behaviour", "scenario", "value")
        }
        offsets = train.offsets + valid.offsets + test.offsets
        context = {
            name: np.concatenate([part.context[name] for part in parts])[order]
            for name in train.context
        }
        events = Interactions(
            offsets=offsets, user=user[order], n_items=train.n_items, context=context, **columns
        )
        return cls(name, events, label[order].astype(np.int8))


def leave_one_out(events: Interactions, min_length: int = 3) -> Split:
    """Last event of each user for test, the one before for validation.

    Users with fewer than ``min_length`` events stay wholly in train.
    """
    _check(min_length >= 3, f"min_length={min_length}: leave one event to learn from, so 3 or more")
    return Split("leave_one_out", events, _last_two(events, min_length, Part.TRAIN))


def temporal_tail(events: Interactions, fraction: float = 0.1) -> Split:
    """The last ``fraction`` of each user's events for test, as many before them for validation.

    At least one event each, and at least one left in train; users with fewer than 3 events stay
    wholly in train.
    """
    _check(0.0 < fraction < 0.5, f"fraction={fraction}: between 0 and 0.5, both ends excluded")
    lengths = events.lengths
    rounded = np.floor(fraction * lengths + 0.5).astype(np.int64)
    held = np.minimum(np.maximum(rounded, 1), np.maximum(lengths - 1, 0) // 2)
    from_end = np.repeat(lengths, lengths) - events.positions()  # 1 for the last event
    held_each = np.repeat(held, lengths)
    part = np.full(len(events), Part.TRAIN, np.int8)
    part[from_end <= 2 * held_each] = Part.VALID
    part[from_end <= held_each] = Part.TEST
    return Split("temporal_tail", events, part)


def global_time(events: Interactions, valid: float = 0.1, test: float = 0.1) -> Split:
    """Cut the whole log at two moments: what comes later is validation, then test.

    Events at the same moment stay on one side, so that the shares are met as nearly as times allow.

    Raises:
        EmptyDataError: the log's times do not tell enough moments apart.
    """
    _check(
        valid >= 0.0 and test > 0.0 and valid + test < 1.0,
        f"valid={valid}, test={test}: shares of the events that leave some for train",
    )
    test_cut = _cut(events.time, test * len(events))
    before = events.time[events.time < test_cut]
    valid_cut = _cut(before, valid * len(events)) if valid else test_cut
    part = np.full(len(events), Part.TRAIN, np.int8)
    part[events.time >= valid_cut] = Part.VALID
    part[events.time >= test_cut] = Part.TEST
    return Split("global_time", events, part, cuts=(valid_cut, test_cut))


def _cut(times: Ints, wanted: float) -> int:
    """The moment from which on nearest to ``wanted`` events happen, with some before it."""
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 2:
        raise EmptyDataError(
            f"cannot cut by time: {len(times)} events at {len(moments)} distinct time(s); "
            "hold out the last event of each user (leave-one-out), or give the log its timestamps"
        )
    later = np.cumsum(counts[::-1])[::-1][1:]  # events from moments[1:] on
    return int(moments[1:][np.argmin(np.abs(later - wanted))])


class Targets(NamedTuple):
    """One target a user (Q users), each with its history.

    Attributes:
        users: [Q] user rows, ascending.
        events: the targets: a batch of Q histories of one event each.
        histories: what was known of each user: a batch of Q histories.
        no_history: [Q] users of whom nothing was known.
    """

    users: Ints
    events: Interactions
    histories: Interactions
    no_history: Mask


def next_item_targets(split: Split, part: Part) -> Targets:
    """The first event after the cut of each user who has one, with all that came before the cut.

    Users unknown before the cut are kept, and flagged in ``no_history``.

    Args:
        split: any split.
        part: ``Part.VALID`` or ``Part.TEST``.

    Raises:
        ConfigError: the part holds no targets.
    """
    _check(part in {Part.VALID, Part.TEST}, f"part={part!r}: targets are in VALID and TEST")
    later = split.valid if part is Part.VALID else split.test
    known = split.valid_histories() if part is Part.VALID else split.test_histories()
    users = np.flatnonzero(later.lengths)
    first = np.zeros(len(later), np.bool_)
    first[later.offsets[users]] = True
    histories = known.users(users)
    return Targets(users, later.select(first).users(users), histories, histories.lengths == 0)


def user_folds(n_users: int, k: int, seed: int = 0) -> Ints:
    """[U] the fold of each user, by seeded hash; fold sizes differ by one at most.

    Raises:
        ConfigError: ``k`` is not between 2 and ``n_users``.
    """
    _check(2 <= k <= n_users, f"k={k}: between 2 and the number of users, {n_users}")
    folds = np.empty(n_users, np.int64)
    folds[_shuffled(np.arange(n_users), seed)] = np.arange(n_users) % k
    return folds


def kfold(events: Interactions, k: int, seed: int = 0) -> Iterator[Split]:
    """Cross-validation over users: k splits, each holding out one fold of them.

    Other users are wholly in train. Of a held-out user the last event is the test, the one before
    validation, and the rest is history alone; with fewer than 3 events all is history.
    """
    folds = np.repeat(user_folds(events.n_users, k, seed), events.lengths)
    held_out = _last_two(events, 3, Part.HISTORY)
    for fold in range(k):
        part = np.where(folds == fold, held_out, np.int8(Part.TRAIN))
        yield Split(f"kfold_{fold}", events, part)


def few_labels(split: Split, share: float, seed: int = 0) -> Split:
    """Learn from a drawn share of the users alone; the test stays what it is.

    Training and validation events of the others are history: what a model is handed when it answers
    them, and nothing that was learned from or chosen on.

    Args:
        split: any split.
        share: of the users with training events that keep theirs; two at least.
        seed: chooses them.

    Raises:
        ConfigError: the share is not above 0 and at most 1.
    """
    _check(0.0 < share <= 1.0, f"share={share}: above 0 and at most 1")
    active = np.flatnonzero(split.train.lengths)
    wanted = min(max(round(share * len(active)), 2), len(active))
    labelled = np.zeros(split.events.n_users, np.bool_)
    labelled[_shuffled(active, seed)[:wanted]] = True
    others = ~labelled[split.events.group()] & (split.part != Part.TEST)
    part = np.where(others, np.int8(Part.HISTORY), split.part)
    return Split(f"{split.name}, {share:.0%} of users", split.events, part, split.cuts)


class ItemHoldOut(NamedTuple):
    """A log without some items.

    Attributes:
        events: the log without the cold items.
        cold: [I] the items held out.
        held_out: the events with the cold items.
    """

    events: Interactions
    cold: Mask
    held_out: Interactions


def hold_out_items(events: Interactions, fraction: float, seed: int = 0) -> ItemHoldOut:
    """Take some items out of the log, to measure how cold items are ranked.

    Args:
        events: the log.
        fraction: share of the items with events that are held out; one at least.
        seed: chooses the items.

    Raises:
        ConfigError: the fraction is not between 0 and 1.
        EmptyDataError: fewer than 2 items have events.
    """
    _check(0.0 < fraction < 1.0, f"fraction={fraction}: between 0 and 1, both ends excluded")
    seen = np.flatnonzero(events.item_counts())
    if len(seen) < 2:
        raise EmptyDataError(f"{len(seen)} item(s) with events: nothing to hold out items from")
    wanted = min(max(round(fraction * len(seen)), 1), len(seen) - 1)
    cold = np.zeros(events.n_items, np.bool_)
    cold[_shuffled(seen, seed)[:wanted]] = True
    gone = cold[events.item]
    return ItemHoldOut(events.select(~gone), cold, events.select(gone))


def _shuffled(rows: Ints, seed: int) -> Ints:
    """Rows in the order of their seeded hash."""
    return rows[np.lexsort((rows, seeded_hash(rows, seed)))]


def _last_two(events: Interactions, min_length: int, rest: Part) -> NDArray[np.int8]:
    """[E] test for the last event of each user, validation for the one before, else ``rest``."""
    part = np.full(len(events), rest, np.int8)
    long_enough = events.lengths >= min_length
    last = events.offsets[1:][long_enough] - 1
    part[last] = Part.TEST
    part[last - 1] = Part.VALID
    return part


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)
