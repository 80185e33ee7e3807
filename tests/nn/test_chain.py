"""Chained behaviours: no behaviour is ever likelier than what it implies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.outcomes import BehaviourRules
from quintet.nn.calibration import Calibration, M, fit_calibration
from quintet.nn.tasks.interaction import PairScores, chained, possible

NAMES = ["view", "click", "cart", "buy", "rate"]
RULES = BehaviourRules(
    NAMES, {"click": ["view"], "cart": ["click"], "buy": ["cart", "view"], "rate": ["buy", "click"]}
)
logits = st.floats(-60, 60, width=32)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(logits, min_size=5, max_size=5), min_size=1, max_size=6),
    slopes=st.lists(st.floats(-5, 5), min_size=20, max_size=20),
    knots=st.lists(st.floats(-5, 5), min_size=3, max_size=3).map(sorted),
    shifts=st.lists(st.floats(-9, 9), min_size=5, max_size=5),
)
def test_the_chance_to_buy_is_never_above_the_chance_to_click(rows, slopes, knots, shifts) -> None:
    raw = PairScores(torch.zeros(len(rows), 0), torch.tensor(rows))
    calibration = Calibration(RULES, 0, 2)
    with torch.no_grad():  # whatever a calibration has learned, anywhere
        calibration.log_slope_BM.copy_(torch.tensor(slopes).view(5, M))
        calibration.knot_BJ.copy_(torch.tensor(knots).expand(5, -1))
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


@settings(max_examples=100, deadline=None)
@given(
    links=st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=12),
    slopes=st.lists(st.floats(-3, 3), min_size=M, max_size=M),
    knots=st.lists(st.floats(-5, 5), min_size=M - 1, max_size=M - 1).map(sorted),
)
def test_a_calibrated_link_rises_with_the_raw_one(links, slopes, knots) -> None:
    rules = BehaviourRules(["view", "buy"], {"buy": ["view"]})
    raw = torch.tensor(sorted(links))[:, None].expand(-1, 2)
    pairs, nowhere = PairScores(torch.zeros(len(raw), 0), raw), torch.full((len(raw),), -1)
    calibration = Calibration(rules, 0, 1)
    calibration.knot_BJ.copy_(torch.tensor(knots).expand(2, -1))
    untouched = calibration(pairs, nowhere).behaviour_logit_NB.detach()
    torch.testing.assert_close(untouched, raw, rtol=0, atol=1e-4)
    with torch.no_grad():
        calibration.log_slope_BM.copy_(torch.tensor(slopes).expand(2, -1))
    scaled = calibration(pairs, nowhere).behaviour_logit_NB.detach()
    assert bool((scaled.diff(dim=0) >= -1e-4).all())


def test_a_map_bends_where_one_slope_cannot_follow() -> None:
    """The truth rises twice as fast above a point as the raw links do, half as fast below."""
    rng = np.random.default_rng(1)
    rules = BehaviourRules(["view", "buy"], {"buy": ["view"]})
    link = rng.normal(-1.5, 1.0, 20_000).astype(np.float32)
    truth = np.where(link > -1, -1 + 2 * (link + 1), -1 + 0.5 * (link + 1))
    bought = (rng.random(len(link)) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    raw = PairScores(torch.zeros(len(link), 0), torch.from_numpy(np.stack([link, link], 1)))
    reached = torch.from_numpy(np.stack([np.ones_like(bought), bought], 1))
    where = torch.zeros(len(link), dtype=torch.long)
    calibration = Calibration(rules, 0, 1)
    fit_calibration(calibration, raw, torch.full((len(link),), -1), reached, where)
    told = calibration(raw, where).behaviour_logit_NB[:, 1].detach().sigmoid().numpy()
    assert np.abs(told - 1 / (1 + np.exp(-truth))).mean() < 0.01
