"""Gated recurrent units over events (GRU4Rec: Hidasi et al. 2016)."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn

from quintet.config import Share, tunable
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout


class Gru(Backbone):
    """Recurrent states and a dense layer back to the items' space (Hidasi et al., ICLR 2016)."""

    name = "gru"

    class Config(Backbone.Config):
        """Settings of the recurrent backbone."""

        layers: PositiveInt = tunable(1, choices=[1, 2], description="recurrent layers")
        expansion: PositiveInt = tunable(2, choices=[1, 2, 4], description="hidden width over D")
        dropout: Share = tunable(0.3, low=0.0, high=0.6, description="on tokens and states")

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        hidden = settings.expansion * width
        self.recurrent = nn.GRU(width, hidden, settings.layers, batch_first=True)
        self.dense = nn.Linear(hidden, width)
        self.dropout = Dropout(settings.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del length_B, time_BL  # it looks back only
        state_BLH = self.recurrent(self.dropout(tokens_BLD))[0]
        out: Tensor = self.norm(self.dense(self.dropout(state_BLH)))
        return out
