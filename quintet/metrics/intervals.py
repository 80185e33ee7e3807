"""Bootstrap intervals: how far a figure would move with other users (Efron and Tibshirani 1993).

Users are the unit that is drawn: events of one user are not independent. All intervals are
percentile intervals. They depend on the values alone, never on the order of the users, so a
permutation of ids changes no digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import ConfigError, DataError, EmptyDataError
from quintet.metrics.ranking import Values

#: draws held at once
BLOCK_CELLS = 1 << 22
#: below this share of distinct rows, counts are drawn instead of rows (the same law, less work)
FEW_DISTINCT = 0.02


@dataclass(frozen=True)
class Interval:
    """A mean (or another figure) with its interval and the number of users behind it."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """How much a is above b on the same users.

    Attributes:
        difference: mean(a) - mean(b), with ``low`` and ``high``.
        relative: mean(a) / mean(b) - 1, with ``relative_low`` and ``relative_high``; NaN where the
            mean of b, or that of a resample, is 0.
        n: users compared.
    """

    difference: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    n: int


def bootstrap_mean(
    values_U: ArrayLike, seed: int = 0, *, n: int = 2000, level: float = 0.95
) -> Interval:
    """Interval of the mean over users.

    Args:
        values_U: [U] one value a user.
        seed: of the draws.
        n: resamples.
        level: share of resamples inside the interval.

    Raises:
        EmptyDataError: no users.
        DataError: a value is NaN or infinite; leave users without a value out first.
    """
    values_U1 = _finite(values_U)[:, None]
    means_n = _resampled_sums(values_U1, seed, n)[:, 0] / len(values_U1)
    low, high = _percentiles(means_n, level)
    return Interval(float(values_U1.mean()), low, high, len(values_U1))


def paired_bootstrap(
    a_U: ArrayLike, b_U: ArrayLike, seed: int = 0, *, n: int = 2000, level: float = 0.95
) -> PairedDifference:
    """Difference of two systems on the same users, absolute and relative, drawn jointly.

    Args:
        a_U: [U] values of the first system.
        b_U: [U] values of the second (the baseline), for the same users in the same order.
        seed: of the draws.
        n: resamples.
        level: share of resamples inside the intervals.

    Raises:
        EmptyDataError: no users.
        DataError: the lengths differ, or a value is NaN or infinite.
    """
    a, b = _finite(a_U), _finite(b_U)
    if a.shape != b.shape:
        raise DataError(f"paired values must be of the same users: {len(a)} and {len(b)} given")
    means_n2 = _resampled_sums(np.stack([a, b], axis=1), seed, n) / len(a)
    low, high = _percentiles(means_n2[:, 0] - means_n2[:, 1], level)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = float(np.divide(a.mean(), b.mean()) - 1) if b.mean() != 0 else np.nan
        relative_n = np.where(means_n2[:, 1] != 0, means_n2[:, 0] / means_n2[:, 1] - 1, np.nan)
    relative_low, relative_high = _percentiles(relative_n, level)
    return PairedDifference(
        float(a.mean() - b.mean()), low, high, relative, relative_low, relative_high, len(a)
    )


def cluster_bootstrap(
    stat: Callable[[Values], Values],
    groups_E: ArrayLike,
    columns_EC: ArrayLike,
    seed: int = 0,
    *,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Interval of a statistic of event sums, drawing whole users (all events of one together).

    Events of one user are summed first, so the cost is that of users. For a difference of log
    losses give the columns ``[loss_a - loss_b, 1]`` and ``stat = lambda s: s[:, 0] / s[:, 1]``.

    Args:
        stat: from sums [n, C] to values [n].
        groups_E: [E] user of each event (any integers).
        columns_EC: [E, C] what is summed.
        seed: of the draws.
        n: resamples.
        level: share of resamples inside the interval.

    Raises:
        EmptyDataError: no events.
        DataError: the lengths differ, or a number is NaN or infinite.
    """
    columns = np.asarray(columns_EC, np.float64)
    groups = np.asarray(groups_E)
    if columns.ndim != 2 or groups.shape != columns.shape[:1]:
        raise DataError(f"shapes do not fit: groups {groups.shape}, columns {columns.shape}")
    _finite(columns.ravel())
    _, group = np.unique(groups, return_inverse=True)
    by_user = [np.bincount(group, column).astype(np.float64) for column in columns.T]
    sums_UC = np.stack(by_user, axis=1)
    low, high = _percentiles(stat(_resampled_sums(sums_UC, seed, n)), level)
    whole = stat(sums_UC.sum(axis=0, keepdims=True))
    return Interval(float(whole[0]), low, high, len(sums_UC))


def cluster_mean(
    values_E: ArrayLike, groups_E: ArrayLike, seed: int = 0, *, n: int = 2000, level: float = 0.95
) -> Interval:
    """Interval of the mean over events, drawing whole users; see :func:`cluster_bootstrap`."""
    values = np.asarray(values_E, np.float64)
    columns_E2 = np.stack([values, np.ones_like(values)], axis=1)
    return cluster_bootstrap(_ratio, groups_E, columns_E2, seed, n=n, level=level)


def _ratio(sums_n2: Values) -> Values:
    return np.asarray(sums_n2[:, 0] / sums_n2[:, 1])


def _resampled_sums(rows_UC: Values, seed: int, n: int) -> Values:
    """[n, C] sums over U rows drawn with replacement, n times."""
    if n < 1:
        raise ConfigError(f"bootstrap: n must be 1 or more, not {n}")
    distinct_DC, counts_D = _distinct(rows_UC)
    rng = np.random.default_rng(seed)
    if len(distinct_DC) <= FEW_DISTINCT * len(rows_UC) or len(distinct_DC) == 1:
        share_D = counts_D / counts_D.sum()
        blocks = [
            rng.multinomial(len(rows_UC), share_D, size=size).astype(np.float64) @ distinct_DC
            for size in _block_sizes(n, len(distinct_DC))
        ]
        return np.concatenate(blocks)
    columns_CU = np.repeat(distinct_DC, counts_D, axis=0).T.copy()
    blocks = []
    for size in _block_sizes(n, len(rows_UC)):
        draw = rng.integers(0, len(rows_UC), size=(size, len(rows_UC)), dtype=np.int32)
        index = draw.astype(np.intp)  # numpy gathers twice as fast from its own index type
        blocks.append(np.stack([column[index].sum(axis=1) for column in columns_CU], axis=1))
    return np.concatenate(blocks)


def _distinct(rows_UC: Values) -> tuple[Values, NDArray[np.int64]]:
    """The distinct rows in ascending order and how often each occurs."""
    ordered = rows_UC[np.lexsort(rows_UC.T[::-1])]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)])
    return ordered[starts], np.diff(np.r_[starts, len(ordered)]).astype(np.int64)


def _block_sizes(n: int, width: int) -> Iterator[int]:
    step = max(1, BLOCK_CELLS // width)
    for start in range(0, n, step):
        yield min(step, n - start)


def _percentiles(values_n: Values, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ConfigError(f"bootstrap: level must lie between 0 and 1, not {level}")
    low, high = np.quantile(values_n, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _finite(values: ArrayLike) -> Values:
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise DataError(f"values have shape {array.shape}; expected [U]")
    if len(array) == 0:
        raise EmptyDataError("no values to bootstrap")
    broken = ~np.isfinite(array)
    if broken.any():
        raise DataError(
            f"{int(broken.sum())} of {len(array)} values are NaN or infinite, the first at row "
            f"{int(broken.argmax())}; leave users without a value out before averaging"
        )
    return array
