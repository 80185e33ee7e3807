"""From one behaviour to another: how likely an item that was clicked comes to be bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.entries import Entries, summed_entries
from quintet.memory.matrices import State, array

Doubles = NDArray[np.float64]


class Conversion(Counted):
    """Score of an item that the person met, but not yet by the target behaviour; of others 0.

    Every pair of a person and an item has a set b of behaviours other than the target. A set's
    rate is the share of its pairs that reached the target, shrunk to the share of all:
    ``rate[b] = (reached + smoothing * rate) / (pairs + smoothing)``. An item's own ratio is that of
    the targets it had to those that the rates expected of its pairs:
    ``(reached + item_smoothing) / (expected + item_smoothing)``. The score is their product; the
    order of a person's events with one item is not looked at. Without another behaviour than the
    target nothing can be said, and all scores are 0.
    """

    name = "conversion"
    scores_cold_items: ClassVar[bool] = True

    class Config(Memory.Config):
        """Settings of :class:`Conversion`.

        Attributes:
            target: index of the behaviour that is wanted; the last one of the log when absent.
        """

        target: NonNegativeInt | None = None
        smoothing: NonNegativeFloat = tunable(
            20.0, low=0.0, high=500.0, description="pairs at which a set's own rate counts half"
        )
        item_smoothing: PositiveFloat = tunable(
            5.0, low=0.5, high=200.0, log=True, description="expected targets, likewise, of an item"
        )

    config: Config
    _target: int
    _set: Ints  # [B] sets of behaviours met in training, one bit a behaviour, ascending
    _rate: Doubles  # [B + 1] the last: of sets never met
    _ratio: Doubles  # [I]

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count the pairs of the training events; see :meth:`Memory.fit`."""
        del items
        last = int(events.behaviour.max(initial=0))
        self._target = last if self.config.target is None else self.config.target
        _, item, behaviours, reached = self._pairs(events)
        others = behaviours > 0
        item, behaviours, reached = item[others], behaviours[others], reached[others]
        self._set, place = np.unique(behaviours, return_inverse=True)
        n_sets, smoothing = len(self._set), self.config.smoothing
        overall = reached.sum() / max(len(reached), 1)
        pairs = np.bincount(place, minlength=n_sets)
        hits = np.bincount(place, reached, minlength=n_sets)
        rate = (hits + smoothing * overall) / np.maximum(pairs + smoothing, 1e-12)
        self._rate = np.append(rate, overall)
        expected = np.bincount(item, self._rate[place], minlength=events.n_items)
        reached_I = np.bincount(item, reached, minlength=events.n_items)
        shrink = self.config.item_smoothing
        self._ratio = (reached_I + shrink) / (expected + shrink)
        self._n_items = events.n_items
        return self

    def _pairs(self, events: Interactions) -> tuple[Ints, Ints, Ints, Ints]:
        """[P] history and item of every pair, its other behaviours as bits, 1 where reached."""
        key = events.group() * np.int64(events.n_items) + events.item
        pair, place = np.unique(key, return_inverse=True)
        bits, reached = np.zeros(len(pair), np.int64), np.zeros(len(pair), np.int64)
        target = events.behaviour == self._target
        reached[place[target]] = 1
        np.bitwise_or.at(bits, place[~target], np.int64(1) << events.behaviour[~target])
        group, item = np.divmod(pair, np.int64(events.n_items))
        return group, item, bits, reached

    def _sparse_score(self, histories: Interactions) -> Entries:
        group, item, behaviours, reached = self._pairs(histories)
        place = np.searchsorted(self._set, behaviours)
        known = np.append(self._set, -1)[place] == behaviours
        rate = self._rate[np.where(known, place, len(self._set))]
        score = np.where((behaviours > 0) & (reached == 0), rate * self._ratio[item], 0.0)
        shape = (histories.n_users, self.n_items)
        return summed_entries(group * self.n_items + item, score, shape)

    def _score(self, histories: Interactions) -> Floats:
        scores: Floats = self._sparse_score(histories).toarray()
        return scores

    def _explain(self, history: Interactions, item: int) -> Floats:
        own = (history.item == item) & (history.behaviour != self._target)
        score = float(self._score(history)[0, item])
        return np.asarray(own * (score / max(int(own.sum()), 1)), np.float32)

    def present(self) -> None:
        """All items: whichever stands in a history may convert."""
        self.require_fitted()

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Rates and ratios; see :meth:`Memory.state`."""
        self.require_fitted()
        target = np.array([self._target], np.int64)
        return {"target": target, "set": self._set, "rate": self._rate, "ratio": self._ratio}

    def load_state(self, state: State) -> Self:
        """Restore rates and ratios; see :meth:`Memory.load_state`."""
        self._target = int(array(state, "target")[0])
        self._set = array(state, "set").astype(np.int64)
        self._rate = array(state, "rate").astype(np.float64)
        self._ratio = array(state, "ratio").astype(np.float64)
        self._n_items = len(self._ratio)
        return self
