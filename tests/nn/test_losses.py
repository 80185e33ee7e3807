"""Losses against torch's own, against arithmetic by hand, and at the edges of floating point."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from quintet.nn import losses
from quintet.nn.losses import (
    bayesian_personalised_ranking,
    binary_cross_entropy,
    catalogue_softmax,
    hard_cross_entropy,
    info_nce,
    masked_mean,
    soft_cross_entropy,
)


def case(n: int, n_items: int, width: int, seed: int, scale: float = 1.0) -> tuple[Tensor, ...]:
    """States, items, biases, targets and weights, all drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, width, generator=generator) * scale,
        torch.randn(n_items, width, generator=generator),
        torch.randn(n_items, generator=generator),
        torch.randint(n_items, (n,), generator=generator),
        torch.rand(n, generator=generator) + 0.1,
    )


def both(
    parts: tuple[Tensor, ...], *, weighted: bool, factor: float = 1.0
) -> tuple[list[Tensor], list[Tensor]]:
    """Value and gradients of (states, items, biases): ours, and torch's in one piece."""
    *inputs, target, weight = parts
    ours = [tensor.clone().requires_grad_() for tensor in inputs]
    loss = catalogue_softmax(*ours, target, weight if weighted else None)
    (factor * loss).backward()
    plain = [tensor.clone().requires_grad_() for tensor in inputs]
    each = F.cross_entropy(plain[0] @ plain[1].T + plain[2], target, reduction="none")
    share = weight / weight.sum() if weighted else torch.full_like(weight, 1 / len(weight))
    expected = (each * share).sum()
    (factor * expected).backward()
    return [loss, *(t.grad for t in ours)], [expected, *(t.grad for t in plain)]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30),
    n_items=st.one_of(st.integers(1, 70), st.sampled_from([32, 64, 96])),
    width=st.integers(1, 9),
    seed=st.integers(0, 10_000),
    weighted=st.booleans(),
)
def test_catalogue_softmax_is_cross_entropy(
    n: int, n_items: int, width: int, seed: int, weighted: bool
) -> None:
    ours, expected = both(case(n, n_items, width, seed), weighted=weighted)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_chunks_of_rows_do_not_show(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.CHUNK_LOGITS, "cpu", 32 * 64)  # 32 rows, the catalogue padded
    ours, expected = both(case(n, 37, 5, n), weighted=True)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_gradient_carries_what_comes_after_the_loss() -> None:
    ours, expected = both(case(6, 10, 3, 0), weighted=False, factor=-2.5)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_catalogue_softmax_by_hand() -> None:
    # logits 0 + bias: p(item 1) = e / (1 + e + e²)
    loss = catalogue_softmax(
        torch.zeros(1, 2), torch.ones(3, 2), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1])
    )
    assert loss.item() == pytest.approx(-math.log(math.e / (1 + math.e + math.e**2)), abs=1e-6)


def test_a_position_of_weight_zero_counts_for_nothing() -> None:
    hidden, items, bias, target, _ = case(4, 10, 3, 0)
    weight = torch.tensor([1.0, 0.0, 1.0, 0.0])
    loss = catalogue_softmax(hidden, items, bias, target, weight)
    torch.testing.assert_close(loss, catalogue_softmax(hidden[::2], items, bias, target[::2]))


@pytest.mark.parametrize("sign", [1, -1])
def test_large_logits_do_not_overflow(sign: int) -> None:
    hidden = torch.tensor([[200.0 * sign, 0], [0, 200.0]], requires_grad=True)
    items = torch.tensor([[1.0, 0], [0, 1], [-1, -1]], requires_grad=True)
    bias = torch.zeros(3, requires_grad=True)
    loss = catalogue_softmax(hidden, items, bias, torch.tensor([0, 1]))
    loss.backward()
    expected = F.cross_entropy((hidden @ items.T).detach(), torch.tensor([0, 1]))
    torch.testing.assert_close(loss.detach(), expected)  # 0 where right, 400 / 2 where wrong
    for tensor in (hidden, items, bias):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_rows_out_of_reach_of_the_bound_have_their_maximum_subtracted() -> None:
    # |h| max|e| = 300, and the target lies 600 below the bound: no shift known beforehand will do
    hidden = torch.tensor([[300.0, 0], [0.1, 0.2]], requires_grad=True)
    items = torch.tensor([[1.0, 0], [-1, 0], [0, 1]], requires_grad=True)
    bias, target = torch.zeros(3), torch.tensor([1, 2])
    loss = catalogue_softmax(hidden, items, bias, target)
    plain = F.cross_entropy(hidden @ items.T, target)
    ours = torch.autograd.grad(loss, (hidden, items))
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(ours, torch.autograd.grad(plain, (hidden, items)))


@pytest.mark.parametrize("constant", [2, 1])
def test_only_what_needs_a_gradient_gets_one(constant: int) -> None:
    parts = case(5, 9, 4, 0)
    inputs = [tensor.clone().requires_grad_(i != constant) for i, tensor in enumerate(parts[:3])]
    catalogue_softmax(*inputs, parts[3]).backward()
    _, expected = both(parts, weighted=False)
    for index, tensor in enumerate(inputs):
        if index == constant:
            assert tensor.grad is None
        else:
            torch.testing.assert_close(tensor.grad, expected[index + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 8.0])
def test_low_precision_is_close(scale: float) -> None:
    # bfloat16 keeps 8 bits: the gradients may lie 2% (of their norm) off those in full precision
    parts = case(64, 100, 16, 1, scale=scale)
    *inputs, target, _ = parts
    exact, _ = both(parts, weighted=False)
    rough = [tensor.clone().requires_grad_() for tensor in inputs]
    loss = catalogue_softmax(*rough, target, low_precision=True)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact[0], rtol=1e-2, atol=1e-2)
    for one, other in zip(rough, exact[1:], strict=True):
        assert one.grad is not None
        assert one.grad.dtype == torch.float32
        assert (one.grad - other).norm() < 0.02 * other.norm()


def test_double_precision_passes_gradcheck() -> None:
    hidden, items, bias, target, weight = case(4, 6, 3, 2)
    inputs = [tensor.double().requires_grad_() for tensor in (hidden, items, bias)]
    assert torch.autograd.gradcheck(
        lambda h, i, b: catalogue_softmax(h, i, b, target, weight.double()), inputs
    )


# ---------------------------------------------------------------- the other losses, by hand


def test_masked_mean() -> None:
    value = torch.tensor([1.0, float("nan"), 4.0])
    assert masked_mean(value, torch.tensor([True, False, True])).item() == (1 + 4) / 2
    assert masked_mean(value, torch.tensor([False] * 3)).item() == 0


def test_soft_cross_entropy() -> None:
    logit = torch.tensor([[0.0, math.log(3)], [5.0, -5.0]])  # shares 1/4, 3/4
    target = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    expected = -(0.5 * math.log(1 / 4) + 0.5 * math.log(3 / 4))
    loss = soft_cross_entropy(logit, target, torch.tensor([True, False]))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_hard_cross_entropy_ignores_what_the_mask_hides() -> None:
    logit = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [9.0, 9.0]])
    target = torch.tensor([1, 0, -1])  # -1: no label there
    loss = hard_cross_entropy(logit, target, torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, abs=1e-6)


def test_binary_cross_entropy_ignores_what_the_mask_hides() -> None:
    logit = torch.tensor([[0.0, math.log(3)], [-math.log(3), 7.0]])
    target = torch.tensor([[1.0, 1.0], [1.0, float("nan")]])
    mask = torch.tensor([[True, True], [True, False]])
    expected = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    assert binary_cross_entropy(logit, target, mask).item() == pytest.approx(expected, abs=1e-6)


def test_info_nce() -> None:
    query = torch.tensor([[2.0, 0.0], [0.0, 5.0]])  # lengths do not matter
    # cosine 1 on the diagonal and 0 off it, over a temperature of 1/2
    each = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert info_nce(query, query * 3, 0.5).item() == pytest.approx(each, abs=1e-6)
    wrong = -math.log(1 / (math.exp(2) + 1))
    assert info_nce(query, query.flip(0), 0.5).item() == pytest.approx(wrong, abs=1e-6)


def test_info_nce_is_symmetric() -> None:
    one, other = torch.randn(5, 3), torch.randn(5, 3)
    torch.testing.assert_close(info_nce(one, other, 0.2), info_nce(other, one, 0.2))


def test_bayesian_personalised_ranking() -> None:
    positive, negative = torch.tensor([math.log(3), 0.0]), torch.tensor([0.0, 0.0])
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    loss = bayesian_personalised_ranking(positive, negative)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    weighted = bayesian_personalised_ranking(positive, negative, torch.tensor([3.0, 1.0]))
    expected = (-3 * math.log(3 / 4) - math.log(1 / 2)) / 4
    assert weighted.item() == pytest.approx(expected, abs=1e-6)
    nothing = bayesian_personalised_ranking(positive, negative, torch.zeros(2))
    assert nothing.item() == 0
    far = bayesian_personalised_ranking(torch.tensor([-500.0]), torch.tensor([500.0]))
    assert far.item() == pytest.approx(1000)
