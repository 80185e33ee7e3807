"""Item-based collaborative filtering: items like those of the history.

Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001; Deshpande
and Karypis, "Item-based top-n recommendation algorithms", TOIS 2004.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions
from quintet.memory.base import Memory
from quintet.memory.item_to_item import ItemToItem
from quintet.memory.matrices import (
    Matrix,
    State,
    event_matrix,
    keep_top,
    recency,
    rows_of,
    seen_matrix,
)
from quintet.memory.ratings import ValueScale
from quintet.memory.similarity import cosine, pearson, phi

Weighting = Literal["binary", "count", "tfidf", "bm25"]


class _ItemNeighbours(ItemToItem):
    """Sum over the history of similarity times weight, over each item's k nearest."""

    class Config(Memory.Config):
        """Settings of the item neighbours."""

        k: PositiveInt = tunable(
            200, low=20, high=1000, log=True, description="neighbours kept of each item"
        )
        shrinkage: NonNegativeFloat = tunable(
            10.0, low=0.0, high=1000.0, description="damps similarities from few people"
        )
        half_life: PositiveFloat | None = tunable(
            None, low=0.5, high=100.0, log=True, description="steps back that halve a weight"
        )

    config: Config

    def _keep_neighbours(self, similar: Matrix) -> Self:
        """Keep, for every item scored, its k nearest among the items of a history."""
        similar.data[rows_of(similar) == similar.indices] = 0
        nearest = keep_top(similar, self.config.k)
        return self._keep(nearest.T.tocsr())


class ItemCosine(_ItemNeighbours):
    """Cosine between the items' people, ``x_i·x_j / (|x_i| |x_j| + shrinkage)``.

    x_i [U] holds the events of item i by person: 1 (``binary``), their count, or the count weighted
    by tf-idf or BM25 with items as documents and people as terms, so that a person of few items
    says more. Each distinct item of a history is weighed once (``binary``), else each event.
    """

    name = "item_cosine"

    class Config(_ItemNeighbours.Config):
        """Settings of :class:`ItemCosine`."""

        weighting: Weighting = tunable(
            "binary",
            choices=["binary", "count", "tfidf", "bm25"],
            description="how a person's events with an item are weighed",
        )
        bm25_k1: PositiveFloat = tunable(1.2, low=0.5, high=5.0, description="BM25 saturation")
        bm25_b: Annotated[float, Field(ge=0, le=1)] = tunable(
            0.75, low=0.0, high=1.0, description="BM25 correction for popular items"
        )

    config: Config

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Compare the items of the training events; see :meth:`Memory.fit`."""
        del items
        people = event_matrix(events) if self.config.weighting != "binary" else seen_matrix(events)
        people.data = self._weigh(people).astype(np.float32)
        return self._keep_neighbours(cosine(people.T.tocsr(), people, self.config.shrinkage))

    def _weigh(self, counts: Matrix) -> NDArray[np.float64]:
        """[nnz] weights of the entries of ``counts`` [U, I]."""
        weights: NDArray[np.float64] = counts.data.astype(np.float64)
        if self.config.weighting in ("binary", "count"):
            return weights
        n_items = counts.shape[1]
        items_of = np.diff(counts.indptr)
        rarity = np.log1p((n_items - items_of + 0.5) / (items_of + 0.5))
        idf = rarity[rows_of(counts)]
        if self.config.weighting == "bm25":
            k1, b = self.config.bm25_k1, self.config.bm25_b
            length = np.bincount(counts.indices, weights, minlength=n_items)
            longer = length / max(1e-12, length.sum() / max(1, np.count_nonzero(length)))
            saturation = k1 * (1 - b + b * longer[counts.indices])
            weights *= (k1 + 1) / (weights + saturation)
        else:
            weights = np.sqrt(weights)
        return weights * idf

    def _weights(self, histories: Interactions) -> Floats:
        binary = self.config.weighting == "binary"
        return recency(histories, self.config.half_life, distinct=binary)


class ItemPearson(_ItemNeighbours):
    """Pearson correlation between two items' values over the people who gave both a value.

    Only positive correlations make neighbours. Without values that differ the correlation is that
    of binary events over all people (centred implicit feedback). An event of the history weighs
    ``recency * (1 + liking * (value - history's mean) / spread)``, 1 in place of the bracket where
    it has no value: ``liking=0`` reads which items, a large one how much they pleased.
    """

    name = "item_pearson"

    class Config(_ItemNeighbours.Config):
        """Settings of :class:`ItemPearson`."""

        shrinkage: NonNegativeFloat = tunable(
            100.0, low=0.0, high=1000.0, description="people at which a correlation is halved"
        )
        liking: NonNegativeFloat = tunable(
            0.5, low=0.0, high=2.0, description="how much a value above the mean adds"
        )

    config: Config
    _scale: ValueScale

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Correlate the items of the training events; see :meth:`Memory.fit`."""
        del items
        self._scale = ValueScale.of(events)
        if self._scale.informative:
            values = self._scale.matrix(events)
            similar = pearson(values.T.tocsr(), values, self.config.shrinkage)
        else:
            seen = seen_matrix(events)
            similar = phi(seen.T.tocsr(), seen, self.config.shrinkage)
        return self._keep_neighbours(similar)

    def _weights(self, histories: Interactions) -> Floats:
        liked = 1.0 + self.config.liking * self._scale.deviations(histories)
        weights: Floats = recency(histories, self.config.half_life) * liked
        return weights.astype(np.float32)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The neighbours and the scale of values; see :meth:`Memory.state`."""
        return {**super().state(), "scale": self._scale.pack()}

    def load_state(self, state: State) -> Self:
        """Restore neighbours and scale; see :meth:`Memory.load_state`."""
        self._scale = ValueScale.unpack(state, "scale")
        return super().load_state(state)
