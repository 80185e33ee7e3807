"""The weighted sum of the tasks' losses, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from quintet.nn.balance import UncertaintyBalance, make_balance

LOSSES = {"ranking": torch.tensor(2.0), "item": torch.tensor(3.0)}


def test_fixed_weights() -> None:
    balance = make_balance("fixed", {"ranking": 1.0, "item": 0.5})
    assert balance(LOSSES).item() == 1.0 * 2 + 0.5 * 3
    assert balance.current() == {"ranking": 1.0, "item": 0.5}
    assert not list(balance.parameters())


def test_uncertainty_starts_at_the_given_weights() -> None:
    balance = make_balance("uncertainty", {"ranking": 1.0, "item": 0.5})
    assert balance(LOSSES).item() == pytest.approx(1.0 * 2 + 0.5 * 3)
    assert balance.current() == {"ranking": 1.0, "item": 0.5}


def test_uncertainty_by_hand() -> None:
    balance = UncertaintyBalance({"ranking": 1.0, "item": 0.5})
    with torch.no_grad():
        balance.log_variance["ranking"].fill_(math.log(2))
        balance.log_variance["item"].fill_(math.log(3))
    # exp(-s) L + s / 2, each times its λ
    expected = 1.0 * (2 / 2 + math.log(2) / 2) + 0.5 * (3 / 3 + math.log(3) / 2)
    total = balance(LOSSES)
    assert total.item() == pytest.approx(expected)
    assert balance.current() == pytest.approx({"ranking": 1 / 2, "item": 0.5 / 3})
    total.backward()
    # the derivative of s: -exp(-s) L + 1 / 2
    assert balance.log_variance["ranking"].grad.item() == pytest.approx(-2 / 2 + 1 / 2)
    assert balance.log_variance["item"].grad.item() == pytest.approx(0.5 * (-3 / 3 + 1 / 2))


def test_uncertainty_learns_exp_s_equal_to_twice_the_loss() -> None:
    balance = UncertaintyBalance({"ranking": 1.0, "item": 1.0})
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        balance(LOSSES).backward()
        optimizer.step()
    learned = {task: math.exp(s.item()) for task, s in balance.log_variance.items()}
    assert learned == pytest.approx({"ranking": 4.0, "item": 6.0}, rel=1e-3)


@pytest.mark.parametrize("name", ["fixed", "uncertainty"])
def test_a_task_that_rests_weighs_the_same_over_all_steps(name: str) -> None:
    weights = {"ranking": 1.0, "item": 0.5, "profile": 0.2}
    always = make_balance(name, weights)
    balance = make_balance(name, weights, {"item": 0.25})
    torch.manual_seed(0)

    drawn = [balance.drawn(LOSSES) for _ in range(4000)]

    assert all("ranking" in step for step in drawn)
    assert np.mean(["item" in step for step in drawn]) == pytest.approx(0.25, abs=0.03)
    mean = np.mean([balance({task: LOSSES[task] for task in step}).item() for step in drawn])
    assert mean == pytest.approx(always(LOSSES).item(), rel=0.05)
    assert balance.current() == always.current() == weights


def test_every_task_may_rest_at_once() -> None:
    balance = make_balance("fixed", {"ranking": 1.0, "item": 1.0}, {"ranking": 0.5, "item": 0.5})
    torch.manual_seed(0)
    drawn = [balance.drawn(LOSSES) for _ in range(4000)]
    assert np.mean([not step for step in drawn]) == pytest.approx(0.25, abs=0.03)
    means = [balance({task: LOSSES[task] for task in step}).item() for step in drawn if step]
    assert sum(means) / 4000 == pytest.approx(2 + 3, rel=0.05)


def test_who_never_rests_draws_no_random_numbers() -> None:
    balance = make_balance("fixed", {"ranking": 1.0, "item": 1.0})
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert balance.drawn(LOSSES) == ["ranking", "item"]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["fixed", "uncertainty"])
def test_a_task_of_weight_zero_stays_off(name: str) -> None:
    balance = make_balance(name, {"ranking": 1.0, "item": 0.0})
    losses = {task: loss.clone().requires_grad_() for task, loss in LOSSES.items()}
    total = balance(losses)
    total.backward()
    assert total.item() == 2
    assert losses["item"].grad.item() == 0
    assert balance.current()["item"] == 0
    for parameter_name, parameter in balance.named_parameters():
        assert (parameter.grad.item() == 0) == parameter_name.endswith("item")
