"""What every modality is: columns of one kind in, one vector an entity out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import Config as BaseConfig
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats
from quintet.registry import Registry

Arrays = Mapping[str, NDArray[np.generic]]

#: of the usual scale of a vector's directions, which none falls below
LEAST_SHARE = 0.1


class Modality(nn.Module, ABC):
    """Encodes the columns of one kind.

    What can be computed once (a TF-IDF projection, a multi-hot list) is made by :meth:`prepare`,
    outside of the training loop; :meth:`forward` holds what is learned. Missing values get a
    learned vector, never a silent zero.
    """

    name: ClassVar[str]
    #: whether it is used wherever it applies; else only where the model's settings name it
    by_default: ClassVar[bool] = True
    #: whether it reads texts, whose words mean the same in any catalogue
    transfers: ClassVar[bool] = False

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

    def nothing(self) -> dict[str, Tensor] | None:
        """What :meth:`prepare` gives for one row without a value; None: it is never withheld."""
        return None

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """Frozen statistics as arrays and JSON; with :meth:`restore` they survive in the bundle."""
        return {}, {}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """Take back what :meth:`statistics` gave and shape the parameters."""
        del arrays, meta


def standard(known_NK: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """[K] mean and [K] scale of columns; NaN counts as missing.

    A direction in which the rows hardly differ keeps a share of the usual scale: a row to come that
    does differ there would otherwise outweigh all others.
    """
    n_K = np.isfinite(known_NK).sum(0)
    mean_K, scale_K = np.zeros(len(n_K), np.float32), np.ones(len(n_K), np.float32)
    told = n_K > 1
    if told.any():
        mean_K[told] = np.nanmean(known_NK[:, told], axis=0)
        scale_K[told] = np.nanstd(known_NK[:, told], axis=0)
        varied_M = scale_K[told & (scale_K > 0)]
        usual = float(np.median(varied_M)) if len(varied_M) else 1.0
        scale_K[told] = np.maximum(scale_K[told], LEAST_SHARE * usual)
    return mean_K, scale_K


class FrozenProjection(nn.Linear):
    """A linear map of vectors that are not learned, kept in bfloat16.

    A catalogue's vectors are multiplied at every training step, and that product is the largest of
    a step: in training it runs in bfloat16 where the processor is fast at it.
    """

    def forward(self, vector_NK: Tensor) -> Tensor:
        """[N, width] from [N, K] in bfloat16; in single precision, but for a fast product."""
        if self.training and fast_bfloat16(vector_NK.device.type):
            weight, bias = self.weight.bfloat16(), self.bias.bfloat16()
            return F.linear(vector_NK, weight, bias)
        return F.linear(vector_NK.float(), self.weight, self.bias)


@cache
def fast_bfloat16(device: str) -> bool:
    """Whether products in bfloat16 are quicker than in single precision there."""
    if device != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


MODALITIES: Registry[Modality] = Registry("quintet.nn.modalities", Modality, "modality")  # type: ignore[type-abstract]
