"""Matrix factorisation baselines, fitted by the library ``implicit`` (extra "baselines").

Both start from random vectors drawn by row, so they are the same for the same seed but, unlike
counted evidence, not exactly the same when rows are permuted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Mask
from quintet.errors import MissingExtraError
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import (
    BLOCK,
    Matrix,
    State,
    array,
    event_matrix,
    known_users,
    rows_of,
    seen_matrix,
)

DIVERGED = 1e6  # no vector of a descent that works grows this long


class _Factorization(Counted):
    """Vectors of items [I, F], fitted by one of implicit's models."""

    evidence: ClassVar[bool] = False

    class Config(Memory.Config):
        """Settings of the factorisations."""

        factors: PositiveInt = tunable(
            64, low=16, high=192, log=True, description="length of the vectors"
        )
        seed: int = 0

    config: Config
    _items: Floats
    _seen: Mask

    @abstractmethod
    def _model(self) -> Any:
        """An unfitted model of implicit."""

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Factorise the counts of the training events; see :meth:`Memory.fit`.

        Raises:
            MissingExtraError: ``implicit`` is not installed.
        """
        del items
        counts = csr_matrix(event_matrix(events))
        with threadpool_limits(1, "blas"):  # implicit warns, and is slow, with more threads
            model = self._model()
            if counts.nnz:
                model.fit(counts, show_progress=False)
        self._keep_factors(events, model)
        self._n_items = events.n_items
        return self

    def _keep_factors(self, events: Interactions, model: Any) -> None:
        self._seen = events.item_counts() > 0
        factors = model.item_factors
        if factors is None:
            factors = np.zeros((events.n_items, self.config.factors), np.float32)
        self._items = np.where(self._seen[:, None], _settled(factors), np.float32(0))

    def present(self) -> Mask:
        """[I] items with training events."""
        self.require_fitted()
        return self._seen

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Item vectors and which items were seen; see :meth:`Memory.state`."""
        self.require_fitted()
        return {"items": self._items, "seen": self._seen}

    def load_state(self, state: State) -> Self:
        """Restore the vectors; see :meth:`Memory.load_state`."""
        self._items = array(state, "items").astype(np.float32)
        self._seen = array(state, "seen").astype(bool)
        self._n_items = len(self._items)
        return self


def _settled(vectors: Floats) -> Floats:
    """[N, F] the vectors, or zeros if the descent took too long steps and left all bounds."""
    bounded = np.isfinite(vectors).all() and np.abs(vectors).max(initial=0.0) < DIVERGED
    return vectors if bounded else np.zeros_like(vectors)


class Als(_Factorization):
    """Implicit alternating least squares (Hu, Koren and Volinsky, ICDM 2008).

    An item seen n times has confidence ``c = alpha * n``. Histories are folded in by the same
    least squares (eq. 4): ``x = (YᵀY + Yᵀ(C - 1)Y + regularization·1)⁻¹ Yᵀ c``.
    """

    name = "als"

    class Config(_Factorization.Config):
        """Settings of :class:`Als`."""

        regularization: PositiveFloat = tunable(
            0.05, low=1e-2, high=50.0, log=True, description="ridge on the vectors"
        )
        alpha: PositiveFloat = tunable(
            10.0, low=0.3, high=50.0, log=True, description="confidence of one event"
        )
        iterations: PositiveInt = tunable(15, low=5, high=20, description="passes over the data")

    config: Config

    def _model(self) -> Any:
        try:
            from implicit.als import AlternatingLeastSquares
        except ImportError:
            raise MissingExtraError("memory 'als'", "baselines") from None
        return AlternatingLeastSquares(
            factors=self.config.factors,
            regularization=self.config.regularization,
            alpha=self.config.alpha,
            iterations=self.config.iterations,
            use_gpu=False,
            num_threads=1,
            random_state=self.config.seed,
        )

    def _score(self, histories: Interactions) -> Floats:
        return (self.fold_in(histories) @ self._items.T).astype(np.float32)

    def fold_in(self, histories: Interactions) -> NDArray[np.float64]:
        """[B, F] the least-squares vector of each history, given the item vectors."""
        items = self._items.astype(np.float64)
        n_factors = items.shape[1]
        ridge = items.T @ items + self.config.regularization * np.eye(n_factors)
        confidence = event_matrix(histories)
        confidence.data *= self.config.alpha
        size = np.diff(confidence.indptr)
        by_size = np.argsort(size, kind="stable")  # little padding within a block
        step = max(1, BLOCK // (n_factors * max(int(size.max(initial=1)), n_factors)))
        vectors = np.empty((histories.n_users, n_factors))
        for start in range(0, histories.n_users, step):
            rows = by_size[start : start + step]
            vectors[rows] = _least_squares(confidence[rows], items, ridge)
        return vectors


def _least_squares(
    confidence: Matrix, items: NDArray[np.float64], ridge: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[B, F] ``(ridge + Yᵀ(C - 1)Y)⁻¹ Yᵀ c`` of each row of ``confidence`` [B, I]."""
    size = np.diff(confidence.indptr)
    row = rows_of(confidence)
    place = np.arange(confidence.nnz) - np.repeat(confidence.indptr[:-1], size)
    own = np.zeros((len(size), int(size.max(initial=0)), items.shape[1]))  # histories padded with 0
    own[row, place] = items[confidence.indices]
    weight = np.zeros(own.shape[:2])
    weight[row, place] = confidence.data
    extra = (own * (weight - 1)[..., None]).transpose(0, 2, 1) @ own
    target = np.einsum("blf,bl->bf", own, weight)
    vectors: NDArray[np.float64] = np.linalg.solve(ridge + extra, target[..., None])[..., 0]
    return vectors


class Bpr(_Factorization):
    """Bayesian personalised ranking by matrix factorisation (Rendle et al., UAI 2009).

    A user known from training is scored by the trained vector, whatever the history; anyone else by
    the mean vector of the history's items. The last number of an item's vector is its bias.
    """

    name = "bpr"

    class Config(_Factorization.Config):
        """Settings of :class:`Bpr`."""

        factors: PositiveInt = tunable(
            32, low=8, high=64, log=True, description="length of the vectors"
        )
        learning_rate: PositiveFloat = tunable(
            0.02, low=5e-3, high=0.1, log=True, description="step of the descent"
        )
        regularization: NonNegativeFloat = tunable(
            0.01, low=1e-4, high=0.1, log=True, description="ridge on the vectors"
        )
        iterations: PositiveInt = tunable(100, low=20, high=150, log=True, description="passes")

    config: Config
    _users: Floats

    def _model(self) -> Any:
        try:
            from implicit.bpr import BayesianPersonalizedRanking
        except ImportError:
            raise MissingExtraError("memory 'bpr'", "baselines") from None
        return BayesianPersonalizedRanking(
            factors=self.config.factors,
            learning_rate=self.config.learning_rate,
            regularization=self.config.regularization,
            iterations=self.config.iterations,
            use_gpu=False,
            num_threads=1,
            random_state=self.config.seed,
        )

    def _keep_factors(self, events: Interactions, model: Any) -> None:
        super()._keep_factors(events, model)
        users = model.user_factors
        if users is None:
            users = np.zeros((events.n_users, self._items.shape[1]), np.float32)
        # users without training events keep their random start: they are not known
        self._users = np.where(events.lengths[:, None] > 0, _settled(users), np.float32(0))

    def _score(self, histories: Interactions) -> Floats:
        distinct = seen_matrix(histories)
        size = np.maximum(np.diff(distinct.indptr), 1)
        vectors = ((distinct @ self._items) / size[:, None]).astype(np.float32)
        vectors[:, -1] = histories.lengths > 0  # the bias counts in full, as for trained users
        known = known_users(histories, len(self._users))
        trained = (known >= 0) & self._users[known].any(axis=1)
        vectors[trained] = self._users[known[trained]]
        return (vectors @ self._items.T).astype(np.float32)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Vectors of items and users; see :meth:`Memory.state`."""
        return {**super().state(), "users": self._users}

    def load_state(self, state: State) -> Self:
        """Restore the vectors; see :meth:`Memory.load_state`."""
        self._users = array(state, "users").astype(np.float32)
        return super().load_state(state)
