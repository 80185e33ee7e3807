"""Quality of predicted probabilities and values.

Shapes: N events, C classes. ``weight`` [N] counts an event more or less; without it all count
alike. Logarithms are natural. A measure that has no meaning on the given events is NaN, and its
docstring says when; no events at all raise ``EmptyDataError``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import DataError, EmptyDataError
from quintet.metrics.ranking import Values

#: probabilities are kept this far from 0 and 1, so that one certain mistake is not infinite
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class CalibrationBin:
    """One point of a reliability diagram.

    Attributes:
        predicted: mean predicted probability in the bin.
        observed: share of positives in the bin.
        count: weight of the bin; the number of events without weights.
    """

    predicted: float
    observed: float
    count: float


def auc(label_N: ArrayLike, score_N: ArrayLike, weight_N: ArrayLike | None = None) -> float:
    """Area under the ROC curve: how often a positive outscores a negative; ties count one half.

    NaN if only one class occurs: there is no pair to compare. O(N log N) by ranks (Hanley and
    McNeil 1982). Scores need not be probabilities.
    """
    label, score, weight = _binary(label_N, score_N, weight_N)
    _, group = np.unique(score, return_inverse=True)
    positive = np.bincount(group, weight * label)
    negative = np.bincount(group, weight * (1 - label))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


def log_loss_terms(label_N: ArrayLike, probability_N: ArrayLike) -> Values:
    """[N] -log probability of what happened, in nats; for intervals by user."""
    label, probability, _ = _binary(label_N, probability_N, None, unit=True)
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    return np.asarray(-np.where(label > 0, np.log(clipped), np.log1p(-clipped)))


def log_loss(
    label_N: ArrayLike, probability_N: ArrayLike, weight_N: ArrayLike | None = None
) -> float:
    """Mean -log probability of what happened, in nats."""
    _, _, weight = _binary(label_N, probability_N, weight_N, unit=True)
    return _mean(log_loss_terms(label_N, probability_N), weight)


def multiclass_log_loss(
    label_N: ArrayLike, probability_NC: ArrayLike, weight_N: ArrayLike | None = None
) -> float:
    """Mean -log probability of the class that happened, in nats.

    Args:
        label_N: [N] class of each event, from 0 to C - 1.
        probability_NC: [N, C] predicted probabilities; each row sums to 1.
        weight_N: [N] weights.

    Raises:
        DataError: a label is no class, or a row does not sum to 1.
    """
    probability = np.asarray(probability_NC, np.float64)
    label = np.asarray(label_N, np.int64)
    if probability.ndim != 2 or label.shape != probability.shape[:1]:
        raise DataError(f"shapes do not fit: labels {label.shape}, rows {probability.shape}")
    weight = _weights(len(label), weight_N)
    classes = probability.shape[1]
    _refuse((label < 0) | (label >= classes), f"labels must be classes from 0 to {classes - 1}")
    off = ~(np.abs(probability.sum(axis=1) - 1) < 1e-4) | (probability < 0).any(axis=1)
    _refuse(off, "class probabilities must be 0 or more and sum to 1")
    chosen = probability[np.arange(len(label)), label]
    return _mean(-np.log(np.clip(chosen, EPSILON, 1.0)), weight)


def accuracy(
    label_N: ArrayLike, predicted_N: ArrayLike, weight_N: ArrayLike | None = None
) -> float:
    """Share of events whose predicted class is the true one; both are class numbers."""
    label, predicted, weight = _columns(label_N, predicted_N, weight_N)
    return _mean((label == predicted).astype(np.float64), weight)


def balanced_accuracy(
    label_N: ArrayLike, predicted_N: ArrayLike, weight_N: ArrayLike | None = None
) -> float:
    """Mean over the true classes of the share of their events predicted rightly.

    NaN if only one class occurs: there is nothing to balance.
    """
    label, predicted, weight = _columns(label_N, predicted_N, weight_N)
    _, group = np.unique(label, return_inverse=True)
    mass = np.bincount(group, weight)
    right = np.bincount(group, weight * (label == predicted))
    return float((right[mass > 0] / mass[mass > 0]).mean()) if (mass > 0).sum() > 1 else np.nan


def f1_score(
    label_N: ArrayLike, predicted_N: ArrayLike, weight_N: ArrayLike | None = None
) -> float:
    """2 TP / (2 TP + FP + FN) of 0/1 predictions; NaN if nothing is positive nor predicted so."""
    label, predicted, weight = _binary(label_N, predicted_N, weight_N)
    _refuse((predicted != 0) & (predicted != 1), "predicted classes must be 0 or 1")
    both = weight @ (label * predicted)
    either = weight @ (label + predicted)
    return float(2 * both / either) if either > 0 else float("nan")


def brier(label_N: ArrayLike, probability_N: ArrayLike, weight_N: ArrayLike | None = None) -> float:
    """Mean squared distance between probability and outcome (Brier 1950)."""
    label, probability, weight = _binary(label_N, probability_N, weight_N, unit=True)
    return _mean((label - probability) ** 2, weight)


def calibration_bins(
    label_N: ArrayLike,
    probability_N: ArrayLike,
    weight_N: ArrayLike | None = None,
    *,
    n_bins: int = 15,
) -> list[CalibrationBin]:
    """Bins of equal mass in order of the predicted probability.

    Equal probabilities always share a bin (the one of the middle of their mass), so that the order
    of the events does not matter; with many ties there are fewer bins than asked for.
    """
    label, probability, weight = _binary(label_N, probability_N, weight_N, unit=True)
    value, group = np.unique(probability, return_inverse=True)
    mass = np.bincount(group, weight)
    positive = np.bincount(group, weight * label)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    place = np.minimum((middle * n_bins).astype(np.int64), n_bins - 1)
    mass_B, positive_B, predicted_B = (
        np.bincount(place, part, minlength=n_bins) for part in (mass, positive, mass * value)
    )
    return [
        CalibrationBin(
            float(predicted_B[b] / mass_B[b]), float(positive_B[b] / mass_B[b]), mass_B[b]
        )
        for b in np.flatnonzero(mass_B > 0)
    ]


def calibration_error(
    label_N: ArrayLike,
    probability_N: ArrayLike,
    weight_N: ArrayLike | None = None,
    *,
    n_bins: int = 15,
) -> float:
    """Expected calibration error: Σ_b mass_b |observed_b - predicted_b| over bins of equal mass.

    Guo et al. (2017) with equal-mass bins as in Nguyen and O'Connor (2015).
    """
    bins = calibration_bins(label_N, probability_N, weight_N, n_bins=n_bins)
    total = sum(b.count for b in bins)
    return float(sum(b.count * abs(b.observed - b.predicted) for b in bins) / total)


def rmse(value_N: ArrayLike, predicted_N: ArrayLike, weight_N: ArrayLike | None = None) -> float:
    """Root of the mean squared error, in the units of the values."""
    value, predicted, weight = _columns(value_N, predicted_N, weight_N)
    return float(np.sqrt(_mean((value - predicted) ** 2, weight)))


def mae(value_N: ArrayLike, predicted_N: ArrayLike, weight_N: ArrayLike | None = None) -> float:
    """Mean absolute error, in the units of the values."""
    value, predicted, weight = _columns(value_N, predicted_N, weight_N)
    return _mean(np.abs(value - predicted), weight)


def binary_metrics(
    label_N: ArrayLike, probability_N: ArrayLike, weight_N: ArrayLike | None = None
) -> dict[str, float]:
    """All measures of a yes/no probability; classes are cut at one half."""
    label, probability, weight = _binary(label_N, probability_N, weight_N, unit=True)
    predicted = (probability >= 0.5).astype(np.float64)
    return {
        "auc": auc(label, probability, weight),
        "log_loss": log_loss(label, probability, weight),
        "accuracy": accuracy(label, predicted, weight),
        "f1": f1_score(label, predicted, weight),
        "brier": brier(label, probability, weight),
        "calibration_error": calibration_error(label, probability, weight),
        "positive_rate": _mean(label, weight),
        "mean_probability": _mean(probability, weight),
    }


def _mean(values: Values, weight: Values) -> float:
    return float(values @ weight / weight.sum())


def _weights(count: int, weight_N: ArrayLike | None) -> Values:
    if count == 0:
        raise EmptyDataError("no events to measure")
    if weight_N is None:
        return np.ones(count)
    weight = np.asarray(weight_N, np.float64)
    if weight.shape != (count,):
        raise DataError(f"weights have shape {weight.shape}; expected [{count}]")
    _refuse(~(weight >= 0) | np.isinf(weight), "weights must be finite and 0 or more")
    if weight.sum() <= 0:
        raise EmptyDataError("all weights are 0: no events to measure")
    return weight


def _columns(
    left_N: ArrayLike, right_N: ArrayLike, weight_N: ArrayLike | None
) -> tuple[Values, Values, Values]:
    left, right = np.asarray(left_N, np.float64), np.asarray(right_N, np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise DataError(f"shapes do not fit: {left.shape} and {right.shape}; expected two of [N]")
    weight = _weights(len(left), weight_N)
    _refuse(~(np.isfinite(left) & np.isfinite(right)), "values must be finite numbers")
    return left, right, weight


def _binary(
    label_N: ArrayLike, score_N: ArrayLike, weight_N: ArrayLike | None, *, unit: bool = False
) -> tuple[Values, Values, Values]:
    label, score, weight = _columns(label_N, score_N, weight_N)
    _refuse((label != 0) & (label != 1), "labels must be 0 or 1")
    if unit:
        _refuse((score < 0) | (score > 1), "probabilities must lie between 0 and 1")
    return label, score, weight


def _refuse(bad_N: NDArray[np.bool_], rule: str) -> None:
    if bad_N.any():
        raise DataError(f"{rule}; event {int(bad_N.argmax())} breaks this ({int(bad_N.sum())} do)")
