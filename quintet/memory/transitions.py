"""Directed co-occurrence: which items follow which, near and far, counted and damped."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions
from quintet.memory.base import Memory
from quintet.memory.entries import Entries
from quintet.memory.item_to_item import ItemToItem
from quintet.memory.matrices import Matrix, age, negative_power, scale_rows_columns, summed

PENDING = 1 << 22  # pairs gathered before they are added up

Share = Annotated[float, Field(gt=0, le=1)]


class Transitions(ItemToItem):
    """Decayed counts of item pairs within a window, a Markov chain of every order at once.

    ``C[i, j] = Σ decay^(d-1)`` over all events of i followed d ≤ window steps later, in the same
    history, by j; then ``C + reverse * Cᵀ``; then each entry is divided by
    ``rowsum^norm_row * columnsum^norm_col`` (both sums taken before dividing). The score of j is
    the sum over the ``last`` events of a history of ``user_decay^age * C[event's item, j]``, where
    the last event has age 0. With ``log_scale`` the scores of a history become
    ``log1p(log_scale * score / greatest score)``, which keeps their order and forgets their scale;
    the parts of :meth:`explain` add up to the score before it.
    """

    name = "transitions"

    class Config(Memory.Config):
        """Settings of :class:`Transitions`."""

        window: PositiveInt = tunable(50, low=1, high=50, description="farthest pair, in steps")
        decay: Share = tunable(0.85, low=0.5, high=1.0, description="weight lost per step apart")
        reverse: NonNegativeFloat = tunable(
            0.5, low=0.0, high=1.0, description="weight of a pair read backwards"
        )
        norm_row: NonNegativeFloat = tunable(
            0.5, low=0.0, high=1.0, description="power of the row sums that divides"
        )
        norm_col: NonNegativeFloat = tunable(
            0.2, low=0.0, high=1.0, description="power of the column sums (popularity) that divides"
        )
        last: PositiveInt = tunable(
            20, low=1, high=50, log=True, description="last events of a history that are used"
        )
        user_decay: Share = tunable(
            0.6, low=0.3, high=1.0, description="weight lost per step back in the history"
        )
        log_scale: PositiveFloat | None = tunable(
            None,
            low=1.0,
            high=1000.0,
            log=True,
            description="final log1p(scale * score / max)",
        )

    config: Config

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count the pairs of the training events; see :meth:`Memory.fit`."""
        del items
        counts = count_pairs(events, self.config.window, self.config.decay)
        if self.config.reverse:
            counts = csr_array(counts + self.config.reverse * counts.T)
        by_row = negative_power(counts.sum(axis=1), self.config.norm_row)
        by_column = negative_power(counts.sum(axis=0), self.config.norm_col)
        return self._keep(scale_rows_columns(counts, by_row, by_column))

    def _weights(self, histories: Interactions) -> Floats:
        back = age(histories)
        weights = np.where(back < self.config.last, self.config.user_decay**back, 0.0)
        return weights.astype(np.float32)

    def _score(self, histories: Interactions) -> Floats:
        scores = super()._score(histories)
        if self.config.log_scale is None:
            return scores
        greatest = scores.max(axis=1, keepdims=True, initial=0.0)
        greatest[greatest == 0] = 1.0
        logs: Floats = np.log1p(np.float32(self.config.log_scale) * (scores / greatest))
        return logs

    def step_matrix(self) -> Matrix | None:
        """The matrix, where scores are plain sums; see :meth:`Memory.step_matrix`."""
        return super().step_matrix() if self.config.log_scale is None else None

    def _sparse_score(self, histories: Interactions) -> Entries | None:
        return super()._sparse_score(histories) if self.config.log_scale is None else None


def count_pairs(events: Interactions, window: int, decay: float) -> Matrix:
    """[I, I] ``Σ decay^(d-1)`` over the pairs (item, item d steps later), d = 1 .. ``window``."""
    user = events.group()
    shape = (events.n_items, events.n_items)
    total: Matrix = csr_array(shape, dtype=np.float64)
    rows, columns, weights, size = [], [], [], 0
    farthest = min(window, int(events.lengths.max(initial=0)) - 1)
    for step in range(1, farthest + 1):
        start = np.flatnonzero(user[:-step] == user[step:])
        rows.append(events.item[start])
        columns.append(events.item[start + step])
        weights.append(np.full(len(start), decay ** (step - 1)))
        size += len(start)
        if size >= PENDING or step == farthest:
            row, column = np.concatenate(rows), np.concatenate(columns)
            total = csr_array(total + summed(row, column, np.concatenate(weights), shape))
            rows, columns, weights, size = [], [], [], 0
    return total
