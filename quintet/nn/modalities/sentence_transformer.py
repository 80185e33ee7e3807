"""Any model of the library sentence-transformers: frozen vectors of texts, then projected.

``model.modality_settings.sentence_transformer.model`` names it: a name of the model hub, which the
library fetches, or a folder. Needs the extra ``sentence-transformers``.
"""

from __future__ import annotations

import re

import numpy as np

from quintet.data.interactions import Floats
from quintet.errors import ConfigError, MissingExtraError
from quintet.nn.modalities.base import Modality
from quintet.nn.modalities.frozen_text import FrozenText
from quintet.nn.modalities.kept_vectors import Encode, KeptVectors


class SentenceTransformer(FrozenText):
    """Sentence vectors of a named model (Reimers & Gurevych 2019)."""

    name = "sentence_transformer"

    class Config(Modality.Config):
        """Settings of the encoder."""

        model: str = "sentence-transformers/all-MiniLM-L6-v2"

    config: Config

    def encoded(self, texts: list[str]) -> Floats:
        """See :meth:`FrozenText.encoded`."""
        file = re.sub(r"[^\w.-]+", "_", self.config.model)
        return KeptVectors(f"sentence-transformer-{file}").vectors(texts, self._encoder)

    def _encoder(self) -> Encode:
        """The frozen encoder.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ConfigError: there is no such model, or it cannot be fetched.
        """
        try:
            from sentence_transformers import SentenceTransformer as Model
        except ImportError:
            what = "the modality 'sentence_transformer'"
            raise MissingExtraError(what, "sentence-transformers") from None
        try:
            model = Model(self.config.model, device="cpu", model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"modality_settings.sentence_transformer.model: {self.config.model!r}: {error}"
            ) from None

        def encode(texts: list[str]) -> Floats:
            return np.asarray(
                model.encode(texts, normalize_embeddings=True, show_progress_bar=False), np.float32
            )

        return encode
