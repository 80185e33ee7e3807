"""Causal Transformer over events (SASRec: Kang & McAuley 2018), pre-norm."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from quintet.config import Share, tunable
from quintet.nn.attention import AttentionBlock
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout


class CausalTransformer(Backbone):
    """Self-attention over the events so far (Kang & McAuley 2018, section III)."""

    name = "transformer"

    class Config(Backbone.Config):
        """Settings of the Transformer."""

        layers: PositiveInt = tunable(2, choices=[1, 2, 3], description="blocks")
        heads: PositiveInt = tunable(2, choices=[1, 2, 4], description="attention heads")
        dropout: Share = tunable(0.3, low=0.0, high=0.6, description="on every residual branch")
        expansion: PositiveInt = tunable(
            4, choices=[2, 4], description="hidden width of the MLP over D"
        )

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        self.position_LD = nn.Parameter(torch.randn(longest, width) * 0.02)
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            AttentionBlock(width, settings.heads, settings.expansion, settings.dropout)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del length_B, time_BL  # causal attention cannot see the padding on the right
        hidden_BLD = self.dropout(tokens_BLD + self.position_LD[: tokens_BLD.shape[1]])
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD)
        out: Tensor = self.norm(hidden_BLD)
        return out
