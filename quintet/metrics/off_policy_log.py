"""A log of choices with their probabilities, and what can be asked of it.

One row is one choice: an item that a logging policy drew with a known probability (its
**propensity**), the reward that followed, and the probability with which another policy, the
**target**, would have chosen the same item. The ratio of the two is the row's importance weight.

N rows, G groups of rows that are not independent (a slate, a user), A actions, K positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from quintet.errors import ConfigError, DataError, EmptyDataError
from quintet.metrics.intervals import cluster_bootstrap
from quintet.metrics.ranking import Values

#: probabilities may pass 1, and their sums miss it, by rounding
SLACK = 1e-6


@dataclass(frozen=True)
class PolicyValue:
    """What a policy would have earned a row, estimated from another policy's log.

    Attributes:
        value: the estimate, in units of the reward.
        low: lower end of the normal interval.
        high: upper end of the normal interval.
        bootstrap_low: lower end of the percentile bootstrap; NaN if no resamples were asked for.
        bootstrap_high: its upper end.
        n: rows.
        groups: independent units behind the intervals.
        effective_n: (Σw)² / Σw² of the weights as used: how many rows drawn by the target itself
            would say as much (Kish 1965).
        mean_weight: mean weight before clipping. 1 in expectation wherever the log has support for
            all that the target does; well off 1 means missing support or wrong propensities.
        max_weight: the greatest weight before clipping.
        clip: weights were cut to this; infinite if none were.
        clipped: share of rows whose weight was cut (or dropped, by a switch). Not 0: the estimate
            is biased.
    """

    value: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float
    n: int
    groups: int
    effective_n: float
    mean_weight: float
    max_weight: float
    clip: float
    clipped: float


class BanditLog:
    """Logged choices next to what a target policy would have done.

    Args:
        reward_N: [N] what followed each choice (a click, a price).
        propensity_N: [N] probability with which the choice was drawn when it was logged, in (0, 1].
        target_N: [N] probability with which the target policy would choose the same, in [0, 1].
        groups_N: [N] who belongs together (slate, session or user; any integers or strings), for
            intervals that draw whole groups. Without it every row is independent.
        clip: greatest weight; greater ones are cut to it (less variance, some bias).

    Raises:
        EmptyDataError: no rows.
        DataError: shapes differ, a number is NaN or infinite, or a probability is out of range.
        ConfigError: ``clip`` is not above 0.
    """

    def __init__(
        self,
        reward_N: ArrayLike,
        propensity_N: ArrayLike,
        target_N: ArrayLike,
        groups_N: ArrayLike | None = None,
        *,
        clip: float = np.inf,
    ) -> None:
        self.reward_N = column("reward", reward_N)
        self.propensity_N = column("propensity", propensity_N, len(self.reward_N))
        self.target_N = column("target", target_N, len(self.reward_N))
        if not clip > 0:
            raise ConfigError(f"off-policy: clip must be above 0, not {clip}")
        refuse(
            (self.propensity_N <= 0) | (self.propensity_N > 1 + SLACK),
            "propensities must lie in (0, 1]: what was shown had some probability; log it when it "
            "is drawn, or leave these rows out",
        )
        refuse(
            (self.target_N < 0) | (self.target_N > 1 + SLACK),
            "the target policy's probabilities must lie in [0, 1]",
        )
        self.clip = float(clip)
        self.ratio_N: Values = self.target_N / self.propensity_N
        self.weight_N: Values = np.minimum(self.ratio_N, self.clip)
        self.groups_N = self._grouped(groups_N)

    def __len__(self) -> int:
        return len(self.reward_N)

    def _grouped(self, groups_N: ArrayLike | None) -> NDArray[np.int64]:
        if groups_N is None:
            return np.arange(len(self), dtype=np.int64)
        groups = np.asarray(groups_N)
        if groups.shape != self.reward_N.shape:
            raise DataError(f"shapes do not fit: groups {groups.shape}, rewards ({len(self)},)")
        return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)

    def require_support(self) -> None:
        """See that the log can speak of the target at all.

        Raises:
            DataError: the log was made without chance where the target would choose otherwise, or
                the target would choose nothing that was logged.
        """
        certain_N = self.propensity_N >= 1 - SLACK
        unseen_N = certain_N & (self.target_N < 1 - SLACK)
        if unseen_N.all():
            raise DataError(
                "every propensity is 1: a deterministic log has no support for another policy, it "
                "says nothing of what was never shown; log with exploration (a random last step "
                "whose propensities are kept) and evaluate on that"
            )
        refuse(
            unseen_N,
            "rows were chosen with certainty (propensity 1) where the target would choose "
            "otherwise: the log has no support there; leave these rows out of the question "
            "(and say so), or log with exploration",
        )
        if not self.weight_N.any():
            raise DataError(
                "the target policy would choose none of the logged items: the two do not overlap, "
                "and nothing can be said of the target"
            )


def require_support(policy_NA: ArrayLike, logging_NA: ArrayLike) -> None:
    """See that whatever the target may choose could have been logged.

    Args:
        policy_NA: [N, A] the target policy's probabilities.
        logging_NA: [N, A] the logging policy's probabilities of the same actions.

    Raises:
        DataError: the target has mass where the logging policy has none; says how much.
    """
    policy, logging = distributions("policy", policy_NA), distributions("logging", logging_NA)
    if policy.shape != logging.shape:
        raise DataError(f"shapes do not fit: policy {policy.shape}, logging {logging.shape}")
    missing_N = np.where(logging > 0, 0.0, policy).sum(axis=1)
    if missing_N.max() > SLACK:
        raise DataError(
            f"no support: {missing_N.mean():.1%} of the target policy's choices had propensity 0 "
            f"({int((missing_N > SLACK).sum())} of {len(missing_N)} rows, the first at row "
            f"{int((missing_N > SLACK).argmax())}); use `switch` with a model for them, or log "
            "with exploration"
        )


def sum_of_ratios(
    log: BanditLog,
    numerator_NK: Values,
    denominator_NK: Values,
    scale_K: Values,
    *,
    used_N: Values,
    groups_N: NDArray[np.int64],
    seed: int,
    resamples: int,
    level: float,
) -> PolicyValue:
    """Σ_k scale_k Σ_n numerator_nk / Σ_n denominator_nk, with its two intervals.

    Every estimator here is of this form. The normal interval's error is that of the linearised sum
    over groups (the delta method); the bootstrap draws groups.

    Args:
        log: where the weights are from.
        numerator_NK: [N, K] what is summed above.
        denominator_NK: [N, K] what is summed below.
        scale_K: [K] factors.
        used_N: [N] the weights as used.
        groups_N: [N] group of each row.
        seed: of the bootstrap.
        resamples: of the bootstrap; 0 leaves it out.
        level: of both intervals.

    Raises:
        DataError: fewer than two groups.
    """
    if not 0 < level < 1:
        raise ConfigError(f"off-policy: level must lie between 0 and 1, not {level}")
    groups, group_N = np.unique(groups_N, return_inverse=True)
    if len(groups) < 2:
        raise DataError("an interval needs two groups of rows or more; one was given")
    below_K = denominator_NK.sum(axis=0)
    ratio_K = numerator_NK.sum(axis=0) / below_K
    residual_N = ((numerator_NK - ratio_K * denominator_NK) * (scale_K / below_K)).sum(axis=1)
    residual_G = np.bincount(group_N, residual_N)
    error = float(np.sqrt(len(groups) / (len(groups) - 1) * (residual_G**2).sum()))
    value, half = float(ratio_K @ scale_K), float(ndtri((1 + level) / 2)) * error
    ends = (np.nan, np.nan)
    if resamples:
        k = len(scale_K)

        def stat(sums_R: Values) -> Values:
            below = np.where(sums_R[:, k:] != 0, sums_R[:, k:], np.nan)
            return np.asarray((sums_R[:, :k] / below) @ scale_K)

        columns = np.concatenate([numerator_NK, denominator_NK], axis=1)
        drawn = cluster_bootstrap(stat, group_N, columns, seed, n=resamples, level=level)
        ends = (drawn.low, drawn.high)
    squares = float((used_N**2).sum())
    return PolicyValue(
        value=value,
        low=value - half,
        high=value + half,
        bootstrap_low=ends[0],
        bootstrap_high=ends[1],
        n=len(log),
        groups=len(groups),
        effective_n=float(used_N.sum() ** 2 / squares) if squares else 0.0,
        mean_weight=float(log.ratio_N.mean()),
        max_weight=float(log.ratio_N.max()),
        clip=log.clip,
        clipped=float((used_N < log.ratio_N).mean()),
    )


def column(name: str, values: ArrayLike, length: int | None = None) -> Values:
    """[N] finite floats; see :class:`BanditLog` for what is raised."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or (length is not None and len(array) != length):
        expected = "[N]" if length is None else f"[{length}], one a row of the log"
        raise DataError(f"{name} has shape {array.shape}; expected {expected}")
    if not len(array):
        raise EmptyDataError("off-policy: the log has no rows")
    refuse(~np.isfinite(array), f"{name} must be finite; leave rows without a value out")
    return array


def table(name: str, values: ArrayLike, length: int | None = None) -> Values:
    """[N, A] finite floats.

    Raises:
        DataError: another shape, or a number is NaN or infinite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not array.shape[1] or len(array) != (length or len(array)):
        raise DataError(f"{name} has shape {array.shape}; expected [{length or 'N'}, A]")
    refuse(np.asarray(~np.isfinite(array).all(axis=1)), f"{name} must be finite")
    return array


def distributions(name: str, values: ArrayLike, length: int | None = None) -> Values:
    """[N, A] rows of probabilities.

    Raises:
        DataError: another shape, a negative number, or a row that does not sum to 1.
    """
    array = table(name, values, length)
    off_N = (np.abs(array.sum(axis=1) - 1) > SLACK) | (array.min(axis=1) < 0)
    refuse(off_N, f"{name}: probabilities must be 0 or more, and each row must sum to 1")
    return array


def refuse(broken_N: NDArray[np.bool_], why: str) -> None:
    """Raise ``DataError`` if any row is broken; says how many and where the first one is."""
    if broken_N.any():
        raise DataError(
            f"{why} ({int(broken_N.sum())} of {len(broken_N)} rows, the first at row "
            f"{int(broken_N.argmax())})"
        )
