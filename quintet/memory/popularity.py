"""Popularity: what most people take, all told or lately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import MICROSECONDS_PER_DAY, Floats, Interactions, Mask
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import State, array


class Popularity(Counted):
    """``log(1 + n_i) / log(1 + greatest n)``; n_i counts the training events of item i.

    With ``half_life_days`` an event counts ``0.5^(days before the last training event /
    half_life_days)``. Same for every history, the empty one too. Without ``log`` it is the plain
    share ``n_i / greatest n``; the order is the same.
    """

    name = "popularity"

    class Config(Memory.Config):
        """Settings of :class:`Popularity`."""

        half_life_days: PositiveFloat | None = tunable(
            None, low=1.0, high=1000.0, log=True, description="days that halve an event's weight"
        )
        log: bool = True

    config: Config
    _share: Floats
    _seen: Mask

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count the training events; see :meth:`Memory.fit`."""
        del items
        weights = np.ones(len(events))
        if self.config.half_life_days is not None and len(events):
            days = (events.time.max() - events.time) / MICROSECONDS_PER_DAY
            weights = np.exp2(-days / self.config.half_life_days)
        counts = np.bincount(events.item, weights, minlength=events.n_items)
        counts = np.log1p(counts) if self.config.log else counts
        self._seen = events.item_counts() > 0
        greatest = counts.max(initial=0.0)
        self._share = (counts / greatest if greatest else counts).astype(np.float32)
        self._n_items = events.n_items
        return self

    def _score(self, histories: Interactions) -> Floats:
        return np.tile(self._share, (histories.n_users, 1))

    def present(self) -> Mask:
        """[I] items with training events."""
        self.require_fitted()
        return self._seen

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The scores and which items were seen; see :meth:`Memory.state`."""
        self.require_fitted()
        return {"share": self._share, "seen": self._seen}

    def load_state(self, state: State) -> Self:
        """Restore the scores; see :meth:`Memory.load_state`."""
        self._share = array(state, "share").astype(np.float32)
        self._seen = array(state, "seen").astype(bool)
        self._n_items = len(self._share)
        return self
