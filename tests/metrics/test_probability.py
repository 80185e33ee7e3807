"""Probability metrics against visible arithmetic and against scikit-learn."""

from math import log, sqrt

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import DataError, EmptyDataError
from quintet.metrics import (
    accuracy,
    auc,
    balanced_accuracy,
    binary_metrics,
    brier,
    calibration_bins,
    calibration_error,
    f1_score,
    log_loss,
    log_loss_terms,
    mae,
    multiclass_log_loss,
    rmse,
)

LABEL = [1, 0, 1, 0]
PROBABILITY = [0.8, 0.4, 0.4, 0.1]


def test_auc_by_hand() -> None:
    # pairs (positive, negative): .8>.4, .8>.1, .4=.4 (one half), .4>.1
    assert auc(LABEL, PROBABILITY) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    # the tied positive weighs 3: (1·2 + 3·1.5) / (4 · 2)
    assert auc(LABEL, PROBABILITY, [1, 1, 3, 1]) == pytest.approx((2 + 3 * 1.5) / 8)


def test_log_loss_by_hand() -> None:
    terms = [-log(0.8), -log(0.6), -log(0.4), -log(0.9)]
    assert log_loss_terms(LABEL, PROBABILITY) == pytest.approx(terms)
    assert log_loss(LABEL, PROBABILITY) == pytest.approx(sum(terms) / 4)
    weighted = (2 * terms[0] + terms[1]) / 3
    assert log_loss(LABEL, PROBABILITY, [2, 1, 0, 0]) == pytest.approx(weighted)


def test_certain_mistakes_cost_much_but_not_infinitely() -> None:
    assert 30 < log_loss([1, 0], [0.0, 1.0]) < 40


def test_multiclass_log_loss_by_hand() -> None:
    rows = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]
    assert multiclass_log_loss([0, 1], rows) == pytest.approx((-log(0.7) - log(0.3)) / 2)
    assert multiclass_log_loss([0, 1], rows, [3, 1]) == pytest.approx(
        (-3 * log(0.7) - log(0.3)) / 4
    )


def test_accuracy_and_balanced_accuracy_by_hand() -> None:
    label, predicted = [0, 0, 0, 1, 2], [0, 0, 1, 1, 0]
    assert accuracy(label, predicted) == pytest.approx(3 / 5)
    assert balanced_accuracy(label, predicted) == pytest.approx((2 / 3 + 1 / 1 + 0 / 1) / 3)


def test_f1_by_hand() -> None:
    # one true positive, one false positive, one missed
    assert f1_score([1, 1, 0, 0], [1, 0, 1, 0]) == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))


def test_brier_rmse_and_mae_by_hand() -> None:
    squares = 0.2**2 + 0.4**2 + 0.6**2 + 0.1**2
    assert brier(LABEL, PROBABILITY) == pytest.approx(squares / 4)
    assert rmse([5, 3], [4, 1]) == pytest.approx(sqrt((1**2 + 2**2) / 2))
    assert mae([5, 3], [4, 1], [1, 3]) == pytest.approx((1 * 1 + 3 * 2) / 4)


def test_calibration_by_hand() -> None:
    label, probability = [0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8]
    low, high = calibration_bins(label, probability, n_bins=2)
    assert (low.predicted, low.observed, low.count) == pytest.approx((0.2, 1 / 2, 2))
    assert (high.predicted, high.observed, high.count) == pytest.approx((0.7, 2 / 2, 2))
    expected = 2 / 4 * abs(1 / 2 - 0.2) + 2 / 4 * abs(2 / 2 - 0.7)
    assert calibration_error(label, probability, n_bins=2) == pytest.approx(expected)


def test_bins_have_equal_mass_and_keep_ties_together() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(150)
    label = rng.integers(0, 2, 150)
    assert [b.count for b in calibration_bins(label, probability)] == [10] * 15
    constant = calibration_bins(label, np.full(150, 0.5))
    assert [b.count for b in constant] == [150]


def test_bins_do_not_depend_on_the_order_of_events() -> None:
    rng = np.random.default_rng(0)
    probability, label = rng.integers(0, 8, 200) / 8, rng.integers(0, 2, 200)
    order = rng.permutation(200)
    assert calibration_bins(label, probability) == calibration_bins(
        label[order], probability[order]
    )


def test_a_calibrated_forecast_has_a_small_error() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    label = rng.random(20_000) < probability
    assert calibration_error(label, probability) < 0.02
    assert calibration_error(label, probability**2) > 0.1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_agrees_with_scikit_learn(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    label = np.r_[0, 1, rng.integers(0, 2, 28)]
    probability = rng.integers(1, 12, 30) / 12
    weight = rng.random(30) + 0.1 if weighted else None
    predicted = (probability >= 0.5).astype(int)
    ours = binary_metrics(label, probability, weight)
    assert ours["auc"] == pytest.approx(
        reference.roc_auc_score(label, probability, sample_weight=weight)
    )
    assert ours["log_loss"] == pytest.approx(
        reference.log_loss(label, probability, sample_weight=weight)
    )
    assert ours["brier"] == pytest.approx(
        reference.brier_score_loss(label, probability, sample_weight=weight)
    )
    assert ours["accuracy"] == pytest.approx(
        reference.accuracy_score(label, predicted, sample_weight=weight)
    )
    assert ours["f1"] == pytest.approx(reference.f1_score(label, predicted, sample_weight=weight))
    assert balanced_accuracy(label, predicted, weight) == pytest.approx(
        reference.balanced_accuracy_score(label, predicted, sample_weight=weight)
    )
    assert rmse(label, probability, weight) == pytest.approx(
        reference.root_mean_squared_error(label, probability, sample_weight=weight)
    )
    assert mae(label, probability, weight) == pytest.approx(
        reference.mean_absolute_error(label, probability, sample_weight=weight)
    )


def test_multiclass_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    label = np.r_[np.arange(4), rng.integers(0, 4, 50)]
    rows = rng.dirichlet(np.ones(4), 54)
    weight = rng.random(54)
    assert multiclass_log_loss(label, rows, weight) == pytest.approx(
        reference.log_loss(label, rows, sample_weight=weight)
    )


def test_one_class_only_is_nan_where_it_has_no_meaning() -> None:
    values = binary_metrics([1, 1], [0.6, 0.7])
    assert np.isnan(values["auc"])
    assert np.isfinite(values["log_loss"])
    assert np.isnan(f1_score([0, 0], [0, 0]))
    assert np.isnan(balanced_accuracy([1, 1], [1, 0]))
    # a class whose events all weigh nothing does not occur
    assert np.isnan(auc([1, 0], [0.6, 0.7], [1, 0]))


@pytest.mark.parametrize(
    "metric",
    [auc, log_loss, accuracy, balanced_accuracy, f1_score, brier, calibration_error, rmse, mae],
)
def test_no_events_are_an_error(metric) -> None:
    with pytest.raises(EmptyDataError, match="no events"):
        metric([], [])
    with pytest.raises(EmptyDataError, match="all weights are 0"):
        metric([1, 0], [1, 0], [0, 0])


def test_impossible_input_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match="between 0 and 1; event 1"):
        log_loss([0, 1], [0.5, 1.5])
    with pytest.raises(DataError, match="labels must be 0 or 1; event 0"):
        auc([2, 1], [0.5, 0.5])
    with pytest.raises(DataError, match="finite numbers; event 1"):
        brier([0, 1], [0.5, np.nan])
    with pytest.raises(DataError, match="shapes do not fit"):
        mae([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="weights must be finite"):
        mae([1.0, 2.0], [1.0, 2.0], [1, -1])
    with pytest.raises(DataError, match=r"expected \[2\]"):
        mae([1.0, 2.0], [1.0, 2.0], [1])
    with pytest.raises(DataError, match="sum to 1; event 0"):
        multiclass_log_loss([0], [[0.5, 0.6]])
    with pytest.raises(DataError, match="classes from 0 to 1"):
        multiclass_log_loss([2], [[0.5, 0.5]])
    with pytest.raises(DataError, match="shapes do not fit"):
        multiclass_log_loss([0, 1], [[0.5, 0.5]])
    with pytest.raises(DataError, match="predicted classes must be 0 or 1"):
        f1_score([0, 1], [0.5, 1])
