"""What every modality is: columns of one kind in, one vector an entity out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from quintet.config import Config as BaseConfig
from quintet.data.features import FeatureTable
from quintet.registry import Registry

Arrays = Mapping[str, NDArray[np.generic]]


class Modality(nn.Module, ABC):
    """Encodes the columns of one kind.

    What can be computed once (a TF-IDF projection, a multi-hot list) is made by :meth:`prepare`,
    outside of the training loop; :meth:`forward` holds what is learned. Missing values get a
    learned vector, never a silent zero.
    """

    name: ClassVar[str]
    #: whether it is used wherever it applies; else only where the model's settings name it
    by_default: ClassVar[bool] = True

    class Config(BaseConfig):
        """Settings of the modality."""

    def __init__(self, width: int, config: Config | None = None) -> None:
        super().__init__()
        self.width = width
        self.config = config if config is not None else self.Config()

    @classmethod
    @abstractmethod
    def applies(cls, table: FeatureTable) -> bool:
        """Whether the table has columns of this kind."""

    @abstractmethod
    def fit(self, table: FeatureTable) -> None:
        """Learn the frozen statistics and shape the parameters."""

    @abstractmethod
    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """The table's columns as tensors with one row an entity; same keys for every table."""

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """[N, width] vectors from what :meth:`prepare` made."""

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """Frozen statistics as arrays and JSON; with :meth:`restore` they survive in the bundle."""
        return {}, {}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """Take back what :meth:`statistics` gave and shape the parameters."""
        del arrays, meta


MODALITIES: Registry[Modality] = Registry("quintet.nn.modalities", Modality, "modality")  # type: ignore[type-abstract]
