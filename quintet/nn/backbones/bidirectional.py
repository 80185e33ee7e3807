"""Bidirectional Transformer over events (BERT4Rec: Sun et al. 2019), pre-norm.

Every event reads those before and behind it, which suits objectives that hide some events of a
window. For the next event the tower puts a mask token behind a prefix (see
:class:`quintet.nn.tower.Tower`): exact, and dear in training, because every state is a pass of its
own. A step therefore trains on a few states of a window, drawn anew each time.
"""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from quintet.config import Share, tunable
from quintet.nn.attention import AttentionBlock
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout


class BidirectionalTransformer(Backbone):
    """Self-attention over all events of a window (Sun et al., CIKM 2019, section 3.3)."""

    name = "bidirectional"

    class Config(Backbone.Config):
        """Settings of the bidirectional Transformer."""

        layers: PositiveInt = tunable(2, choices=[1, 2, 3], description="blocks")
        heads: PositiveInt = tunable(2, choices=[1, 2, 4], description="attention heads")
        dropout: Share = tunable(0.3, low=0.0, high=0.6, description="on every residual branch")
        expansion: PositiveInt = tunable(
            4, choices=[2, 4], description="hidden width of the MLP over D"
        )
        states_a_window: PositiveInt = tunable(
            8, choices=[2, 8, 32], description="states of a window trained on at a step"
        )

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        self.causal = False
        self.states_a_window = settings.states_a_window
        self.position_LD = nn.Parameter(torch.randn(longest + 1, width) * 0.02)
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            AttentionBlock(width, settings.heads, settings.expansion, settings.dropout)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del time_BL  # it knows the order alone
        place_L = torch.arange(tokens_BLD.shape[1], device=tokens_BLD.device)
        real_BL = place_L[None, :] < length_B[:, None]
        hidden_BLD = self.dropout(tokens_BLD + self.position_LD[: len(place_L)])
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD, real_BL)
        out: Tensor = self.norm(hidden_BLD)
        return out
