"""Low-rank adapters: a few parameters beside frozen weights, folded in when they are learned.

``W + (alpha / rank) · B A`` with A [rank, in] and B [out, rank] (LoRA: Hu et al., ICLR 2022,
section 4.1). B starts at zero, so that the network starts as it was. After :func:`fold` nothing
tells the network from one that was trained whole: a bundle needs no other format, and an answer no
more time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

#: how strongly what an adapter learned counts, over its rank
ALPHA = 16.0


class LowRank(nn.Module):
    """What is added to one weight matrix [out, in] (kernels of convolutions are flattened)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.scale = ALPHA / rank
        self.down_RI = nn.Parameter(torch.randn(rank, columns) * columns**-0.5)
        self.up_OR = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight."""
        return weight + self.scale * (self.up_OR @ self.down_RI).view_as(weight)


def adapt(network: nn.Module, rank: int) -> None:
    """Freeze a network and put an adapter beside every layer's weight matrix.

    The recurrence of a GRU, which holds its matrices by other names, stays frozen.

    Args:
        network: changed in place.
        rank: of the adapters; a matrix with fewer rows or columns gets none.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for module in list(network.modules()):
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() < 2 or isinstance(module, nn.Embedding):
            continue
        if min(len(weight), weight[0].numel()) > rank:
            parametrize.register_parametrization(module, "weight", LowRank(weight, rank))


def fold(network: nn.Module) -> None:
    """Write what the adapters learned into the weights and take them away, in place."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
