"""HSTU: gated pointwise attention with bias by relative position and time (Zhai et al. 2024)."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import Share, tunable
from quintet.nn.attention import sharing
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout

#: buckets of elapsed time, each 1.35 times as wide as the one before: the last holds over 25 years
TIME_BUCKETS = 72
BUCKET_WIDTH = 0.301


class Hstu(Backbone):
    """Hierarchical sequential transduction units (Zhai et al., ICML 2024, equations 1 to 3).

    A unit splits ``SiLU(W x)`` into U, V, Q and K, weighs events by ``SiLU(Q Kᵀ + b) / longest``
    without a softmax, so that how often something occurs is not normalised away, and gates what it
    read: ``W' (norm(A V) ⊙ U)``. The bias b adds a learned number for how many events lie between
    two and one for how much time does.
    """

    name = "hstu"

    class Config(Backbone.Config):
        """Settings of HSTU."""

        layers: PositiveInt = tunable(2, choices=[1, 2, 4], description="units")
        heads: PositiveInt = tunable(2, choices=[1, 2, 4], description="attention heads")
        dropout: Share = tunable(0.3, low=0.0, high=0.6, description="on tokens and branches")

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        self.dropout = Dropout(settings.dropout)
        self.units = nn.ModuleList(
            _Unit(width, longest, settings.heads, settings.dropout) for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del length_B  # causal attention cannot see the padding on the right
        place_L = torch.arange(tokens_BLD.shape[1], device=tokens_BLD.device)
        steps_LL = place_L[:, None] - place_L[None, :]
        bucket_BLL = time_buckets(time_BL[:, :, None] - time_BL[:, None, :])
        hidden_BLD = self.dropout(tokens_BLD)
        for unit in self.units:
            hidden_BLD = unit(hidden_BLD, steps_LL, bucket_BLL)
        out: Tensor = self.norm(hidden_BLD)
        return out


def time_buckets(elapsed: Tensor) -> Tensor:
    """Bucket of a time in microseconds, on a logarithmic scale of seconds; any shape."""
    seconds = (elapsed.abs() / 1e6).clamp_min(1.0)
    return (seconds.log() / BUCKET_WIDTH).long().clamp_max(TIME_BUCKETS - 1)


class _Unit(nn.Module):
    def __init__(self, width: int, longest: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = sharing(heads, width)
        self.longest = longest
        self.position_L = nn.Parameter(torch.randn(longest) * 0.02)
        self.time_T = nn.Parameter(torch.randn(TIME_BUCKETS) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, 4 * width)
        self.read_norm = nn.LayerNorm(width, eps=1e-6)  # what one event adds is small
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, hidden_BLD: Tensor, steps_LL: Tensor, bucket_BLL: Tensor) -> Tensor:
        B, L, D = hidden_BLD.shape
        gate_BLD, *rest = F.silu(self.enter(self.norm(hidden_BLD))).chunk(4, dim=-1)
        value, query, key = (
            part.view(B, L, self.heads, D // self.heads).transpose(1, 2) for part in rest
        )
        bias_BLL = self.position_L[steps_LL.clamp_min(0)] + self.time_T[bucket_BLL]
        weight_BHLL = F.silu(query @ key.transpose(2, 3) + bias_BLL[:, None]) / self.longest
        weight_BHLL = weight_BHLL.masked_fill(steps_LL < 0, 0.0)
        read_BLD = (weight_BHLL @ value).transpose(1, 2).reshape(B, L, D)
        gated_BLD = self.read_norm(read_BLD) * gate_BLD
        out: Tensor = hidden_BLD + self.out(self.dropout(gated_BLD))
        return out
