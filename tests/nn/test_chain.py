"""Chained behaviours: no behaviour is ever likelier than what it implies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.outcomes import BehaviourRules
from quintet.nn.calibration import Calibration, fit_calibration
from quintet.nn.tasks.interaction import PairScores, chained, possible

NAMES = ["view", "click", "cart", "buy", "rate"]
RULES = BehaviourRules(
    NAMES, {"click": ["view"], "cart": ["click"], "buy": ["cart", "view"], "rate": ["buy", "click"]}
)
logits = st.floats(-60, 60, width=32)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(logits, min_size=5, max_size=5), min_size=1, max_size=6),
    slopes=st.lists(st.floats(-5, 5), min_size=5, max_size=5),
    shifts=st.lists(st.floats(-9, 9), min_size=5, max_size=5),
)
def test_the_chance_to_buy_is_never_above_the_chance_to_click(rows, slopes, shifts) -> None:
    raw = PairScores(torch.zeros(len(rows), 0), torch.tensor(rows))
    calibration = Calibration(RULES, 0, 2)
    with torch.no_grad():  # whatever a calibration has learned, anywhere
        calibration.behaviour_slope_B.copy_(torch.tensor(slopes))
        calibration.scenario_shift_SB[0] = torch.tensor(shifts)
    for scenario in (-1, 0, 1):
        scaled = calibration(raw, torch.full((len(rows),), scenario))
        chance_NB = chained(RULES, scaled.behaviour_logit_NB).exp()
        assert bool((chance_NB >= 0).all())
        assert bool((chance_NB <= 1).all())
        for name, others in RULES.implies.items():
            for other in others:
                assert bool(
                    (chance_NB[:, NAMES.index(name)] <= chance_NB[:, NAMES.index(other)]).all()
                )


def test_links_multiply() -> None:
    rules = BehaviourRules(["view", "cart", "buy"], {"buy": ["cart"], "cart": ["view"]})
    chance = torch.tensor([[0.8, 0.5, 0.25]])
    got = chained(rules, torch.logit(chance)).exp()
    torch.testing.assert_close(got, torch.tensor([[0.8, 0.8 * 0.5, 0.8 * 0.5 * 0.25]]))


def test_the_least_of_several_that_are_implied_bounds_it() -> None:
    rules = BehaviourRules(["a", "b", "c"], {"c": ["a", "b"]})
    got = chained(rules, torch.logit(torch.tensor([[0.9, 0.3, 0.5]]))).exp()
    torch.testing.assert_close(got, torch.tensor([[0.9, 0.3, 0.3 * 0.5]]))


def test_a_link_is_learned_only_where_it_was_possible() -> None:
    reached = torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]])
    assert possible(RULES, reached).tolist() == [
        [True, True, True, True, False],
        [True, True, False, False, False],
        [True, True, True, True, True],
    ]


@pytest.mark.parametrize("scenario", [0, 1])
def test_calibration_brings_each_scenario_to_its_own_rate(scenario: int) -> None:
    rng = np.random.default_rng(0)
    rules = BehaviourRules(["view", "buy"], {"buy": ["view"]})
    where = torch.from_numpy(rng.integers(0, 2, 4000))
    rate = torch.tensor([0.1, 0.4])[where]
    bought = torch.from_numpy((rng.random(4000) < rate.numpy()).astype(np.float32))
    reached = torch.stack([torch.ones(4000), bought], 1)
    raw = PairScores(torch.zeros(4000, 0), torch.zeros(4000, 2))  # says one half everywhere
    calibration = Calibration(rules, 0, 2)
    fit_calibration(calibration, raw, torch.full((4000,), -1), reached, where)
    chance = chained(rules, calibration(raw, where).behaviour_logit_NB).exp()[:, 1].detach()
    here = where == scenario
    assert float(chance[here].mean()) == pytest.approx(float(bought[here].mean()), abs=0.01)
