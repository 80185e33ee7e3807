"""User-based collaborative filtering: what people like the one at hand took.

Resnick et al., "GroupLens", CSCW 1994; Herlocker et al., SIGIR 1999. The state holds the training
histories themselves (one row a person), so it is as private as they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Mask
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import (
    Matrix,
    State,
    event_matrix,
    keep_top,
    known_users,
    last_occurrence,
    pack,
    recency,
    rows_of,
    scale_rows_columns,
    seen_matrix,
    unpack,
)
from quintet.memory.ratings import ValueScale, liked_matrix
from quintet.memory.similarity import LEAST_WEIGHT, cosine, pearson, phi


class _UserNeighbours(Counted):
    """Score of item i: ``Σ_v sim(history, v) * taken[v, i] / Σ_v sim(history, v)``.

    v runs over the k nearest training users of positive similarity; the user's own training row
    (``histories.user``) is left out. With ``taken`` binary a score is a share in [0, 1].
    """

    class Config(Memory.Config):
        """Settings of the user neighbours."""

        k: PositiveInt = tunable(
            100, low=20, high=1000, log=True, description="neighbours of a history"
        )
        shrinkage: NonNegativeFloat = tunable(
            10.0, low=0.0, high=200.0, description="damps similarities from few items"
        )
        half_life: PositiveFloat | None = tunable(
            None, low=0.5, high=100.0, log=True, description="steps back that halve a weight"
        )

    config: Config
    _taken: Matrix

    @abstractmethod
    def _similar(self, histories: Interactions) -> Matrix:
        """[B, U] similarity of each history to each training user."""

    def _score(self, histories: Interactions) -> Floats:
        similar = self._similar(histories)
        own = known_users(histories, similar.shape[1])
        similar.data[similar.indices == own[rows_of(similar)]] = 0
        nearest = keep_top(similar, self.config.k)
        total = nearest.sum(axis=1)
        share = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        nearest.data *= share[rows_of(nearest)]
        scores: Floats = (nearest.astype(np.float32) @ self._taken).toarray()
        return scores

    def present(self) -> Mask:
        """[I] items with training events."""
        n_items = self.n_items
        return np.bincount(self._taken.indices, minlength=n_items) > 0


class UserCosine(_UserNeighbours):
    """Cosine between the history and each training user's items.

    ``x_h·x_v / (|x_h| |x_v| + shrinkage)``; an entry is the recency weight (1 for training users)
    times ``idf^idf_power``, with ``idf_i = log(1 + U / n_i)`` and n_i the users of item i (at
    least 1). Each distinct item counts once.
    """

    name = "user_cosine"

    class Config(_UserNeighbours.Config):
        """Settings of :class:`UserCosine`."""

        idf_power: Annotated[float, Field(ge=0)] = tunable(
            0.0, low=0.0, high=4.0, description="how much rarer items say more"
        )

    config: Config
    _by_item: Matrix
    _idf: NDArray[np.float64]

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Keep the training users' items; see :meth:`Memory.fit`."""
        del items
        return self._keep(seen_matrix(events))

    def _keep(self, taken: Matrix) -> Self:
        self._taken = taken
        self._n_items = taken.shape[1]
        n_users = np.bincount(taken.indices, minlength=self._n_items)
        self._idf = np.log1p(taken.shape[0] / np.maximum(n_users, 1)) ** self.config.idf_power
        self._by_item = scale_rows_columns(taken.T.tocsr(), self._idf, np.ones(taken.shape[0]))
        return self

    def _similar(self, histories: Interactions) -> Matrix:
        weights = recency(histories, self.config.half_life, distinct=True)
        weighted = event_matrix(histories, weights * self._idf[histories.item])
        return cosine(weighted, self._by_item, self.config.shrinkage)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The training users' items; see :meth:`Memory.state`."""
        self.require_fitted()
        return pack(self._taken, "taken")

    def load_state(self, state: State) -> Self:
        """Restore the training users' items; see :meth:`Memory.load_state`."""
        return self._keep(unpack(state, "taken"))


class UserPearson(_UserNeighbours):
    """Pearson correlation with each training user over the items to which both gave a value.

    A history with fewer than two values (and every one where training values do not differ) is
    compared by the correlation of binary events over all items. A neighbour's item counts
    ``1 + liking * (value - neighbour's mean) / spread``, and 1 where it has no value.
    """

    name = "user_pearson"

    class Config(_UserNeighbours.Config):
        """Settings of :class:`UserPearson`."""

        shrinkage: NonNegativeFloat = tunable(
            50.0, low=0.0, high=200.0, description="items at which a correlation is halved"
        )
        liking: NonNegativeFloat = tunable(
            0.5, low=0.0, high=2.0, description="how much a neighbour's value above the mean adds"
        )

    config: Config
    _scale: ValueScale
    _seen_by_item: Matrix
    _values_by_item: Matrix

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Keep the training users' items and values; see :meth:`Memory.fit`."""
        del items
        self._scale = ValueScale.of(events)
        taken = liked_matrix(events, self._scale, self.config.liking)
        return self._keep(taken, self._scale.matrix(events).T.tocsr())

    def _keep(self, taken: Matrix, values_by_item: Matrix) -> Self:
        self._taken = taken
        self._n_items = taken.shape[1]
        self._values_by_item = values_by_item
        self._seen_by_item = taken.T.tocsr()
        self._seen_by_item.data = np.ones_like(self._seen_by_item.data)
        return self

    def _similar(self, histories: Interactions) -> Matrix:
        valued = np.isfinite(histories.value)
        group = histories.group()
        many = np.bincount(group[valued], minlength=histories.n_users) >= 2
        by_value = many[group] & self._scale.informative
        weights = recency(histories, self.config.half_life, distinct=True)
        implicit = event_matrix(histories, np.where(by_value, 0.0, weights))
        similar = phi(implicit, self._seen_by_item, self.config.shrinkage)
        if not by_value.any():
            return similar
        rated = histories.select(by_value & valued)
        values = self._scale.matrix(rated)
        recent = np.maximum(recency(rated, self.config.half_life), LEAST_WEIGHT)
        weighted = event_matrix(rated, recent * last_occurrence(rated))
        by_rating = pearson(values, self._values_by_item, self.config.shrinkage, weighted)
        return csr_array(similar + by_rating)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The training users' items, values and their scale; see :meth:`Memory.state`."""
        self.require_fitted()
        return {
            **pack(self._taken, "taken"),
            **pack(self._values_by_item, "values_by_item"),
            "scale": self._scale.pack(),
        }

    def load_state(self, state: State) -> Self:
        """Restore items, values and scale; see :meth:`Memory.load_state`."""
        self._scale = ValueScale.unpack(state, "scale")
        return self._keep(unpack(state, "taken"), unpack(state, "values_by_item"))
