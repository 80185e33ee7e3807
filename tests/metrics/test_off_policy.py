"""Off-policy estimates: worked by hand, equal to another package's, right about a known truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.policies.bandit import Bandit, coverage
from quintet.metrics import bootstrap_mean
from quintet.metrics.off_policy import (
    BanditLog,
    direct_method,
    doubly_robust,
    expected_reward,
    ips,
    item_position,
    snips,
    switch,
    switch_dr,
    switch_threshold,
)

# three rounds, two actions (0 and 1): the log chose 0, 1, 0
REWARD = [1.0, 0.0, 1.0]
LOGGING = [[0.5, 0.5], [0.75, 0.25], [0.8, 0.2]]
POLICY = [[0.25, 0.75], [0.5, 0.5], [0.4, 0.6]]
PREDICTED = [[0.6, 0.2], [0.4, 0.1], [0.9, 0.5]]
PROPENSITY, TARGET = [0.5, 0.25, 0.8], [0.25, 0.5, 0.4]  # weights 1/2, 2, 1/2
OF_CHOICE = [0.6, 0.1, 0.9]
LOG = BanditLog(REWARD, PROPENSITY, TARGET)
REFERENCE = json.loads((Path(__file__).parent / "obp_reference.json").read_text())


def test_ips_by_hand() -> None:
    found = ips(LOG, resamples=0)
    # (1/2 * 1 + 2 * 0 + 1/2 * 1) / 3
    assert found.value == pytest.approx(1 / 3)
    # terms 1/2, 0, 1/2: variance ((1/6)² + (1/3)² + (1/6)²) / 2 = 1/12, error √(1/12 / 3) = 1/6
    assert (found.low, found.high) == pytest.approx((1 / 3 - 1.959964 / 6, 1 / 3 + 1.959964 / 6))
    assert np.isnan([found.bootstrap_low, found.bootstrap_high]).all()
    # (1/2 + 2 + 1/2)² / (1/4 + 4 + 1/4) = 9 / 4.5
    assert found.effective_n == pytest.approx(2)
    assert (found.mean_weight, found.max_weight) == pytest.approx((1, 2))
    assert (found.n, found.groups, found.clipped, found.clip) == (3, 3, 0, np.inf)


def test_snips_by_hand() -> None:
    found = snips(LOG, resamples=0)
    # (1/2 + 0 + 1/2) / (1/2 + 2 + 1/2)
    assert found.value == pytest.approx(1 / 3)
    # w(r - v): 1/2 * 2/3, 2 * -1/3, 1/2 * 2/3 = 1/3, -2/3, 1/3; squares 6/9; √(3/2 * 6/9) / 3
    assert found.high - found.value == pytest.approx(1.959964 / 3)


def test_clipping_is_done_and_said() -> None:
    found = ips(BanditLog([1.0, 1.0, 1.0], PROPENSITY, TARGET, clip=1.0), resamples=0)
    # weights 1/2, 1 (cut from 2), 1/2
    assert found.value == pytest.approx(2 / 3)
    assert (found.clipped, found.clip, found.max_weight) == pytest.approx((1 / 3, 1, 2))
    assert found.effective_n == pytest.approx(2**2 / 1.5)


def test_models_by_hand() -> None:
    expected = expected_reward(POLICY, PREDICTED)
    # .25 * .6 + .75 * .2, .5 * .4 + .5 * .1, .4 * .9 + .6 * .5
    assert expected == pytest.approx([0.3, 0.25, 0.66])
    assert direct_method(LOG, expected, resamples=0).value == pytest.approx(1.21 / 3)
    # corrections 1/2 * (1 - .6), 2 * (0 - .1), 1/2 * (1 - .9) = .2, -.2, .05
    assert doubly_robust(LOG, OF_CHOICE, expected, resamples=0).value == pytest.approx(1.26 / 3)
    # the second round's ratio 2 is above 1.5: its correction is left out
    found = switch_dr(LOG, OF_CHOICE, expected, 1.5, resamples=0)
    assert found.value == pytest.approx(1.46 / 3)
    assert found.clipped == pytest.approx(1 / 3)


def test_switch_by_hand() -> None:
    # ratios: .5 and 1.5; 2/3 and 2; .5 and 3. Above 1: action 1 in every round
    found = switch(LOG, LOGGING, POLICY, PREDICTED, 1.0, resamples=0)
    # .5 * 1 + .75 * .2, 0 + .5 * .1, .5 * 1 + .6 * .5
    assert found.value == pytest.approx((0.65 + 0.05 + 0.8) / 3)


def test_switch_runs_from_the_model_to_the_weights() -> None:
    model = direct_method(LOG, expected_reward(POLICY, PREDICTED)).value
    assert switch(LOG, LOGGING, POLICY, PREDICTED, 0.0).value == pytest.approx(model)
    assert switch(LOG, LOGGING, POLICY, PREDICTED, np.inf).value == pytest.approx(ips(LOG).value)


def test_switch_needs_no_support_where_the_model_speaks() -> None:
    log = BanditLog([1.0, 0.0], [1.0, 1.0], [0.5, 0.5])
    found = switch(log, [[1, 0]] * 2, [[0.5, 0.5]] * 2, [[0.9, 0.2]] * 2, 1.0)
    # 1/2 * 1 + .5 * .2 and 1/2 * 0 + .5 * .2
    assert found.value == pytest.approx(0.35)


def test_slates_by_hand() -> None:
    # two slates of two places; weights: 2 and 1/2, 1 and 1
    log = BanditLog([1, 0, 0, 1], [0.25, 0.5, 0.5, 0.5], [0.5, 0.25, 0.5, 0.5])
    place, slate = [1, 2, 1, 2], ["s", "s", "t", "t"]
    plain = item_position(log, place, slate, normalise=False, resamples=0)
    # (2 * 1 + 1/2 * 0 + 1 * 0 + 1 * 1) / 2 slates
    assert plain.value == pytest.approx(1.5)
    # slates earn 2 and 1: error √(((1/2)² + (1/2)²) / 1 / 2) = 1/2
    assert plain.high - plain.value == pytest.approx(1.959964 / 2)
    assert plain.groups == 2
    # place 1: 2 / 3, place 2: 1 / 1.5
    assert item_position(log, place, slate, resamples=0).value == pytest.approx(2 / 3 + 2 / 3)
    assert item_position(log, place, resamples=0).value == pytest.approx(2 / 3 + 2 / 3)


def test_slates_of_unequal_length() -> None:
    log = BanditLog([1, 1, 1], [0.5] * 3, [0.5] * 3)
    # slate s has two places, t one: 2 and 1 clicks
    found = item_position(log, [1, 2, 1], ["s", "s", "t"], normalise=False, resamples=0)
    assert found.value == pytest.approx(1.5)
    assert item_position(log, [1, 2, 1], ["s", "s", "t"], resamples=0).value == pytest.approx(1.5)


def test_equal_to_obp() -> None:
    columns = {name: np.array(values) for name, values in REFERENCE["log"].items()}
    rows, action = np.arange(len(columns["action"])), columns["action"]
    policy, predicted = columns["policy"], columns["predicted"]
    chances = columns["logging"][rows, action], policy[rows, action]
    log = BanditLog(columns["reward"], *chances)
    cut = BanditLog(columns["reward"], *chances, clip=REFERENCE["clip"])
    model = predicted[rows, action], expected_reward(policy, predicted)
    slates = {name: np.array(values) for name, values in REFERENCE["slates"].items()}
    shown = BanditLog(slates["reward"], slates["propensity"], slates["target"])
    places = slates["position"], slates["slate"]
    found = {
        "ips": ips(log),
        "ips clipped": ips(cut),
        "snips": snips(log),
        "direct method": direct_method(log, model[1]),
        "doubly robust": doubly_robust(log, *model),
        "doubly robust clipped": doubly_robust(cut, *model),
        "switch-dr": switch_dr(log, *model, REFERENCE["threshold"]),
        "item-position": item_position(shown, *places, normalise=False),
        "item-position normalised": item_position(shown, *places),
    }
    values = {name: estimate.value for name, estimate in found.items()}
    assert values == pytest.approx(REFERENCE["values"], abs=1e-6)


def test_the_same_policy_earns_what_was_logged() -> None:
    reward = np.random.default_rng(0).random(50)
    chance = np.random.default_rng(1).uniform(0.1, 1, 50)
    log = BanditLog(reward, chance, chance)
    mean = bootstrap_mean(reward, 3)
    for found in (ips(log, seed=3), snips(log, seed=3)):
        assert found.value == pytest.approx(reward.mean())
        assert found.high - found.value == pytest.approx(1.959964 * reward.std(ddof=1) / 50**0.5)
        # the bootstrap of the house, on the same draws
        assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx((mean.low, mean.high))
        assert found.effective_n == pytest.approx(50)


rows = st.lists(
    st.tuples(st.floats(-2, 2), st.floats(0.05, 1), st.floats(0.01, 1), st.integers(0, 3)),
    min_size=6,
    max_size=30,
).filter(lambda rows: len({row[3] for row in rows}) > 1)


@settings(max_examples=40, deadline=None)
@given(rows, st.floats(-3, 3), st.randoms(use_true_random=False))
def test_what_must_not_change_does_not(rows: list[tuple], shift: float, random) -> None:
    reward, propensity, target, group = map(np.array, zip(*rows, strict=True))
    log = BanditLog(reward, propensity * 0.9, target * 0.9, group)
    found = snips(log, resamples=20)
    moved = snips(BanditLog(reward + shift, propensity * 0.9, target * 0.9, group), resamples=20)
    assert moved.value == pytest.approx(found.value + shift, abs=1e-9)
    assert moved.high - moved.low == pytest.approx(found.high - found.low, abs=1e-6)
    assert reward.min() - 1e-9 <= found.value <= reward.max() + 1e-9
    order = list(range(len(rows)))
    random.shuffle(order)
    other = BanditLog(reward[order], propensity[order] * 0.9, target[order] * 0.9, group[order])
    for estimate in (ips, snips):
        assert estimate(other).value == pytest.approx(estimate(log).value)
        assert estimate(other).high == pytest.approx(estimate(log).high)
    # a model that says 0 leaves IPS
    nothing = np.zeros(len(rows))
    assert doubly_robust(log, nothing, nothing, resamples=0) == ips(log, resamples=0)


def test_rows_of_one_group_count_as_one() -> None:
    rng = np.random.default_rng(0)
    reward = np.repeat(rng.random(100), 10)
    chance = np.full(1000, 0.5)
    alone, together = (
        ips(BanditLog(reward, chance, chance, groups), seed=1)
        for groups in (None, np.repeat(np.arange(100), 10))
    )
    assert together.value == pytest.approx(alone.value)
    # ten times the same row: √10 times the error, in both intervals
    wider = (together.high - together.low) / (alone.high - alone.low)
    assert wider == pytest.approx(10**0.5, rel=0.02)
    drawn = (together.bootstrap_high - together.bootstrap_low) / (together.high - together.low)
    assert drawn == pytest.approx(1, rel=0.1)


def test_intervals_cover_the_truth_and_the_model_helps() -> None:
    found = coverage(runs=500, rounds=600, resamples=0)
    for name in ("IPS", "SNIPS", "doubly robust"):
        assert 0.93 <= found[name]["normal"] <= 0.97, found
        assert abs(found[name]["bias"]) < 3 * found[name]["rmse"] / 500**0.5 + 1e-3, found
    assert found["doubly robust"]["rmse"] < found["SNIPS"]["rmse"] < found["IPS"]["rmse"]
    assert found["SWITCH-DR"]["rmse"] < found["IPS"]["rmse"]


def test_the_threshold_follows_the_weights() -> None:
    bandit = Bandit()
    drawn = bandit.draw(2000, 0)
    log = BanditLog(
        drawn.reward_N, drawn.of_action(drawn.logging_NA), drawn.of_action(drawn.policy_NA)
    )
    asked = (drawn.logging_NA, drawn.policy_NA, drawn.predicted_NA)
    threshold = switch_threshold(log, *asked, greatest_reward=1.0)
    assert threshold in np.quantile(log.ratio_N, np.linspace(0, 1, 21))
    # if rewards could be large, so could the bias: trust every weight
    greatest = switch_threshold(log, *asked, greatest_reward=1e6)
    assert greatest == pytest.approx(log.ratio_N.max())
    assert threshold <= greatest
    # if nothing can be lost by the model, trust it alone where that varies less
    assert switch_threshold(log, *asked, greatest_reward=0.0) < threshold
