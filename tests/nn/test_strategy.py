"""How far the strategy task is trusted is told by held-out events."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from quintet.data.strategies import STRATEGIES
from quintet.nn.tasks.strategy import DECAYS, Strategy

from .worlds import SMALL, model_of, tables

WIDTH, N, A = SMALL["width"], 2000, len(STRATEGIES)


@pytest.fixture
def task() -> Strategy:
    made = model_of(tables()).task("strategy").eval()
    assert isinstance(made, Strategy)
    with torch.no_grad():
        for parameter in made.correct.parameters():
            parameter.normal_(0.0, 1.0)
    return made


def told(seed: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.randn(N, len(DECAYS), A, generator=generator).log_softmax(-1)
    context = torch.zeros(N, A + 1)
    states = torch.randn(N, WIDTH, generator=generator)
    return states, {"log_frequency": frequency, "context": context}


def drawn(logits: torch.Tensor) -> torch.Tensor:
    return torch.multinomial(logits.softmax(-1), 1, generator=torch.Generator().manual_seed(3))[
        :, 0
    ]


def test_a_correction_learned_by_heart_is_not_trusted(task: Strategy) -> None:
    states, features = told(1)
    label = drawn(features["log_frequency"][:, 0])  # the counted answer is right, all else noise
    before = F.cross_entropy(task.logits(states, features), label)
    task.calibrate(states, features, label)
    counted, correction = task.trust_2.tolist()
    assert counted == pytest.approx(1.0, abs=0.15)
    assert correction == pytest.approx(0.0, abs=0.05)
    assert F.cross_entropy(task.logits(states, features), label) < before


def test_what_is_right_keeps_its_trust(task: Strategy) -> None:
    states, features = told(2)
    right = task.logits(states, features).detach()
    task.calibrate(states, features, drawn(right))
    fitted = task.logits(states, features).detach()
    assert (fitted.softmax(-1) - right.softmax(-1)).abs().mean() < 0.02
    assert task.trust_2.tolist() == pytest.approx([1.0, 1.0], abs=0.2)


def test_what_has_moved_since_is_told_by_the_counts(task: Strategy) -> None:
    """Later, one strategy is rarer, and follows on the person's own longest habit."""
    states, features = told(4)
    later = features["log_frequency"][:, 0] * torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0])
    later = later - torch.tensor([1.5, 0.0, 0.0, 0.0, 0.0])
    before = F.cross_entropy(task.logits(states, features), drawn(later))
    task.calibrate(states, features, drawn(later))
    fresh_states, fresh = told(5)
    right = fresh["log_frequency"][:, 0] * torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0])
    right = right - torch.tensor([1.5, 0.0, 0.0, 0.0, 0.0])
    label = drawn(right)
    least = F.cross_entropy(right, label)
    loss = F.cross_entropy(task.logits(fresh_states, fresh), label)
    assert loss < least + 0.1 * (before - least)
    # a column that never varied says nothing, whatever it comes to be
    assert not task.later_FA[len(DECAYS) * A :].any()
