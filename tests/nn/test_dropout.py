"""Cheap dropout: the right share, the right mean, the same draw from the same seed."""

import pytest
import torch

from quintet.nn.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_share_and_the_mean_are_those_of_dropout(rate: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(rate).train()(torch.ones(400, 500))
    assert float((dropped == 0).float().mean()) == pytest.approx(rate, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    assert len(dropped.unique()) == 2


def test_nothing_is_dropped_in_service_or_at_rate_zero() -> None:
    value = torch.randn(3, 4)
    assert torch.equal(Dropout(0.5).eval()(value), value)
    assert torch.equal(Dropout(0.0).train()(value), value)


def test_the_draw_is_a_function_of_torchs_seed() -> None:
    layer, value = Dropout(0.4).train(), torch.ones(50, 50)
    torch.manual_seed(3)
    first, second = layer(value), layer(value)
    torch.manual_seed(3)
    assert torch.equal(layer(value), first)
    assert not torch.equal(first, second)


def test_the_gradient_passes_what_was_kept() -> None:
    value = torch.ones(64, 64, requires_grad=True)
    kept = Dropout(0.25).train()(value)
    kept.sum().backward()
    assert torch.equal(value.grad, kept.detach())


def test_bfloat16_is_dropped_alike() -> None:
    layer, value = Dropout(0.3).train(), torch.randn(33, 7)
    torch.manual_seed(1)
    exact = layer(value)
    torch.manual_seed(1)
    low = layer(value.bfloat16())
    assert low.dtype == torch.bfloat16
    assert torch.equal(low == 0, exact == 0)
    torch.testing.assert_close(low.float(), exact, rtol=2**-6, atol=0)
