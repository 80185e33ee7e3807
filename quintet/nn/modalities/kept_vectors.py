"""Vectors of texts or pictures, kept on disk by the hash of what they were made from.

One file an encoder under the user's cache folder (``QUINTET_CACHE`` names another). Losing it loses
time only; a damaged one is made anew. A bar shows how far the encoder is, where somebody watches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from quintet.data.interactions import Floats
from quintet.data.sources.wheel import cache_folder
from quintet.files import atomic_path
from quintet.nn.modalities.progress import watched

TEXTS_A_CALL = 256

Encode = Callable[[list[str]], Floats]
Hashes = NDArray[np.uint64]


class KeptVectors:
    """The vectors of one encoder.

    Args:
        name: of the encoder; names the file.
        width: of its vectors; read off the first ones where it is not known.
    """

    def __init__(self, name: str, width: int | None = None) -> None:
        self.path = cache_folder() / f"{name}.safetensors"
        self.width = width

    def vectors(self, texts: Sequence[str], encoder: Callable[[], Encode]) -> Floats:
        """[N, width] a vector for each text; only texts never met are encoded.

        Args:
            texts: what is encoded; the same text gets the same vector.
            encoder: opens the encoder, called only where it is needed.
        """
        key_N = _hashes(texts)
        kept_M, vector_MK = self._read()
        order = np.argsort(kept_M)
        missing = np.flatnonzero(~np.isin(key_N, kept_M))
        if len(missing):
            _, first = np.unique(key_N[missing], return_index=True)
            new = missing[np.sort(first)]
            made_NK = self._encode([texts[row] for row in new], encoder())
            kept_M = np.concatenate([kept_M, key_N[new]])
            vector_MK = np.concatenate([vector_MK, made_NK]) if len(vector_MK) else made_NK
            self._write(kept_M, vector_MK)
            order = np.argsort(kept_M)
        found: Floats = vector_MK[order[np.searchsorted(kept_M, key_N, sorter=order)]]
        return found

    def _encode(self, texts: list[str], encode: Encode) -> Floats:
        blocks = [texts[at : at + TEXTS_A_CALL] for at in range(0, len(texts), TEXTS_A_CALL)]
        parts = [encode(block) for block in watched(blocks, f"encoding with {self.path.stem}")]
        return np.concatenate(parts).astype(np.float32)

    def _read(self) -> tuple[Hashes, Floats]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        empty = np.zeros(0, np.uint64), np.zeros((0, self.width or 0), np.float32)
        try:
            arrays = load_file(self.path)
        except (OSError, SafetensorError):
            return empty
        key_M, vector_MK = arrays.get("keys"), arrays.get("vectors")
        if key_M is None or vector_MK is None or vector_MK.ndim != 2:
            return empty
        fits = vector_MK.shape == (len(key_M), self.width or vector_MK.shape[1])
        return (key_M, vector_MK) if fits else empty

    def _write(self, key_M: Hashes, vector_MK: Floats) -> None:
        from safetensors.numpy import save_file

        # without a cache it only takes longer
        with suppress(OSError), atomic_path(self.path) as temporary:
            save_file({"keys": key_M, "vectors": vector_MK}, temporary)


def _hashes(texts: Sequence[str]) -> Hashes:
    digests = (
        hashlib.blake2b(text.encode("utf-8", errors="replace"), digest_size=8).digest()
        for text in texts
    )
    return np.frombuffer(b"".join(digests), np.uint64)
