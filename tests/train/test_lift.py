"""What scores are raised by for a strategy: found again where it is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from quintet.data.split import leave_one_out
from quintet.data.strategies import STRATEGIES
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.slate.policy import PolicyConfig, planned
from quintet.train import lift as module
from quintet.train.lift import _fitted, fit_lift

N, C, A = 6000, 12, len(STRATEGIES)


def test_the_weights_that_made_the_choices_are_found() -> None:
    rng = np.random.default_rng(0)
    score_NC = rng.normal(size=(N, C)).astype(np.float32)
    label_NC = rng.integers(0, A, (N, C))
    told_NA = rng.normal(size=(N, A)).astype(np.float32)
    true_A, told = np.array([1.0, -0.5, 0.25, 0.0, -0.75]), 0.4
    logit_NC = 0.8 * score_NC + told * np.take_along_axis(told_NA, label_NC, 1) + true_A[label_NC]
    place_N = (logit_NC + rng.gumbel(size=(N, C))).argmax(1)
    weight_S, lift_A, weight_told = _fitted(score_NC, label_NC, told_NA, place_N)
    assert weight_S == pytest.approx(0.8, abs=0.06)
    assert weight_told == pytest.approx(told, abs=0.06)
    np.testing.assert_allclose(lift_A, true_A - true_A.mean(), atol=0.12)


def test_candidates_that_are_not_there_change_nothing() -> None:
    rng = np.random.default_rng(1)
    score_NC = rng.normal(size=(500, 4)).astype(np.float32)
    label_NC = rng.integers(0, A, (500, 4))
    told_NA = rng.normal(size=(500, A)).astype(np.float32)
    place_N = rng.integers(0, 4, 500)
    wider = np.full((500, 2), -np.inf, np.float32), np.full((500, 2), -1)
    alone = _fitted(score_NC, label_NC, told_NA, place_N)
    padded = _fitted(
        np.hstack([score_NC, wider[0]]), np.hstack([label_NC, wider[1]]), told_NA, place_N
    )
    assert padded[0] == pytest.approx(alone[0], abs=1e-6)
    np.testing.assert_allclose(padded[1], alone[1], atol=1e-6)


@pytest.fixture
def task(recommender) -> Strategy:
    found = recommender.trained.model.task("strategy")
    assert isinstance(found, Strategy)
    return found


def test_nothing_is_lifted_before_it_is_fitted(task) -> None:
    fresh = copy.deepcopy(task)
    for name in ("lift_A", "lift_by_share", "lift_by_worth", "reached_AB"):
        getattr(fresh, name).zero_()
    assert not fresh.lifts(np.full(A, 1 / A), {"view": 1.0}).any()


def test_fitted_on_held_out_events_of_a_model(recommender, task, monkeypatch) -> None:
    before = {name: buffer.clone() for name, buffer in task.named_buffers()}
    monkeypatch.setattr(module, "FEWEST_EVENTS", 5)
    split = leave_one_out(recommender.trained.events)
    rows = np.flatnonzero(split.part > 0)
    try:
        assert fit_lift(recommender.trained, split, rows)
        assert task.lift_A.any()
        assert abs(float(task.lift_A.sum())) < 1e-3
        assert float(task.usual_A.sum()) == pytest.approx(1.0, abs=1e-4)
        share_A, label_C = np.full(A, 1 / A, np.float32), np.array([0, 1, 1, -1])
        plan = planned(PolicyConfig(lift=0.5), share_A, label_C, 2, task)
        np.testing.assert_allclose(plan.lift_C[:3], 0.5 * task.lifts(share_A)[label_C[:3]])
        assert plan.lift_C[3] == 0  # what only follows on serves no strategy
        assert plan.label(3) == ""
        assert not len(planned(PolicyConfig(mix=0.5), share_A, label_C, 2, task).lift_C)
    finally:
        for name, value in before.items():
            getattr(task, name).copy_(value)


def test_with_too_few_nothing_is_fitted(recommender, task) -> None:
    split = leave_one_out(recommender.trained.events)
    before = task.lift_A.clone()
    assert not fit_lift(recommender.trained, split, np.flatnonzero(split.part > 0)[:3])
    assert (task.lift_A == before).all()
