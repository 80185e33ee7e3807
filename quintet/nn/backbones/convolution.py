"""Embedding, convolution, pooling, dense: the light backbone without attention.

The layout of the convolutional recommenders (Caser: Tang & Wang 2018; NextItNet: Yuan et al. 2019),
made causal throughout: the convolution looks back only, and the pooling is a running mean and
maximum over the events so far.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import Share, tunable
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout


class ConvolutionPooling(Backbone):
    """Causal convolutions, running mean and maximum pooling, and a dense layer."""

    name = "convolution"

    class Config(Backbone.Config):
        """Settings of the convolutional backbone."""

        kernels: list[int] = tunable([2, 5], choices=[[2], [2, 5], [3, 9]], description="widths")
        dropout: Share = tunable(0.3, low=0.0, high=0.6, description="before the dense layers")

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        self.kernels = settings.kernels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, kernel) for kernel in self.kernels
        )
        self.dense = nn.Sequential(
            nn.Linear(width * (len(settings.kernels) + 2), 2 * width),
            nn.GELU(),
            Dropout(settings.dropout),
            nn.Linear(2 * width, width),
        )
        self.dropout = Dropout(settings.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del length_B, time_BL  # every part looks back only
        tokens_BLD = self.dropout(tokens_BLD)
        tokens_BDL = tokens_BLD.transpose(1, 2)
        local = [
            F.gelu(convolution(F.pad(tokens_BDL, (kernel - 1, 0))))
            for kernel, convolution in zip(self.kernels, self.convolutions, strict=True)
        ]
        steps_L = torch.arange(1, tokens_BLD.shape[1] + 1, device=tokens_BLD.device)
        mean_BDL = tokens_BDL.cumsum(-1) / steps_L
        maximum_BDL = tokens_BDL.cummax(-1).values
        pooled_BLD = torch.cat([*local, mean_BDL, maximum_BDL], dim=1).transpose(1, 2)
        out: Tensor = self.norm(tokens_BLD + self.dense(pooled_BLD))
        return out
