"""Causal Transformer over events (SASRec: Kang & McAuley 2018), pre-norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import tunable
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout


class CausalTransformer(Backbone):
    """Self-attention over the events so far (Kang & McAuley 2018, section III)."""

    name = "transformer"

    class Config(Backbone.Config):
        """Settings of the Transformer."""

        layers: int = tunable(2, choices=[1, 2, 3], description="blocks")
        heads: int = tunable(2, choices=[1, 2, 4], description="attention heads")
        dropout: float = tunable(0.3, low=0.0, high=0.6, description="on every residual branch")
        expansion: int = tunable(4, choices=[2, 4], description="hidden width of the MLP over D")

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        self.position_LD = nn.Parameter(torch.randn(longest, width) * 0.02)
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            _Block(width, settings.heads, settings.expansion, settings.dropout)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, length_B: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del length_B  # causal attention cannot see the padding on the right
        hidden_BLD = self.dropout(tokens_BLD + self.position_LD[: tokens_BLD.shape[1]])
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD)
        out: Tensor = self.norm(hidden_BLD)
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        hidden_BLD = hidden_BLD + self.dropout(self._attend(self.attention_norm(hidden_BLD)))
        out: Tensor = hidden_BLD + self.dropout(self.mlp(self.mlp_norm(hidden_BLD)))
        return out

    def _attend(self, normed_BLD: Tensor) -> Tensor:
        B, L, D = normed_BLD.shape
        joint = self.query_key_value(normed_BLD).view(B, L, 3, self.heads, D // self.heads)
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.attention_out(mixed.transpose(1, 2).reshape(B, L, D))
        return out
