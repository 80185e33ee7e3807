"""The content encoder over a whole catalogue: bfloat16 in training is single precision, rounded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nn.worlds import item_table
from quintet.nn import content
from quintet.nn.content import ContentEncoder
from quintet.nn.modalities import base

WIDTH, N = 8, 60
#: of each rounding to 8 bits; the roundings of a sum are independent
ROUNDING = 2**-8


def encoded(
    monkeypatch: pytest.MonkeyPatch, low: bool, many: int = N
) -> tuple[Tensor, dict[str, Tensor]]:
    """Vectors in training, without dropout, and the gradients of a weighted sum of them."""
    for module in (content, base):
        monkeypatch.setattr(module, "fast_bfloat16", lambda device: low)
    monkeypatch.setattr(content, "MANY", many)
    torch.manual_seed(0)
    table = item_table(N)
    encoder = ContentEncoder.fitted(table, WIDTH)
    assert encoder is not None
    encoder.train()
    encoder.dropout.eval()
    out = encoder(encoder.prepare(table))
    (out * torch.linspace(-1, 1, N * WIDTH).reshape(N, WIDTH)).sum().backward()
    gradients = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    return out.detach(), gradients


def departure(one: Tensor, other: Tensor) -> float:
    """Of one tensor from another, relative to its length."""
    return float((one - other).norm() / other.norm().clamp_min(1e-12))


def test_a_catalogue_in_bfloat16_is_the_catalogue_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    low, low_gradients = encoded(monkeypatch, True)
    exact, gradients = encoded(monkeypatch, False)
    assert low.dtype == exact.dtype == torch.float32
    assert not torch.equal(low, exact)
    assert departure(low, exact) < 2 * ROUNDING
    assert low_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert low_gradients[name].dtype == torch.float32
        assert departure(low_gradients[name], gradient) < 4 * ROUNDING, name


def test_few_entities_are_summed_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, _ = encoded(monkeypatch, False)
    few, _ = encoded(monkeypatch, True, many=N + 1)
    # the frozen projections alone are rounded, as they are whatever the number
    assert 0 < departure(few, exact) < ROUNDING


def test_every_modality_is_in_the_sum() -> None:
    table = item_table(N)
    encoder = ContentEncoder.fitted(table, WIDTH)
    assert encoder is not None
    assert len(encoder.modalities) > 2
    encoder.eval()
    inputs = encoder.prepare(table)
    parts = [modality(inputs[name]) for name, modality in encoder.modalities.items()]
    expected = encoder.project(torch.nn.functional.gelu(torch.stack(parts).sum(0)))
    torch.testing.assert_close(encoder(inputs), expected)
