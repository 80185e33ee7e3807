"""Models of ratings that the interaction task is compared with: biases, and a library's SVD.

Shapes: N pairs of a user and an item. Ratings are predicted in the units of the log.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from quintet.config import Config as BaseConfig
from quintet.config import tunable
from quintet.data.interactions import Interactions, Mask
from quintet.errors import DataError, EmptyDataError, MissingExtraError, NotFittedError
from quintet.memory.matrices import age

Numbers = NDArray[np.float64]

#: rounds of the alternating least squares, fewer if nothing changes any more
SWEEPS = 50
CHANGE = 1e-7


class RatingBaseline(ABC):
    """A model of ratings; subclasses give ``name``, ``Config``, ``_fit`` and ``_predict``."""

    name: ClassVar[str]

    class Config(BaseConfig):
        """Settings of the model."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()
        self._scale: tuple[float, float] | None = None

    def fit(self, train: Interactions) -> Self:
        """Learn from the events that have a value.

        Raises:
            EmptyDataError: none has.
            MissingExtraError: the model's library is not installed.
        """
        rated = train.select(np.isfinite(train.value))
        if not len(rated):
            raise EmptyDataError(f"baseline {self.name!r}: no training event has a value")
        self._fit(rated)
        self._scale = (float(rated.value.min()), float(rated.value.max()))
        return self

    def predict(
        self,
        users_N: NDArray[np.integer],
        items_N: NDArray[np.integer],
        histories: Interactions | None = None,
    ) -> Numbers:
        """[N] the rating of each pair, within the range of the training values.

        Args:
            users_N: user rows; those never seen, or -1, are answered without a user's part.
            items_N: item rows; likewise.
            histories: what came before each pair, for models that read it.

        Raises:
            NotFittedError: ``fit`` was not called.
            DataError: there is not one history for each pair.
        """
        if self._scale is None:
            raise NotFittedError(f"baseline {self.name!r}: call fit() first")
        if histories is not None and histories.n_users != len(users_N):
            raise DataError(f"{histories.n_users} histories for {len(users_N)} pairs: one each")
        return np.clip(self._predict(users_N, items_N, histories), *self._scale)

    @abstractmethod
    def _fit(self, rated: Interactions) -> None:
        """Learn from events that all have a value; there is at least one."""

    @abstractmethod
    def _predict(
        self,
        users_N: NDArray[np.integer],
        items_N: NDArray[np.integer],
        histories: Interactions | None,
    ) -> Numbers:
        """[N] ratings, not yet clipped."""


class BiasModel(RatingBaseline):
    """``mean + b_u + b_i``, the biases shrunk to 0 (Koren, CACM 2009, "baseline predictors").

    The biases minimise ``Σ (r - mean - b_u - b_i)² + user_shrinkage Σ b_u² + item_shrinkage Σ
    b_i²``, by turns; who or what is unknown has bias 0.
    """

    name = "bias"

    class Config(RatingBaseline.Config):
        """Settings of :class:`BiasModel`."""

        user_shrinkage: PositiveFloat = tunable(
            5.0, low=0.1, high=100.0, log=True, description="ratings at which b_u is halved"
        )
        item_shrinkage: PositiveFloat = tunable(
            5.0, low=0.1, high=100.0, log=True, description="ratings at which b_i is halved"
        )

    config: Config
    mean: float
    user_bias: Numbers
    item_bias: Numbers

    def _fit(self, rated: Interactions) -> None:
        self.mean = float(rated.value.astype(np.float64).mean())
        centred_E = rated.value.astype(np.float64) - self.mean
        user_E, item_E = rated.group(), rated.item
        by_user = np.bincount(user_E, minlength=rated.n_users) + self.config.user_shrinkage
        by_item = rated.item_counts() + self.config.item_shrinkage
        self.user_bias, self.item_bias = np.zeros(rated.n_users), np.zeros(rated.n_items)
        for _ in range(SWEEPS):
            before = self.user_bias
            rest_E = centred_E - self.user_bias[user_E]
            self.item_bias = np.bincount(item_E, rest_E, minlength=rated.n_items) / by_item
            rest_E = centred_E - self.item_bias[item_E]
            self.user_bias = np.bincount(user_E, rest_E, minlength=rated.n_users) / by_user
            if np.abs(self.user_bias - before).max() < CHANGE:
                break

    def _predict(
        self,
        users_N: NDArray[np.integer],
        items_N: NDArray[np.integer],
        histories: Interactions | None,
    ) -> Numbers:
        del histories
        return self.mean + _known(self.user_bias, users_N) + _known(self.item_bias, items_N)


class OnlineBiasModel(BiasModel):
    """:class:`BiasModel` with the user's bias of the moment, from all ratings before the pair.

    ``b_u = Σ decay^age (r - mean - b_i) / (Σ decay^age + user_shrinkage)`` over the rated events
    of the history, the last of which has age 0. Without histories the trained bias stands.
    """

    name = "bias_online"

    class Config(BiasModel.Config):
        """Settings of :class:`OnlineBiasModel`."""

        decay: Annotated[float, Field(gt=0, le=1)] = tunable(
            0.98, low=0.7, high=1.0, description="weight lost per rating back"
        )

    config: Config

    def _predict(
        self,
        users_N: NDArray[np.integer],
        items_N: NDArray[np.integer],
        histories: Interactions | None,
    ) -> Numbers:
        if histories is None:
            return super()._predict(users_N, items_N, None)
        rated = histories.select(np.isfinite(histories.value))
        weight_E = self.config.decay ** age(rated)
        rest_E = rated.value - self.mean - _known(self.item_bias, rated.item)
        group_E, n = rated.group(), rated.n_users
        total_N = np.bincount(group_E, weight_E * rest_E, minlength=n)
        mass_N = np.bincount(group_E, weight_E, minlength=n)
        bias_N: Numbers = total_N / (mass_N + self.config.user_shrinkage)
        return self.mean + bias_N + _known(self.item_bias, items_N)


class LibraryFactorisation(RatingBaseline):
    """Biased matrix factorisation (Koren, Bell and Volinsky 2009), the SVD of scikit-surprise.

    Unknown users and items are answered by the library's rule: their bias and vector are left out.
    """

    name = "svd"

    class Config(RatingBaseline.Config):
        """Settings of :class:`LibraryFactorisation`."""

        factors: PositiveInt = tunable(
            50, low=8, high=200, log=True, description="length of the vectors"
        )
        regularization: NonNegativeFloat = tunable(
            0.05, low=0.01, high=0.3, log=True, description="ridge on biases and vectors"
        )
        learning_rate: PositiveFloat = tunable(
            0.005, low=0.001, high=0.03, log=True, description="step of the descent"
        )
        epochs: PositiveInt = tunable(20, low=10, high=80, log=True, description="passes")
        seed: int = 0

    config: Config
    _model: Any
    _user_known: Mask
    _item_known: Mask

    def _fit(self, rated: Interactions) -> None:
        try:
            from surprise import SVD
        except ImportError:
            raise MissingExtraError("baseline 'svd'", "baselines") from None
        self._model = SVD(
            n_factors=self.config.factors,
            n_epochs=self.config.epochs,
            lr_all=self.config.learning_rate,
            reg_all=self.config.regularization,
            random_state=self.config.seed,
        )
        self._model.fit(_trainset(rated))
        self._user_known, self._item_known = rated.lengths > 0, rated.item_counts() > 0

    def _predict(
        self,
        users_N: NDArray[np.integer],
        items_N: NDArray[np.integer],
        histories: Interactions | None,
    ) -> Numbers:
        del histories
        model = self._model
        user_bias = np.where(self._user_known, model.bu, 0.0)
        item_bias = np.where(self._item_known, model.bi, 0.0)
        users = np.where(self._user_known[:, None], model.pu, 0.0)
        items = np.where(self._item_known[:, None], model.qi, 0.0)
        product_N = (_known(users, users_N) * _known(items, items_N)).sum(axis=1)
        bias_N = _known(user_bias, users_N) + _known(item_bias, items_N)
        predicted_N: Numbers = model.trainset.global_mean + bias_N + product_N
        return predicted_N


def _trainset(rated: Interactions) -> Any:
    """The library's training set with our rows as its inner ids."""
    from surprise import Trainset

    items, values = rated.item.tolist(), rated.value.astype(float).tolist()
    by_user = defaultdict(list)
    for user in np.flatnonzero(rated.lengths).tolist():
        own = slice(int(rated.offsets[user]), int(rated.offsets[user + 1]))
        by_user[user] = list(zip(items[own], values[own], strict=True))
    by_item = dict.fromkeys(np.unique(rated.item).tolist(), ())  # only asked which items it holds
    scale = (min(values), max(values))
    size = (rated.n_users, rated.n_items)
    return Trainset(by_user, by_item, *size, len(rated), scale, {}, {})


def _known(table: Numbers, rows: NDArray[np.integer]) -> Numbers:
    """Entries of ``table`` at the rows, 0 at rows that it does not have."""
    inside = (rows >= 0) & (rows < len(table))
    taken = table[np.where(inside, rows, 0)]
    return np.where(inside if table.ndim == 1 else inside[:, None], taken, 0.0)


RATING_BASELINES: dict[str, type[RatingBaseline]] = {
    part.name: part for part in (BiasModel, OnlineBiasModel, LibraryFactorisation)
}
