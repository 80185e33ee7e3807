"""Text: TF-IDF and truncated SVD fitted on the catalogue (needs no download), then projected.

Latent semantic analysis (Deerwester et al. 1990) of words and pairs of neighbouring words, with
every direction on one scale. The statistics use the texts of the whole catalogue, which is known
when the model is trained; no event is read. In scripts written without spaces each character counts
as a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats
from quintet.data.singular import leading
from quintet.data.words import WORDS
from quintet.nn.modalities.base import Arrays, FrozenProjection, Modality
from quintet.nn.modalities.frozen_text import without_text

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LEAST_STRENGTH = 1e-3
LEAST_SCALE = 1e-2
#: directions that are multiplied at once: only they stand in single precision
DIRECTIONS = 64


class Text(Modality):
    """All text columns joined, as a standardised latent semantic vector."""

    name = "text"
    transfers: ClassVar[bool] = True

    class Config(Modality.Config):
        """Settings of the text encoder."""

        dimensions: int = tunable(384, choices=[96, 192, 384], description="of the latent space")
        features: int = tunable(1 << 16, choices=[1 << 15, 1 << 17], description="hashed n-grams")

    def __init__(self, width: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, settings)
        self.dimensions = settings.dimensions
        self.features = settings.features
        self.project = FrozenProjection(1, width)
        self.idf_F = np.zeros(0, np.float32)
        # half precision: the largest part of a bundle, and vectors are read in bfloat16 anyway
        self.components_KF = np.zeros((0, 0), np.float16)
        self.scale_K = np.zeros(0, np.float32)

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return any(any(column) for column in table.texts.values())

    def fit(self, table: FeatureTable) -> None:
        """See :meth:`Modality.fit`."""
        counts_NF = self._counts(table)
        document_frequency = np.asarray((counts_NF > 0).sum(0)).ravel()
        idf = np.log((1 + table.n_rows) / (1 + document_frequency)) + 1
        self.idf_F = np.where(document_frequency > 0, idf, 0).astype(np.float32)
        weighted_NF = self._weighted(counts_NF)
        # a direction that no text of the catalogue takes must not be blown up for a new one
        components_KF = leading(weighted_NF, self.dimensions, LEAST_STRENGTH)[1]
        self.components_KF = components_KF.astype(np.float16)
        latent_NK = self._latent(weighted_NF)
        self.scale_K = np.maximum(latent_NK.std(0), LEAST_SCALE).astype(np.float32)
        self.project = FrozenProjection(len(self.scale_K) + 1, self.width)

    def _counts(self, table: FeatureTable) -> csr_array:
        """[N, F] 1 + log(count) of each hashed n-gram."""
        from scipy.sparse import csr_array
        from sklearn.feature_extraction.text import HashingVectorizer

        counts_NF = csr_array(
            HashingVectorizer(
                token_pattern=WORDS,
                ngram_range=(1, 2),
                n_features=self.features,
                norm=None,
                alternate_sign=False,
                dtype=np.float32,
            ).transform(joined(table))
        )
        counts_NF.data = 1 + np.log(counts_NF.data)
        return counts_NF

    def _weighted(self, counts_NF: csr_array) -> csr_array:
        """[N, F] TF-IDF, rows of length 1."""
        from sklearn.preprocessing import normalize

        weighted_NF: csr_array = normalize(counts_NF.multiply(self.idf_F).tocsr())
        return weighted_NF

    def _latent(self, weighted_NF: csr_array) -> Floats:
        """[N, K] along every direction."""
        parts = [np.zeros((weighted_NF.shape[0], 0), np.float32)]
        for start in range(0, len(self.components_KF), DIRECTIONS):
            some_MF = self.components_KF[start : start + DIRECTIONS].astype(np.float32)
            parts.append(weighted_NF @ some_MF.T)
        return np.concatenate(parts, axis=1)

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """``vector`` [N, K + 1]: latent, standardised; the last is 1 where there is no text."""
        if not table.n_rows:  # the vectoriser would refuse
            return {"vector": torch.zeros(0, len(self.scale_K) + 1, dtype=torch.bfloat16)}
        counts_NF = self._counts(table)
        latent_NK = self._latent(self._weighted(counts_NF))
        missing_N1 = np.asarray(counts_NF.sum(1)).reshape(-1, 1) == 0
        vector_NK = np.concatenate([latent_NK / self.scale_K, missing_N1], axis=1)
        return {"vector": torch.from_numpy(vector_NK.astype(np.float32)).bfloat16()}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        out: Tensor = self.project(inputs["vector"])
        return out

    def nothing(self) -> dict[str, Tensor]:
        """See :meth:`Modality.nothing`."""
        return without_text(len(self.scale_K))

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`."""
        arrays: Arrays = {
            "idf": self.idf_F,
            "components": self.components_KF,
            "scale": self.scale_K,
        }
        return arrays, {"features": self.features}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        features = meta["features"]
        assert isinstance(features, int)
        self.features = features
        self.idf_F = arrays["idf"].astype(np.float32)
        self.components_KF = arrays["components"].astype(np.float16)
        self.scale_K = arrays["scale"].astype(np.float32)
        self.project = FrozenProjection(len(self.scale_K) + 1, self.width)


def joined(table: FeatureTable) -> list[str]:
    """[N] the text columns of each row in one string."""
    return [" ".join(parts) for parts in zip(*table.texts.values(), strict=True)]
