"""What became of an event: the behaviours that followed it, and the level of its rating.

Where one behaviour implies another, a person meets an item in *episodes*: the first event opens
one (a look), and what follows on the same item goes deeper into it (a cart, a purchase). Events
that open an episode are the ones that are predicted and ranked; the others are what became of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from quintet.data.interactions import MICROSECONDS_PER_DAY, Floats, Interactions, Ints, Mask
from quintet.data.schema import Behaviour
from quintet.data.states import seen_before


@dataclass(frozen=True)
class BehaviourRules:
    """The behaviours of a data set and how they hang together.

    Shapes: B behaviours, E events.

    Attributes:
        names: [B] of the behaviours.
        implies: by name, the behaviours that must have come before.
        polarity: by name; 1 where absent.
        horizon_days: by name, within which it counts as having followed.
        weight: by name, how much a target that reached it counts in the ranking; 1 where absent.
    """

    names: Sequence[str]
    implies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    polarity: Mapping[str, float] = field(default_factory=dict)
    horizon_days: Mapping[str, float] = field(default_factory=dict)
    weight: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Sequence[str], declared: Sequence[Behaviour]) -> BehaviourRules:
        """Read off a data set's schema."""
        return cls(
            names,
            {one.name: list(one.implies) for one in declared if one.implies},
            {one.name: one.polarity for one in declared if one.polarity != 1},
            {one.name: one.horizon_days for one in declared if one.horizon_days is not None},
            {one.name: one.weight for one in declared if one.weight != 1},
        )

    @cached_property
    def closure(self) -> Floats:
        """[B, B] 1 where behaviour a (row) implies behaviour b, itself and chains included."""
        return implied(self.names, self.implies)

    @cached_property
    def parents(self) -> list[list[int]]:
        """For every behaviour the nearest ones that it implies: those that no other implies."""
        strict_BB = self.closure - np.eye(len(self.names), dtype=np.float32)
        nearest_BB = (strict_BB > 0) & ~((strict_BB @ strict_BB) > 0)
        return [np.flatnonzero(row).tolist() for row in nearest_BB]

    @cached_property
    def order(self) -> list[int]:
        """Behaviours in an order in which each comes after those that it implies."""
        depth_B = self.closure.sum(1)
        return [int(index) for index in np.argsort(depth_B, kind="stable")]

    @property
    def look(self) -> int:
        """The behaviour that opens an episode: the first that implies nothing and is liked."""
        for index, name in enumerate(self.names):
            if not self.parents[index] and self.polarity.get(name, 1.0) > 0:
                return index
        return 0

    def horizons(self, usual_days: float) -> Ints:
        """[B] microseconds; a behaviour is looked for as long as any that implies it."""
        days_B = np.array([self.horizon_days.get(name, 0.0) for name in self.names])
        usual_B = np.array([name not in self.horizon_days for name in self.names])
        longest_B = (self.closure * np.where(usual_B, 0.0, days_B)[:, None]).max(0)
        asked_B = np.where(usual_B, np.maximum(longest_B, usual_days), days_B)
        return (asked_B * MICROSECONDS_PER_DAY).astype(np.int64)

    def opens(self, events: Interactions) -> Mask:
        """[E] whether an event opens an episode.

        It does unless its behaviour implies another one and its user met the item before.
        """
        deeper_B = self.closure.sum(1) > 1
        if not deeper_B.any():
            return np.ones(len(events), np.bool_)
        opening: Mask = ~(deeper_B[events.behaviour] & seen_before(events))
        return opening

    def targets(self, events: Interactions) -> Mask:
        """[E] events to be ranked and predicted: they open an episode that is liked.

        Where nothing is liked, or no event is left, every event is a target.
        """
        liked_B = np.array([self.polarity.get(name, 1.0) > 0 for name in self.names], np.bool_)
        target_E = self.opens(events) & liked_B[events.behaviour]
        return target_E if target_E.any() else np.ones(len(events), np.bool_)

    def newly_shown(self, events: Interactions) -> Floats:
        """[E, B] the behaviours that an event shows and its episode had not shown before."""
        pairs = _Pairs.of(events)
        shown_EB = self.closure[events.behaviour[pairs.order]]
        start_E = pairs.episode_start(self.opens(events))
        at_E = np.arange(len(events))
        newly_EB = np.zeros_like(shown_EB)
        for column in range(len(self.names)):
            before = np.where(shown_EB[:, column] > 0, at_E, -1)
            latest = np.concatenate([[-1], np.maximum.accumulate(before)[:-1]])
            newly_EB[:, column] = shown_EB[:, column] * (latest < start_E)
        result = np.zeros_like(newly_EB)
        result[pairs.order] = newly_EB
        return result

    def episode_sums(self, events: Interactions, value_EC: Floats) -> Floats:
        """[E, C] sums of the values over the episode that each event belongs to."""
        pairs = _Pairs.of(events)
        if not len(events):
            return value_EC
        opens_E = self.opens(events)[pairs.order]
        opens_E[0] = True
        episode_E = np.cumsum(opens_E) - 1
        sums = np.add.reduceat(value_EC[pairs.order], np.flatnonzero(opens_E), axis=0)
        result = np.zeros_like(value_EC)
        result[pairs.order] = sums[episode_E]
        return result

    def reached(self, events: Interactions, usual_days: float) -> Floats:
        """[E, B] whether a behaviour is shown on the item at the event or within its horizon.

        Where the log has no times, the whole later history counts.
        """
        return reached(events, self.closure, self.horizons(usual_days))

    def weights(self, events: Interactions, usual_days: float) -> Floats | None:
        """[E] the greatest weight of what each event reached; None where all weigh the same."""
        weight_B = np.array([self.weight.get(name, 1.0) for name in self.names], np.float32)
        if (weight_B == weight_B[:1]).all():
            return None
        weights: Floats = (self.reached(events, usual_days) * weight_B).max(1)
        return weights

    def later_value(self, events: Interactions, usual_days: float) -> Floats:
        """[E] the first rating of the item at the event or within the horizon; NaN without one."""
        pairs = _Pairs.of(events)
        rated = ~np.isnan(events.value[pairs.order])
        if rated.all() or not rated.any() or self.opens(events).all():
            return events.value
        found, following = pairs.following(rated, int(usual_days * MICROSECONDS_PER_DAY))
        value = np.where(found, events.value[pairs.order][following], np.float32(np.nan))
        result = np.empty_like(events.value)
        result[pairs.order] = value
        return result


@dataclass(frozen=True)
class _Pairs:
    """Events by user and item, in time order: ``order`` [E], and in it ``pair`` and ``time``."""

    order: Ints
    pair: Ints
    time: Ints

    @classmethod
    def of(cls, events: Interactions) -> _Pairs:
        pair = events.group() * np.int64(events.n_items) + events.item
        order = np.lexsort((np.arange(len(events)), events.time, pair))
        return cls(order, pair[order], events.time[order])

    def episode_start(self, opens_E: Mask) -> Ints:
        """[E] place in the order at which the episode of each event starts."""
        at = np.where(opens_E[self.order], np.arange(len(self.order)), -1)
        start: Ints = np.maximum.accumulate(at) if len(at) else at
        return start

    def following(self, shown_E: Mask, horizon: int) -> tuple[Mask, Ints]:
        """[E] whether something is shown from each place on within the horizon, and where."""
        none = len(self.order)
        at = np.where(shown_E, np.arange(none), none)
        following = np.minimum.accumulate(at[::-1])[::-1]
        safe = np.minimum(following, max(none - 1, 0))
        near = self.time[safe] <= self.time + horizon
        hit: Mask = (following < none) & (self.pair[safe] == self.pair) & near
        return hit, safe


def implied(behaviours: Sequence[str], implies: Mapping[str, Sequence[str]]) -> Floats:
    """[B, B] 1 where behaviour a (row) implies behaviour b, itself and chains included."""
    index = {name: row for row, name in enumerate(behaviours)}
    closure_BB = np.eye(len(behaviours), dtype=np.float32)
    for name, others in implies.items():
        for other in others:
            if name in index and other in index:
                closure_BB[index[name], index[other]] = 1
    for _ in behaviours:
        closure_BB = ((closure_BB @ closure_BB) > 0).astype(np.float32)
    return closure_BB


def reached(events: Interactions, closure_BB: Floats, horizon_B: Ints) -> Floats:
    """[E, B] whether the user shows the behaviour on the item at the event or within its horizon.

    Args:
        events: histories.
        closure_BB: [B, B] which behaviour (row) shows which.
        horizon_B: [B] microseconds.
    """
    pairs = _Pairs.of(events)
    shows_EB = closure_BB[events.behaviour[pairs.order]] > 0
    result = np.zeros((len(events), len(closure_BB)), np.float32)
    for column, horizon in enumerate(horizon_B.tolist()):
        result[pairs.order, column] = pairs.following(shows_EB[:, column], horizon)[0]
    return result


def level_index(value_E: Floats, edges: Floats) -> Ints:
    """[E] index of each rating's level between the edges; -1 where there is no value."""
    level = np.searchsorted(edges, value_E, side="right").astype(np.int64)
    return np.where(np.isnan(value_E), -1, level)


def one_hot(index: Ints, n: int) -> Floats:
    """[E, n] one-hot rows; all zeros where the index is -1."""
    table = np.concatenate([np.eye(n, dtype=np.float32), np.zeros((1, n), np.float32)])
    return table[index]


def item_histogram(item: Ints, value_EC: Floats, n_items: int) -> Floats:
    """[I, C] sums of the rows of each item."""
    columns = [np.bincount(item, weights=column, minlength=n_items) for column in value_EC.T]
    return (
        np.stack(columns, 1).astype(np.float32) if columns else np.zeros((n_items, 0), np.float32)
    )
