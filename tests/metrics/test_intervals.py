"""Bootstrap intervals: known errors, coverage of the truth, invariances, speed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import ConfigError, DataError, EmptyDataError
from quintet.metrics import bootstrap_mean, cluster_bootstrap, cluster_mean, paired_bootstrap
from quintet.metrics.intervals import _resampled_sums


def test_width_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    interval = bootstrap_mean(values, seed=1)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.n == 4000
    # 95 %: 1.96 standard errors on each side
    error = values.std() / np.sqrt(4000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_discrete_values_give_the_binomial_error() -> None:
    hits = np.repeat([0.0, 1.0], [1800, 200])  # few distinct values: counts are drawn
    interval = bootstrap_mean(hits, seed=1)
    error = np.sqrt(0.1 * 0.9 / 2000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_both_ways_to_draw_follow_one_law(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).integers(0, 3, (1000, 1)) / 2
    by_counts = _resampled_sums(rows, 0, 20_000)
    monkeypatch.setattr("quintet.metrics.intervals.FEW_DISTINCT", 0.0)
    by_rows = _resampled_sums(rows, 0, 20_000)
    assert not np.array_equal(by_counts, by_rows)
    assert by_counts.mean() == pytest.approx(by_rows.mean(), rel=0.002)
    assert by_counts.std() == pytest.approx(by_rows.std(), rel=0.03)


@pytest.mark.parametrize("draw", ["exponential", "hits"])
def test_the_interval_covers_the_truth_as_often_as_it_says(draw: str) -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for run in range(300):
        values = rng.exponential(size=200) if draw == "exponential" else rng.random(200) < 0.3
        truth = 1.0 if draw == "exponential" else 0.3
        interval = bootstrap_mean(values, seed=run, n=500)
        covered += interval.low <= truth <= interval.high
    assert 0.90 <= covered / 300 <= 0.99


def test_pairing_narrows_the_difference() -> None:
    rng = np.random.default_rng(0)
    common = rng.random(2000)
    a, b = common + 0.01 + rng.normal(0, 0.01, 2000), common
    result = paired_bootstrap(a, b)
    assert result.low > 0
    assert result.difference == pytest.approx(a.mean() - b.mean())
    assert result.relative == pytest.approx(a.mean() / b.mean() - 1)
    assert result.relative_low < result.relative < result.relative_high
    alone = bootstrap_mean(a)
    assert result.high - result.low < (alone.high - alone.low) / 5


def test_relative_difference_is_drawn_jointly() -> None:
    b = np.random.default_rng(0).random(500)
    result = paired_bootstrap(1.1 * b, b)
    # a is 10 % above b for every user, so in every resample as well
    assert (result.relative_low, result.relative_high) == pytest.approx((0.1, 0.1))


def test_a_baseline_of_zero_has_no_relative_difference() -> None:
    result = paired_bootstrap([0.0, 1.0], [0.0, 0.0])
    assert result.difference == 0.5
    assert np.isnan([result.relative, result.relative_low, result.relative_high]).all()


def test_clusters_widen_the_interval_of_events() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 20)
    values = np.repeat(rng.normal(size=100), 20)  # all events of a user are alike
    clustered, naive = cluster_mean(values, users), bootstrap_mean(values)
    assert clustered.mean == pytest.approx(values.mean())
    assert clustered.n == 100
    width = (clustered.high - clustered.low) / (naive.high - naive.low)
    assert width == pytest.approx(np.sqrt(20), rel=0.1)


def test_cluster_coverage() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for run in range(300):
        lengths = rng.integers(1, 8, 150)
        users = np.repeat(np.arange(150), lengths)
        values = np.repeat(rng.normal(size=150), lengths) + rng.normal(size=len(users))
        interval = cluster_mean(values, users, seed=run, n=500)
        covered += interval.low <= 0 <= interval.high
    assert 0.90 <= covered / 300 <= 0.99


def test_a_statistic_of_sums_by_hand() -> None:
    columns = [[1.0, 2.0], [3.0, 2.0], [5.0, 4.0]]
    interval = cluster_bootstrap(lambda s: s[:, 0] / s[:, 1], ["u", "v", "v"], columns)
    assert interval.mean == pytest.approx((1 + 3 + 5) / (2 + 2 + 4))
    # two users: resamples are (u, u), (u, v) and (v, v)
    assert (interval.low, interval.high) == pytest.approx((1 / 2, 8 / 6))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_order_of_users_changes_no_digit(seed: int, discrete: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 300))
    if discrete:
        a, b = a > 0.5, b > 0.7
    order = rng.permutation(300)
    assert bootstrap_mean(a, 7, n=50).low == bootstrap_mean(a[order], 7, n=50).low
    one = paired_bootstrap(a, b, 7, n=50)
    other = paired_bootstrap(a[order], b[order], 7, n=50)
    assert (one.low, one.high, one.relative_low) == (other.low, other.high, other.relative_low)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.integers(0, 1000))
def test_intervals_stay_within_the_values(values: list[float], seed: int) -> None:
    interval = bootstrap_mean(values, seed, n=100)
    slack = 1e-9
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack


def test_a_wider_level_contains_a_narrower_one() -> None:
    values = np.random.default_rng(0).random(100)
    wide, narrow = (bootstrap_mean(values, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_seeds_decide_and_blocks_do_not_change_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(100)
    assert bootstrap_mean(values, 1) == bootstrap_mean(values, 1)
    assert bootstrap_mean(values, 1) != bootstrap_mean(values, 2)
    whole = bootstrap_mean(values, 1)
    monkeypatch.setattr("quintet.metrics.intervals.BLOCK_CELLS", 700)
    assert bootstrap_mean(values, 1) == whole


def test_fast_enough_to_use_everywhere() -> None:
    rng = np.random.default_rng(0)
    discrete, continuous = rng.random(22_363) < 0.1, rng.random(22_363)
    start = time.process_time()
    bootstrap_mean(discrete)
    assert time.process_time() - start < 1
    start = time.process_time()
    bootstrap_mean(continuous)
    assert time.process_time() - start < 2.5  # about 0.5 s on a free machine


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(EmptyDataError, match="no values"):
        bootstrap_mean([])
    with pytest.raises(DataError, match="1 of 3 values are NaN or infinite, the first at row 1"):
        bootstrap_mean([0.0, np.nan, 1.0])
    with pytest.raises(DataError, match="same users: 2 and 1"):
        paired_bootstrap([0.0, 1.0], [1.0])
    with pytest.raises(DataError, match="shapes do not fit"):
        cluster_mean([0.0, 1.0], [1])
    with pytest.raises(DataError, match=r"expected \[U\]"):
        bootstrap_mean(np.zeros((2, 2)))
    with pytest.raises(ConfigError, match="level"):
        bootstrap_mean([1.0], level=95)
    with pytest.raises(ConfigError, match="n must be 1 or more"):
        bootstrap_mean([1.0], n=0)
