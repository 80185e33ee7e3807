"""Experiments: worked by hand; nothing is found where nothing is; what is there is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from benchmarks.policies.traffic import draw_trial
from quintet.errors import ConfigError, DataError
from quintet.metrics import cluster_bootstrap
from quintet.metrics.experiments import (
    always_valid,
    always_valid_of,
    by_user,
    compare,
    mean_of,
    ratio_of,
    sample_ratio,
    users_needed,
)

Z = 1.959964


def test_sample_ratio_by_hand() -> None:
    found = sample_ratio([60, 40])
    # (60 - 50)² / 50 + (40 - 50)² / 50 = 4, two standard errors
    assert found.statistic == pytest.approx(4)
    assert found.p == pytest.approx(2 * norm.sf(2))
    assert found.observed == (0.6, 0.4)
    assert found.sound
    assert sample_ratio([60, 30, 10], [6, 3, 1]).p == pytest.approx(1)
    # a split that looks harmless: 50.5 % of 100,000 is (500² / 50,000) * 2 = 10
    loud = sample_ratio([50_500, 49_500])
    assert loud.statistic == pytest.approx(10)
    assert not sample_ratio([50_600, 49_400]).sound


def test_sound_splits_are_called_sound() -> None:
    drawn = np.random.default_rng(0).multinomial(1000, [0.5, 0.3, 0.2], size=2000)
    p = np.array([sample_ratio(counts, [5, 3, 2]).p for counts in drawn])
    assert 0.035 <= (p < 0.05).mean() <= 0.065


def test_means_by_hand() -> None:
    found = compare(mean_of([1.0, 3.0, 5.0]), mean_of([1.0, 2.0]))
    # variances 4 / 3 and 0.5 / 2
    error = np.sqrt(4 / 3 + 1 / 4)
    assert (found.difference, found.error) == pytest.approx((1.5, error))
    assert (found.low, found.high) == pytest.approx((1.5 - Z * error, 1.5 + Z * error))
    # 3 / 1.5 - 1, error √(4/3 + 2² / 4) / 1.5
    assert found.relative == pytest.approx(1)
    assert found.relative_high == pytest.approx(1 + Z * np.sqrt(7 / 3) / 1.5)
    assert found.p == pytest.approx(2 * norm.sf(1.5 / error))
    assert (found.users, found.variance_removed) == (5, 0)


def test_ratios_by_hand() -> None:
    arm = ratio_of([1, 3], [2, 6])
    # both users click half of what they see: no variance
    assert (arm.estimate, arm.variance) == (0.5, 0)
    arm = ratio_of([1, 2], [1, 4])
    # 3 / 5; residuals 1 - .6, 2 - 2.4 over a mean of 2.5: ±.16
    assert arm.influence_U == pytest.approx([0.16, -0.16])
    assert arm.variance == pytest.approx(2 * 0.16**2 / 2)


def test_events_are_summed_by_user() -> None:
    assert by_user(["b", "a", "b"], [1, 2, 3]) == pytest.approx([2, 4])
    shown, clicked = by_user([7, 3, 7], [1, 1, 1]), by_user([7, 3, 7], [1, 0, 0])
    assert ratio_of(clicked, shown).estimate == pytest.approx(1 / 3)


def test_cuped_by_hand() -> None:
    # in both arms the figure rises by 2 with the covariate, which is 1 higher in the treatment
    treated, before_treated = [4.0, 6.0, 9.0, 11.0], [2.0, 3.0, 4.0, 5.0]
    control, before_control = [2.0, 4.0, 5.0, 7.0], [1.0, 2.0, 3.0, 4.0]
    found = compare(mean_of(treated), mean_of(control), before=(before_treated, before_control))
    # covariances within the arms: 12 / 5 and 8 / 5, over 5 / 5 each: slope (12 + 8) / (5 + 5) = 2
    # means 7.5 and 4.5 less 2 * (3.5 - 3) and 2 * (2.5 - 3)
    assert (found.treatment, found.control) == pytest.approx((6.5, 5.5))
    # residuals in the treatment ±.5, ±.5 -> -.5, -.5, .5, .5; in the control .5, .5, -.5, -.5
    assert found.error == pytest.approx(np.sqrt(2 * (1 / 3) / 4))
    plain = compare(mean_of(treated), mean_of(control))
    assert found.variance_removed == pytest.approx(1 - found.error**2 / plain.error**2)


def test_a_ratio_over_ones_is_a_mean() -> None:
    values = np.random.default_rng(0).random(20)
    mean, ratio = mean_of(values), ratio_of(values, np.ones(20))
    assert ratio.estimate == pytest.approx(mean.estimate)
    assert ratio.influence_U == pytest.approx(mean.influence_U)


def test_the_delta_method_agrees_with_the_bootstrap() -> None:
    trial = draw_trial(3000, 0.0, 1)
    arm = ratio_of(trial.clicks_U, trial.shown_U)
    columns = np.stack([trial.clicks_U, trial.shown_U], axis=1)
    drawn = cluster_bootstrap(lambda s: s[:, 0] / s[:, 1], np.arange(3000), columns)
    assert arm.estimate == pytest.approx(drawn.mean)
    assert 2 * Z * arm.variance**0.5 == pytest.approx(drawn.high - drawn.low, rel=0.06)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.floats(0.1, 10))
def test_what_must_not_change_does_not(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    one, two, before_one, before_two = rng.normal(3, 1, (4, 30))
    found = compare(mean_of(one), mean_of(two), before=(before_one, before_two))
    moved = (scale * before_one + shift, scale * before_two + shift)
    assert compare(mean_of(one), mean_of(two), before=moved).low == pytest.approx(found.low)
    back = compare(mean_of(two), mean_of(one), before=(before_two, before_one))
    assert (back.difference, back.p) == pytest.approx((-found.difference, found.p))
    twice = tuple(np.stack([b, b * 2], axis=1) for b in (before_one, before_two))
    assert compare(mean_of(one), mean_of(two), before=twice).p == pytest.approx(found.p)
    assert found.variance_removed <= 1


@pytest.mark.parametrize(("difference", "variance"), [(0.3, 0.01), (0.05, 0.04), (-1.0, 0.3)])
def test_the_mixture_is_the_integral(difference: float, variance: float) -> None:
    tau = 0.2
    law = norm(difference, variance**0.5)
    mixed, _ = quad(lambda t: norm.pdf(t, 0, tau) * law.pdf(t), -4, 4, points=[0, difference])
    found = always_valid_of([difference], [variance], expected_effect=tau)
    assert found.p_T[0] == pytest.approx(min(1, law.pdf(0) / mixed), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-4, 1)), min_size=1, max_size=20),
    st.floats(0.01, 1),
)
def test_p_and_the_intervals_say_the_same(looks: list[tuple], expected: float) -> None:
    difference, variance = map(np.array, zip(*looks, strict=True))
    found = always_valid_of(difference, variance, expected_effect=expected)
    outside = np.flatnonzero((found.low_T > 1e-9) | (found.high_T < -1e-9))
    assert (np.diff(found.p_T) <= 0).all()
    if found.stopped_at is None:
        assert not len(outside)
    elif len(outside):
        assert found.stopped_at <= outside[0]


def rejected(runs: int, users: int, lift: float, start: int = 0) -> dict[str, float]:
    """Share of experiments in which p < 0.05, by figure."""
    counts = {"mean": 0, "cuped": 0, "ratio": 0, "by view": 0}
    for seed in range(start, start + runs):
        trial = draw_trial(users, lift, seed)
        counts["mean"] += trial.clicks_per_user().p < 0.05
        counts["cuped"] += trial.clicks_per_user(cuped=True).p < 0.05
        counts["ratio"] += trial.clicks_per_view().p < 0.05
        counts["by view"] += trial.clicks_per_view_by_view().p < 0.05
    return {name: count / runs for name, count in counts.items()}


def test_an_aa_shows_nothing_beyond_the_nominal_rate() -> None:
    found = rejected(500, 1000, 0.0)
    for name in ("mean", "cuped", "ratio"):
        assert 0.025 <= found[name] <= 0.075, found
    assert found["by view"] > 0.075  # why users are the unit


def test_five_percent_are_found() -> None:
    found = rejected(30, 60_000, 0.05, start=1000)
    assert found["mean"] > 0.6
    assert found["cuped"] >= 0.95, found
    assert found["ratio"] >= 0.95, found


def test_looking_often_costs_nothing_when_always_valid() -> None:
    wrong = {"fixed": 0, "always valid": 0}
    runs, looks = 200, range(200, 4001, 200)
    for seed in range(runs):
        trial = draw_trial(4000, 0.0, 5000 + seed)
        effects = [trial.first(n).clicks_per_user(cuped=True) for n in looks]
        wrong["fixed"] += min(effect.p for effect in effects) < 0.05
        found = always_valid(effects, expected_effect=0.05)
        wrong["always valid"] += found.stopped_at is not None
    assert wrong["fixed"] / runs > 0.12
    assert wrong["always valid"] / runs <= 0.05


def test_always_valid_finds_five_percent_and_may_stop_early() -> None:
    stops = []
    looks = range(5000, 60_001, 5000)
    for seed in range(20):
        trial = draw_trial(60_000, 0.05, 9000 + seed)
        effects = [trial.first(n).clicks_per_user(cuped=True) for n in looks]
        stops.append(always_valid(effects, expected_effect=0.05).stopped_at)
    found = [stop for stop in stops if stop is not None]
    assert len(found) >= 18
    assert min(found) < len(looks) - 1


def test_users_needed_give_the_power_asked_for() -> None:
    rng = np.random.default_rng(0)
    n = users_needed(mean_of([-2.0, 2.0] * 5000), 0.5, power=0.8)
    # 2 (1.96 + 0.84)² 2² / 0.5²
    assert n == 252
    found = 0
    for _ in range(1000):
        treated, control = rng.normal(0.5, 2, n), rng.normal(0, 2, n)
        found += compare(mean_of(treated), mean_of(control)).p < 0.05
    assert 0.77 <= found / 1000 <= 0.83


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="users expected in an arm"):
        sample_ratio([3, 4])
    with pytest.raises(DataError, match="two arms or more"):
        sample_ratio([30])
    with pytest.raises(DataError, match="whole numbers"):
        sample_ratio([30.5, 20])
    with pytest.raises(DataError, match="planned weights above 0"):
        sample_ratio([30, 20], [1, 0])
    with pytest.raises(DataError, match="values must be finite; row 1 is nan"):
        mean_of([1.0, np.nan])
    with pytest.raises(DataError, match="two users or more; 1 given"):
        mean_of([1.0])
    with pytest.raises(DataError, match="denominators"):
        ratio_of([1, 2], [0, 0])
    with pytest.raises(DataError, match="shapes do not fit"):
        ratio_of([1, 2], [1, 2, 3])
    arms = mean_of([1.0, 2.0]), mean_of([1.0, 3.0])
    with pytest.raises(DataError, match=r"covariates have shape \(3, 1\); expected \[2, C\]"):
        compare(*arms, before=([1, 2, 3], [1, 2]))
    with pytest.raises(DataError, match="a column that says so"):
        compare(*arms, before=([1, np.nan], [1, 2]))
    with pytest.raises(DataError, match="different numbers of covariates"):
        compare(*arms, before=([[1, 2], [2, 3]], [1, 2]))
    with pytest.raises(DataError, match="no variance"):
        compare(mean_of([1, 1]), mean_of([2, 2]))
    with pytest.raises(ConfigError, match="level"):
        compare(*arms, level=95)
    with pytest.raises(DataError, match="no looks"):
        always_valid([], expected_effect=1)
    with pytest.raises(ConfigError, match="expected_effect"):
        always_valid([compare(*arms)], expected_effect=0)
    with pytest.raises(ConfigError, match="alpha"):
        always_valid([compare(*arms)], expected_effect=1, alpha=5)
    with pytest.raises(DataError, match="variance above 0"):
        always_valid_of([1.0], [0.0], expected_effect=1)
    with pytest.raises(ConfigError, match="users_needed"):
        users_needed(arms[0], 0)


def test_relative_to_nothing_is_not_a_number() -> None:
    found = compare(mean_of([1.0, 2.0]), mean_of([-1.0, 1.0]))
    assert np.isnan(found.relative)
    assert found.difference == 1.5
