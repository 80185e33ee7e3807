"""What encoders of sentences share: frozen vectors of texts, kept on disk, then projected."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats
from quintet.nn.modalities.base import Arrays, FrozenProjection, Modality, standard


class FrozenText(Modality):
    """The first text column that says something, as one standardised vector of a frozen encoder.

    Subclasses give :meth:`encoded`. Shapes: N rows, K width of the encoder's vectors.
    """

    by_default: ClassVar[bool] = False
    transfers: ClassVar[bool] = True

    def __init__(self, width: int, config: Modality.Config | None = None) -> None:
        super().__init__(width, config)
        self.project = FrozenProjection(1, width)
        self.mean_K = np.zeros(0, np.float32)
        self.scale_K = np.ones(0, np.float32)

    @abstractmethod
    def encoded(self, texts: list[str]) -> Floats:
        """[N, K] vectors of texts that are not empty, from disk where they were met before.

        Raises:
            MissingExtraError: the encoder is not installed.
        """

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return any(any(column) for column in table.texts.values())

    def fit(self, table: FeatureTable) -> None:
        """See :meth:`Modality.fit`."""
        known_MK = self.encoded([text for text in sentences(table) if text])
        self.mean_K, self.scale_K = standard(known_MK)
        self._shape()

    def _shape(self) -> None:
        self.project = FrozenProjection(len(self.mean_K) + 1, self.width)

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """``vector`` [N, K + 1]: standardised; the last is 1 where there is no text, else 0."""
        texts = sentences(table)
        known_N = np.array([bool(text) for text in texts], np.bool_)
        vector_NK = np.zeros((len(texts), len(self.mean_K) + 1), np.float32)
        if known_N.any():
            vectors = self.encoded([text for text in texts if text])
            vector_NK[known_N, :-1] = (vectors - self.mean_K) / self.scale_K
        vector_NK[~known_N, -1] = 1.0
        return {"vector": torch.from_numpy(vector_NK).bfloat16()}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        out: Tensor = self.project(inputs["vector"])
        return out

    def nothing(self) -> dict[str, Tensor]:
        """See :meth:`Modality.nothing`."""
        return without_text(len(self.mean_K))

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`."""
        return {"mean": self.mean_K, "scale": self.scale_K}, {}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        del meta
        self.mean_K = arrays["mean"].astype(np.float32)
        self.scale_K = arrays["scale"].astype(np.float32)
        self._shape()


def without_text(width: int) -> dict[str, Tensor]:
    """``vector`` [1, width + 1] of a row without text."""
    vector_1K = torch.zeros(1, width + 1, dtype=torch.bfloat16)
    vector_1K[0, -1] = 1.0
    return {"vector": vector_1K}


def sentences(table: FeatureTable) -> list[str]:
    """[N] the first text of each row that is not empty."""
    return [
        next((part for part in parts if part), "")
        for parts in zip(*table.texts.values(), strict=True)
    ]
