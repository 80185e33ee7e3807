"""The copy head: how likely each item of the user's own history is to come again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.states import seen_before
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.entries import Entries, summed_entries
from quintet.memory.matrices import State, age, array, last_occurrence

Doubles = NDArray[np.float64]


class Repeat(Counted):
    """Score of an item of the history: ``rate[rank, count] * ratio_i``; of any other item 0.

    Every training event is asked of each distinct item before it whether it was the one. Answers
    are counted by the item's recency rank (0: the item of the event just before) and by how often
    it had occurred; rare cells shrink to the rate of their rank, and that to the rate of all:
    ``rate[r, c] = (hits + smoothing * rate[r]) / (asked + smoothing)``. Ranks from ``ranks`` and
    counts from ``counts`` on are taken together, and items whose last event lies more than
    ``window`` events back share one rate.

    An item's own ratio is that of the returns it had to those that the rates expected:
    ``(returns + item_smoothing) / (expected + item_smoothing)``, which is 1 for items without
    training events.
    """

    name = "repeat"
    scores_cold_items: ClassVar[bool] = True

    class Config(Memory.Config):
        """Settings of :class:`Repeat`."""

        ranks: PositiveInt = tunable(20, low=1, high=50, log=True, description="told apart")
        counts: PositiveInt = tunable(4, low=1, high=10, description="of occurrences told apart")
        window: PositiveInt = tunable(
            50, low=10, high=200, log=True, description="events back that ranks are counted over"
        )
        smoothing: NonNegativeFloat = tunable(
            50.0, low=0.0, high=500.0, description="answers at which a cell's own rate counts half"
        )
        item_smoothing: PositiveFloat = tunable(
            5.0, low=0.5, high=200.0, log=True, description="expected returns, likewise, of an item"
        )

    config: Config
    _rate: Doubles  # [ranks * counts + 1] the last: beyond the window
    _ratio: Doubles  # [I]

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count the returns of the training events; see :meth:`Memory.fit`."""
        del items
        c = self.config
        n_cells = c.ranks * c.counts
        hit, asked = np.zeros(n_cells + 1), np.zeros(n_cells + 1)
        for step in self._answers(events):
            asked += np.bincount(step.cell, minlength=n_cells + 1)
            hit += np.bincount(step.cell[step.came], minlength=n_cells + 1)
        returns_I = np.bincount(events.item[seen_before(events)], minlength=events.n_items)
        beyond_I = _times_asked(events)
        asked[-1], hit[-1] = beyond_I.sum() - asked.sum(), returns_I.sum() - hit.sum()
        self._rate = _rates(hit, asked, c.ranks, c.smoothing)
        expected_I = np.zeros(events.n_items)
        for step in self._answers(events):
            item = events.item[step.event]
            expected_I += np.bincount(item, self._rate[step.cell], minlength=events.n_items)
            beyond_I -= np.bincount(item, minlength=events.n_items)
        expected_I += self._rate[-1] * beyond_I
        self._ratio = (returns_I + c.item_smoothing) / (expected_I + c.item_smoothing)
        self._n_items = events.n_items
        return self

    def _answers(self, events: Interactions) -> Iterator[_Step]:
        """The items up to ``window`` events before every event, one distance at a time."""
        following = _next_occurrence(events)
        ordinal = _ordinal(events)
        position = events.positions()
        rank = np.zeros(len(events), np.int64)
        farthest = min(self.config.window, int(events.lengths.max(initial=0)) - 1)
        for distance in range(1, farthest + 1):
            state = np.flatnonzero(position >= distance)
            state = state[following[state - distance] >= state]  # its item's last event so far
            event = state - distance
            yield _Step(event, self._cell(rank[state], ordinal[event]), following[event] == state)
            rank[state] += 1

    def _cell(self, rank: Ints, occurrences: Ints) -> Ints:
        c = self.config
        return np.minimum(rank, c.ranks - 1) * c.counts + np.minimum(occurrences, c.counts) - 1

    def _event_scores(self, histories: Interactions) -> Floats:
        """[N] the score of each event's item, at the last event of each item; 0 elsewhere."""
        last = last_occurrence(histories)
        tail = np.append(np.cumsum(last[::-1])[::-1], 0)  # distinct items from each event on
        rank = tail[1:] - tail[histories.offsets[1:]][histories.group()]
        cell = self._cell(rank, _ordinal(histories))
        cell[age(histories) >= self.config.window] = len(self._rate) - 1
        scores: Floats = (last * self._rate[cell] * self._ratio[histories.item]).astype(np.float32)
        return scores

    def _score(self, histories: Interactions) -> Floats:
        scores = np.zeros((histories.n_users, self.n_items), np.float32)
        np.add.at(scores, (histories.group(), histories.item), self._event_scores(histories))
        return scores

    def _sparse_score(self, histories: Interactions) -> Entries:
        scores, last = self._event_scores(histories), last_occurrence(histories)
        shape = (histories.n_users, self.n_items)
        key = histories.group() * self.n_items + histories.item
        return summed_entries(key[last], scores[last], shape)

    def _explain(self, history: Interactions, item: int) -> Floats:
        own = history.item == item
        share = self._event_scores(history)[own].sum() / max(int(own.sum()), 1)
        return np.where(own, share, 0).astype(np.float32)

    def present(self) -> Mask | None:
        """All items: whichever stands in a history may come again."""
        self.require_fitted()
        return None

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Rates and ratios; see :meth:`Memory.state`."""
        self.require_fitted()
        return {"rate": self._rate, "ratio": self._ratio}

    def load_state(self, state: State) -> Self:
        """Restore rates and ratios; see :meth:`Memory.load_state`."""
        self._rate = array(state, "rate").astype(np.float64)
        self._ratio = array(state, "ratio").astype(np.float64)
        self._n_items = len(self._ratio)
        return self


class _Step(NamedTuple):
    """Answers at one distance: the earlier event, its cell, whether its item came now."""

    event: Ints
    cell: Ints
    came: Mask


def _rates(hit: Doubles, asked: Doubles, ranks: int, smoothing: float) -> Doubles:
    """[ranks * counts + 1] shares of hits, shrunk to their rank's and that to the share of all."""
    overall = hit.sum() / max(asked.sum(), 1.0)
    cells = (ranks, -1)
    hit_r, asked_r = hit[:-1].reshape(cells).sum(1), asked[:-1].reshape(cells).sum(1)
    rate_r = _shrunk(hit_r, asked_r, np.full(ranks, overall), smoothing)
    prior = np.append(np.repeat(rate_r, (len(hit) - 1) // ranks), overall)
    return _shrunk(hit, asked, prior, smoothing)


def _shrunk(hit: Doubles, asked: Doubles, prior: Doubles, smoothing: float) -> Doubles:
    total = asked + smoothing
    return np.divide(hit + smoothing * prior, total, out=prior.copy(), where=total > 0)


def _order(events: Interactions) -> tuple[Ints, Mask]:
    """[E] events by user and item, in time order; whether each is its item's first."""
    key = events.group() * np.int64(events.n_items) + events.item
    order = np.argsort(key, kind="stable")
    return order, np.diff(key[order], prepend=-1) != 0


def _next_occurrence(events: Interactions) -> Ints:
    """[E] the event at which the user met the same item next; E where there is none."""
    order, first = _order(events)
    following = np.full(len(events), len(events), np.int64)
    again = np.flatnonzero(~first)
    following[order[again - 1]] = order[again]
    return following


def _ordinal(events: Interactions) -> Ints:
    """[E] how often the user had met the item, this event included."""
    order, first = _order(events)
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    ordinal = np.empty(len(order), np.int64)
    ordinal[order] = np.arange(len(order)) - start + 1
    return ordinal


def _times_asked(events: Interactions) -> Doubles:
    """[I] later events of the same user, over the users who met the item."""
    first = ~seen_before(events)
    return np.bincount(
        events.item[first], weights=age(events)[first], minlength=events.n_items
    ).astype(np.float64)
