"""Low-rank adapters: they start at nothing, learn alone, and leave ordinary weights behind."""

from __future__ import annotations

import torch
from torch import nn

from quintet.nn.adapters import ALPHA, adapt, fold


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))


def test_an_adapter_starts_as_the_network_was() -> None:
    own, inputs = network(), torch.randn(3, 6)
    before = own(inputs)
    adapt(own, rank=2)
    torch.testing.assert_close(own(inputs), before)


def test_only_the_adapters_learn() -> None:
    own = network()
    adapt(own, rank=2)
    free = {name for name, parameter in own.named_parameters() if parameter.requires_grad}
    assert free == {
        f"{layer}.parametrizations.weight.0.{side}"
        for layer in (0, 2)
        for side in ("down_RI", "up_OR")
    }
    own(torch.randn(3, 6)).sum().backward()
    assert own[0].parametrizations.weight.original.grad is None


def test_folding_writes_the_product_into_the_weights() -> None:
    """W + (alpha / r) B A, by hand for rank 1."""
    own = nn.Sequential(nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        own[0].weight.zero_()
    adapt(own, rank=1)
    adapter = own[0].parametrizations.weight[0]
    with torch.no_grad():
        adapter.down_RI.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        adapter.up_OR.copy_(torch.tensor([[1.0], [-1.0]]))
    inputs = torch.randn(4, 3)
    adapted = own(inputs)
    fold(own)
    expected = ALPHA * torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
    torch.testing.assert_close(own[0].weight.detach(), expected)
    torch.testing.assert_close(own(inputs), adapted)
    assert list(own.state_dict()) == ["0.weight"]
    assert own[0].weight.requires_grad


def test_what_is_too_small_for_the_rank_gets_none() -> None:
    own = nn.Sequential(nn.Linear(6, 2), nn.Conv1d(4, 4, 3))
    adapt(own, rank=2)
    assert [name for name, p in own.named_parameters() if p.requires_grad] == [
        "1.parametrizations.weight.0.down_RI",
        "1.parametrizations.weight.0.up_OR",
    ]
    assert own[1](torch.randn(2, 4, 7)).shape == (2, 4, 5)


class Transposed(nn.Module):
    """A layer of another library, whose matrix is its weight all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 5))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ self.weight


def test_matrices_of_other_libraries_get_one_and_embeddings_do_not() -> None:
    own = nn.ModuleDict(
        {"layer": Transposed(), "rows": nn.Embedding(9, 5), "norm": nn.LayerNorm(5)}
    )
    adapt(own, rank=2)
    free = {name for name, parameter in own.named_parameters() if parameter.requires_grad}
    assert free == {f"layer.parametrizations.weight.0.{side}" for side in ("down_RI", "up_OR")}
