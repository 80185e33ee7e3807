"""Trend: items taken more of late than they used to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import MICROSECONDS_PER_DAY, Floats, Interactions, Mask
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import State, array


class Trend(Counted):
    """``log((recent_i + smoothing) / (expected_i + smoothing))``.

    ``recent_i`` counts the events of item i in the last ``days`` before the last training event,
    ``expected_i = n_i * recent / n`` what its share of all training events would give. Above 0:
    rising; below 0: fading. Same for every history; 0 throughout where the log has no times.
    """

    name = "trend"
    dense: ClassVar[bool] = True

    class Config(Memory.Config):
        """Settings of :class:`Trend`."""

        days: PositiveFloat = tunable(
            30.0, low=1.0, high=365.0, log=True, description="length of the recent window"
        )
        smoothing: PositiveFloat = tunable(
            5.0, low=0.5, high=50.0, log=True, description="events added to both counts"
        )

    config: Config
    _trend: Floats
    _seen: Mask

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count recent and all training events; see :meth:`Memory.fit`."""
        del items
        counts = events.item_counts()
        since = events.time.max(initial=0) - self.config.days * MICROSECONDS_PER_DAY
        recent = np.bincount(events.item[events.time > since], minlength=events.n_items)
        expected = counts * (recent.sum() / max(1, len(events)))
        ratio = (recent + self.config.smoothing) / (expected + self.config.smoothing)
        self._trend = np.log(ratio).astype(np.float32)
        self._seen = counts > 0
        self._n_items = events.n_items
        return self

    def _score(self, histories: Interactions) -> Floats:
        return np.tile(self._trend, (histories.n_users, 1))

    def item_vectors(self) -> Floats:
        """[I, 1] the same scores for all; see :meth:`Memory.item_vectors`."""
        self.require_fitted()
        return self._trend[:, None]

    def queries(self, histories: Interactions) -> Floats:
        """[B, 1] ones; see :meth:`Memory.queries`."""
        return np.ones((histories.n_users, 1), np.float32)

    def present(self) -> Mask:
        """[I] items with training events."""
        self.require_fitted()
        return self._seen

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The scores and which items were seen; see :meth:`Memory.state`."""
        self.require_fitted()
        return {"trend": self._trend, "seen": self._seen}

    def load_state(self, state: State) -> Self:
        """Restore the scores; see :meth:`Memory.load_state`."""
        self._trend = array(state, "trend").astype(np.float32)
        self._seen = array(state, "seen").astype(bool)
        self._n_items = len(self._trend)
        return self
