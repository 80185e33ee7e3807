"""The sampled catalogue by hand, against autograd, and against the whole that it stands for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from quintet.data.batch import Windows
from quintet.nn.catalogue_sample import CatalogueSample, draw_sample, drawing_chances
from quintet.nn.losses import catalogue_softmax
from quintet.nn.model import QuintetModel
from quintet.train.prepare import PreparedEvents

from .worlds import losses_at, model_of, prepared, tables

COUNTS = torch.tensor([40.0, 20.0, 10.0, 10.0, 5.0, 3.0, 1.0, 0.0])
NOTHING = torch.empty(0, dtype=torch.long)


def sampled(
    parts: list[Tensor], target: Tensor, drawn: CatalogueSample, low_precision: bool = False
) -> Tensor:
    hidden, items, bias = parts
    return catalogue_softmax(
        hidden,
        items[drawn.item_C],
        bias[drawn.item_C],
        drawn.place_I[target],
        correction_I=drawn.correction_C,
        low_precision=low_precision,
    )


def test_by_hand() -> None:
    # logits are the biases 0, 1, 2; item 2 stands for three of its kind, item 0 is the target
    drawn = CatalogueSample(
        torch.tensor([0, 2]), torch.tensor([math.log(7), math.log(3)]), torch.tensor([0, 2, 1, 2])
    )
    parts = [torch.zeros(1, 2), torch.ones(3, 2), torch.tensor([0.0, 1.0, 2.0])]
    loss = sampled(parts, torch.tensor([0]), drawn)
    # the correction of the target itself, log 7, is not used: p = 1 / (1 + 3e²)
    assert loss.item() == pytest.approx(math.log(1 + 3 * math.exp(2)), abs=1e-6)


def test_chances_are_at_most_one_and_sum_to_what_is_wanted() -> None:
    for wanted in (1, 3, 5, 7):
        chance = drawing_chances(COUNTS, wanted)
        assert chance.sum().item() == pytest.approx(wanted, rel=1e-5)
        assert chance.max() <= 1
        assert (chance.diff() <= 0).all()
    by_hand = (COUNTS + 1) ** 0.75
    torch.testing.assert_close(drawing_chances(COUNTS, 1), by_hand / by_hand.sum())


def test_an_item_is_corrected_by_its_chance() -> None:
    torch.manual_seed(0)
    chance = drawing_chances(COUNTS, 5)
    drawn = draw_sample(NOTHING, chance)
    assert drawn.item_C.tolist() == sorted(set(drawn.item_C.tolist()))
    torch.testing.assert_close(drawn.correction_C, -chance[drawn.item_C].log())


def test_items_are_drawn_as_often_as_their_chance_says() -> None:
    torch.manual_seed(0)
    chance, times = drawing_chances(COUNTS, 3), torch.zeros(len(COUNTS))
    for _ in range(2000):
        times[draw_sample(NOTHING, chance).item_C] += 1
    torch.testing.assert_close(times / 2000, chance, atol=0.04, rtol=0)


def test_an_item_that_is_only_read_is_no_rival() -> None:
    read = torch.tensor([[7, 3], [8, 8]])  # 8 is padding
    drawn = draw_sample(read, torch.tensor([1.0] + [0.0] * 7))
    assert drawn.item_C.tolist() == [0, 3, 7]
    assert drawn.place_I[read].tolist() == [[2, 1], [3, 3]]
    parts = [part.detach() for part in inputs(4, 8, 5)]
    assert sampled(parts, torch.zeros(4, dtype=torch.long), drawn).item() == pytest.approx(0)


def test_the_draw_is_a_function_of_torchs_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(draw_sample(NOTHING, drawing_chances(COUNTS.repeat(20), 20)))
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
    drawn = draw_sample(target, drawing_chances(COUNTS, 6))
    loss = sampled(parts, target, drawn)
    logits = hidden @ items[drawn.item_C].T + bias[drawn.item_C]
    place = drawn.place_I[target]
    own = F.one_hot(place, len(drawn.item_C)).bool()
    plain = F.cross_entropy(logits + drawn.correction_C.masked_fill(own, 0.0), place)
    torch.testing.assert_close(loss, plain)
    for one, other in zip(
        torch.autograd.grad(loss, parts), torch.autograd.grad(plain, parts), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_low_precision_is_close() -> None:
    torch.manual_seed(0)
    parts = inputs(64, 200, 16)
    target = torch.randint(200, (64,))
    drawn = draw_sample(target, drawing_chances(torch.arange(200.0), 100))
    exact, rough = (sampled(parts, target, drawn, low) for low in (False, True))
    torch.testing.assert_close(rough, exact, rtol=2e-2, atol=0)
    for one, other in zip(
        torch.autograd.grad(rough, parts), torch.autograd.grad(exact, parts), strict=True
    ):
        assert (one - other).norm() < 0.02 * other.norm()


def test_the_expected_gradient_is_that_of_the_full_softmax() -> None:
    torch.manual_seed(0)
    n_items, n = 600, 40
    count = 2000.0 / torch.arange(1, n_items + 1)
    chance = drawing_chances(count, 100)
    # logits within about ±1: the logarithm of an unbiased estimate is biased where they are wide
    parts = [(0.4 * part.detach()).requires_grad_() for part in inputs(n, n_items, 4)]

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, parts)])

    sums = torch.zeros(3, sum(part.numel() for part in parts))
    for _ in range(150):
        target = torch.multinomial(count, n, replacement=True)
        drawn = draw_sample(target, chance)
        blind = replace(drawn, correction_C=drawn.correction_C.clamp_max(0))
        sums[0] += gradient(catalogue_softmax(*parts, target))
        sums[1] += gradient(sampled(parts, target, drawn))
        sums[2] += gradient(sampled(parts, target, blind))
    full, corrected, uncorrected = sums
    assert F.cosine_similarity(full, corrected, dim=0) > 0.995
    assert corrected.norm() / full.norm() == pytest.approx(1, abs=0.02)
    assert F.cosine_similarity(full, uncorrected, dim=0) < 0.99
    assert uncorrected.norm() / full.norm() < 0.9


def step(items_a_step: int, loss: str = "softmax") -> tuple[dict[str, Tensor], Tensor, int]:
    """Losses of one step, the gradient of the identity vectors and the size of the catalogue."""
    data = tables()
    model = model_of(data, items_a_step=items_a_step, tasks={"ranking": {"loss": loss}})
    losses = losses_of(model, prepared(data, model))
    torch.stack(list(losses.values())).sum().backward()
    assert model.embedding_ID.grad is not None
    return losses, model.embedding_ID.grad, data.events.n_items


def losses_of(model: QuintetModel, events: PreparedEvents) -> dict[str, Tensor]:
    offsets = events.events.offsets
    start, stop = offsets[1:6], offsets[2:7]
    torch.manual_seed(0)
    return losses_at(model, events, Windows(start, np.minimum(stop, start + 10), np.arange(1, 6)))


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_a_step_touches_its_sample_alone(loss: str) -> None:
    losses, gradient, n_items = step(5, loss)
    assert all(value.isfinite() for value in losses.values())
    touched = (gradient != 0).any(1).sum().item()
    assert gradient.isfinite().all()
    assert 0 < touched < n_items


def test_small_catalogues_are_ranked_whole() -> None:
    _, gradient, n_items = step(4096)
    assert (gradient != 0).any(1).sum().item() == n_items


def test_a_sample_of_everything_gives_the_losses_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tables()
    model = model_of(data, off=["item"], identity_dropout=0.0).eval()
    events = prepared(data, model)
    whole = losses_of(model, events)
    n_items = data.events.n_items
    every = torch.arange(n_items)
    everything = CatalogueSample(every, torch.zeros(n_items), torch.arange(n_items + 1))
    monkeypatch.setattr(model, "_sample", lambda batch: everything)
    sampled = losses_of(model, events)
    for name, value in whole.items():
        torch.testing.assert_close(sampled[name], value)
