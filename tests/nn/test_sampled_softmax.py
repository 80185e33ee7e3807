"""The sampled softmax by hand, against autograd, and against the full one that it stands for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from quintet.data.batch import Windows
from quintet.nn.losses import catalogue_softmax
from quintet.nn.sampled_softmax import Candidates, draw_candidates, sampled_softmax
from quintet.nn.tasks.ranking import Ranking

from .worlds import model_of, prepared, tables

COUNTS = torch.tensor([40.0, 20.0, 10.0, 10.0, 5.0, 3.0, 1.0, 0.0])


def test_by_hand() -> None:
    # logits are the biases 0, 1, 2; item 2 stands for three of its kind, item 0 is the target
    candidates = Candidates(
        torch.tensor([0, 2]), torch.tensor([math.log(7), math.log(3)]), torch.tensor([0])
    )
    loss = sampled_softmax(
        torch.zeros(1, 2), torch.ones(3, 2), torch.tensor([0.0, 1.0, 2.0]), candidates
    )
    # the correction of the target itself, log 7, is not used: p = 1 / (1 + 3e²)
    assert loss.item() == pytest.approx(math.log(1 + 3 * math.exp(2)), abs=1e-6)


def test_the_correction_is_times_over_expected_times() -> None:
    torch.manual_seed(0)
    target = torch.tensor([0, 0, 2])
    drawn = draw_candidates(target, COUNTS, negatives=50)
    assert drawn.item_C.tolist() == sorted(set(drawn.item_C.tolist()))
    assert torch.equal(drawn.item_C[drawn.target_N], target)
    share = (COUNTS + 1) ** 0.75
    expected = 50 * share / share.sum() + 3 * COUNTS / COUNTS.sum()
    times = drawn.correction_C.exp() * expected[drawn.item_C]
    torch.testing.assert_close(times, times.round(), atol=1e-4, rtol=0)
    assert times.sum().item() == pytest.approx(53, abs=1e-3)
    assert times[drawn.target_N[0]] >= 2


def test_the_draw_is_a_function_of_torchs_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(draw_candidates(torch.tensor([0]), COUNTS.repeat(20), 20))
    assert torch.equal(drawn[0].item_C, drawn[1].item_C)
    assert not torch.equal(drawn[0].item_C, drawn[2].item_C)


def inputs(n: int, n_items: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(n, width), (n_items, width), (n_items,)]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def test_value_and_gradients_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    hidden, items, bias = parts = inputs(12, 8, 5)
    target = torch.randint(7, (12,))
    drawn = draw_candidates(target, COUNTS, 6)
    loss = sampled_softmax(*parts, drawn)
    logits = hidden @ items[drawn.item_C].T + bias[drawn.item_C]
    own = F.one_hot(drawn.target_N, len(drawn.item_C)).bool()
    plain = F.cross_entropy(logits + drawn.correction_C.masked_fill(own, 0.0), drawn.target_N)
    torch.testing.assert_close(loss, plain)
    for one, other in zip(
        torch.autograd.grad(loss, parts), torch.autograd.grad(plain, parts), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_low_precision_is_close() -> None:
    torch.manual_seed(0)
    parts = inputs(64, 200, 16)
    drawn = draw_candidates(torch.randint(200, (64,)), torch.arange(200.0), 100)
    exact, rough = (sampled_softmax(*parts, drawn, low_precision=low) for low in (False, True))
    torch.testing.assert_close(rough, exact, rtol=2e-2, atol=0)
    for one, other in zip(
        torch.autograd.grad(rough, parts), torch.autograd.grad(exact, parts), strict=True
    ):
        assert (one - other).norm() < 0.02 * other.norm()


def test_the_expected_gradient_is_that_of_the_full_softmax() -> None:
    torch.manual_seed(0)
    n_items, n = 600, 40
    count = 2000.0 / torch.arange(1, n_items + 1)
    # logits within about ±1: the logarithm of an unbiased estimate is biased where they are wide
    parts = [(0.4 * part.detach()).requires_grad_() for part in inputs(n, n_items, 4)]

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, parts)])

    sums = torch.zeros(3, sum(part.numel() for part in parts))
    for _ in range(150):
        target = torch.multinomial(count, n, replacement=True)
        drawn = draw_candidates(target, count, 100)
        blind = replace(drawn, correction_C=torch.zeros_like(drawn.correction_C))
        sums[0] += gradient(catalogue_softmax(*parts, target))
        sums[1] += gradient(sampled_softmax(*parts, drawn))
        sums[2] += gradient(sampled_softmax(*parts, blind))
    full, corrected, uncorrected = sums
    assert F.cosine_similarity(full, corrected, dim=0) > 0.995
    assert corrected.norm() / full.norm() == pytest.approx(1, abs=0.02)
    assert F.cosine_similarity(full, uncorrected, dim=0) < 0.99
    assert uncorrected.norm() / full.norm() < 0.9


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "softmax"),
        ({"most_items_for_softmax": 10}, "sampled"),
        ({"loss": "sampled"}, "sampled"),
        ({"loss": "bpr", "most_items_for_softmax": 10}, "bpr"),
    ],
)
def test_large_catalogues_are_sampled(settings: dict[str, object], kind: str) -> None:
    data = tables()
    model = model_of(data, towers=["identity"], tasks={"ranking": settings})
    task = model.task("ranking")
    assert isinstance(task, Ranking)
    assert task.kind == kind
    assert task.count_I.sum() == len(data.events)
    events = prepared(data, model)
    start, stop = data.events.offsets[1:6], data.events.offsets[2:7]
    windows = Windows(start, np.minimum(stop, start + 10), np.arange(1, 6))
    chosen = events.batch(windows)
    given = (events.item_inputs, events.user_inputs, chosen.features, chosen.labels)
    model.losses(chosen.batch, chosen.positions, *given)["ranking"].backward()
    assert model.embedding_ID.grad is not None
    assert model.embedding_ID.grad.isfinite().all()
