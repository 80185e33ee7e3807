"""Values of events (ratings) as sparse matrices, on a scale that leaves no zeros."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.matrices import Matrix, State, array, rows_of, seen_matrix, summed


@dataclass(frozen=True)
class ValueScale:
    """The range of the training values, squashed into [1, 2].

    Squashed values are never 0, so that a sparse matrix of them has an entry exactly where there is
    a value, and so have its products; correlations do not change. Values met later are clipped to
    the range.

    Attributes:
        low: least training value.
        high: greatest training value; equal to ``low`` where values say nothing.
        spread: standard deviation of the squashed training values.
    """

    low: float = 0.0
    high: float = 0.0
    spread: float = 0.0

    @classmethod
    def of(cls, events: Interactions) -> Self:
        """The scale of the events' values; without any, or all equal, it is not ``informative``."""
        values = events.value[np.isfinite(events.value)].astype(np.float64)
        if not len(values) or values.min() == values.max():
            return cls()
        scale = cls(float(values.min()), float(values.max()))
        return replace(scale, spread=float(scale.squash(values).std()))

    @property
    def informative(self) -> bool:
        """Whether there are values that differ."""
        return self.high > self.low

    def squash(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """[N] values in [1, 2]; NaN stays."""
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return 1.0 + np.clip(share, 0.0, 1.0)

    def matrix(self, events: Interactions) -> Matrix:
        """[U, I] squashed value where the user gave one; the mean where there are several."""
        shape = (events.n_users, events.n_items)
        if not self.informative:
            return csr_array(shape, dtype=np.float64)
        valued = events.select(np.isfinite(events.value))
        squashed = self.squash(valued.value)
        total = summed(valued.group(), valued.item, squashed, shape)
        times = summed(valued.group(), valued.item, np.ones(len(valued)), shape)
        total.data /= times.data
        return total

    def deviations(self, histories: Interactions) -> Floats:
        """[N] value less the mean of its history, in spreads; 0 where there is no value."""
        deviation = np.zeros(len(histories), np.float64)
        valued = np.isfinite(histories.value)
        if self.informative and valued.any():
            group = histories.group()[valued]
            squashed = self.squash(histories.value[valued])
            total = np.bincount(group, squashed, minlength=histories.n_users)
            times = np.bincount(group, minlength=histories.n_users)
            deviation[valued] = (squashed - (total / np.maximum(times, 1))[group]) / self.spread
        return deviation.astype(np.float32)

    def pack(self) -> NDArray[np.float64]:
        """[3] low, high and spread."""
        return np.array([self.low, self.high, self.spread])

    @classmethod
    def unpack(cls, state: State, name: str) -> Self:
        """The scale kept under ``name``; raises CorruptBundleError where it is missing."""
        return cls(*(float(number) for number in array(state, name)))


def liked_matrix(events: Interactions, scale: ValueScale, liking: float) -> Matrix:
    """[U, I] ``1 + liking * deviation`` at the items of each user.

    ``deviation`` is the value (mean of repeats) less the user's mean over items, in spreads; 0
    where the user gave no value.
    """
    liked = seen_matrix(events)
    values = scale.matrix(events)
    if not values.nnz:
        return liked
    rows = rows_of(values)
    total = np.bincount(rows, values.data, minlength=events.n_users)
    times = np.bincount(rows, minlength=events.n_users)
    deviation = (values.data - (total / np.maximum(times, 1))[rows]) / scale.spread
    # added in place, not as a sum of matrices, which would drop entries that happen to become 0
    place = np.searchsorted(_keys(liked), _keys(values))
    liked.data[place] += (liking * deviation).astype(np.float32)
    return liked


def _keys(matrix: Matrix) -> Ints:
    """[nnz] the place of each entry in row-major order."""
    return rows_of(matrix) * matrix.shape[1] + matrix.indices
