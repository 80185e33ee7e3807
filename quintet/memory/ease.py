"""EASE: an item-to-item linear model with a closed-form solution."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from scipy.linalg import lapack

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions
from quintet.errors import ConfigError
from quintet.memory.base import Memory
from quintet.memory.item_to_item import ItemToItem
from quintet.memory.matrices import recency, seen_matrix


class Ease(ItemToItem):
    """Embarrassingly shallow autoencoder (Steck, WWW 2019, eq. 8).

    With X [U, I] the binary matrix of training events, ``P = (XᵀX + l2·1)⁻¹`` and
    ``B = -P / diag(P)`` (columns divided), its diagonal 0; a history's scores are ``x @ B``, where
    x holds the recency weight of each distinct item. Dense: time grows with I³, memory with I².
    """

    name = "ease"

    class Config(Memory.Config):
        """Settings of :class:`Ease`."""

        l2: PositiveFloat = tunable(250.0, low=1.0, high=10_000.0, log=True, description="ridge")
        half_life: PositiveFloat | None = tunable(
            None,
            low=0.5,
            high=100.0,
            log=True,
            description="steps back that halve a weight",
        )
        max_items: PositiveInt = 15_000

    config: Config

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Solve for B; see :meth:`Memory.fit`.

        Raises:
            ConfigError: the catalogue is larger than ``max_items``.
        """
        del items
        if events.n_items > self.config.max_items:
            raise ConfigError(
                f"memory 'ease': {events.n_items} items need a dense matrix of "
                f"{events.n_items**2 * 8 / 1e9:.1f} GB, over max_items={self.config.max_items}; "
                "raise max_items, filter rare items, or use 'item_cosine' or 'transitions'"
            )
        seen = seen_matrix(events).astype(np.float64)
        gram = (seen.T @ seen).toarray()
        gram[np.diag_indices_from(gram)] += self.config.l2
        return self._keep(_weights_of(gram))

    def _weights(self, histories: Interactions) -> Floats:
        return recency(histories, self.config.half_life, distinct=True)


def _weights_of(gram: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Floats:
    """[I, I] B of the regularised Gram matrix (overwritten), through its Cholesky factor."""
    # symmetric, so its transpose is itself in the order of columns that LAPACK writes in place
    factor, _ = lapack.dpotrf(gram.T, overwrite_a=True)
    upper, _ = lapack.dpotri(factor, overwrite_c=True)  # fills the upper triangle alone
    diagonal = np.diag(upper).copy()
    inverse = np.triu(upper, 1)
    inverse += inverse.T
    weights: Floats = (inverse / -diagonal).astype(np.float32)
    return weights
