"""What comes right after the last item: the first-order Markov chain."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import NonNegativeFloat

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Mask
from quintet.memory.base import Memory
from quintet.memory.item_to_item import ItemToItem
from quintet.memory.matrices import age, scale_rows_columns
from quintet.memory.transitions import count_pairs


class LastItem(ItemToItem):
    """Share of the last item's successors: ``n(last -> i) / (n(last -> any) + smoothing)``."""

    name = "last_item"

    class Config(Memory.Config):
        """Settings of :class:`LastItem`."""

        smoothing: NonNegativeFloat = tunable(
            0.0, low=0.0, high=20.0, description="added to the successors, damps rare last items"
        )

    config: Config

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count the successors; see :meth:`Memory.fit`."""
        del items
        counts = count_pairs(events, window=1, decay=1.0)
        successors = counts.sum(axis=1)
        share = np.divide(
            1.0,
            successors + self.config.smoothing,
            out=np.zeros_like(successors),
            where=successors > 0,
        )
        return self._keep(scale_rows_columns(counts, share, np.ones(events.n_items)))

    def _weights(self, histories: Interactions) -> Floats:
        last: Mask = age(histories) == 0
        return last.astype(np.float32)
