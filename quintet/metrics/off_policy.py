"""Off-policy evaluation: what another policy would have earned, from a log with propensities.

All take a :class:`BanditLog` and give a :class:`PolicyValue`: the mean reward a row (a slate, for
:func:`item_position`), a normal and a bootstrap interval, and how much of the log speaks of the
target at all. Keyword arguments of all: ``seed`` and ``resamples`` of the bootstrap (0 leaves it
out), ``level`` of both intervals.

| estimator | needs | unbiased if | trouble |
|---|---|---|---|
| :func:`ips` | propensities | they are right | variance of the weights |
| :func:`snips` | propensities | in the limit | bias of order 1/n |
| :func:`direct_method` | a reward model | the model is right | the model, which no interval shows |
| :func:`doubly_robust` | both | either is right | variance, less than IPS for a fair model |
| :func:`switch_dr`, :func:`switch` | both | either, up to the threshold | bias beyond it |
| :func:`item_position` | propensities by place | clicks ignore neighbours | where they do not |

A model must not have seen the rows that it corrects: fit it on other folds. The intervals tell how
the figure moves with other rows of the same log; they know nothing of bias.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import ConfigError, DataError
from quintet.metrics.off_policy_log import (
    BanditLog,
    PolicyValue,
    column,
    distributions,
    sum_of_ratios,
    table,
)
from quintet.metrics.ranking import Values

__all__ = [
    "BanditLog",
    "PolicyValue",
    "direct_method",
    "doubly_robust",
    "expected_reward",
    "ips",
    "item_position",
    "snips",
    "switch",
    "switch_dr",
    "switch_threshold",
]


def ips(
    log: BanditLog, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> PolicyValue:
    """Inverse propensity scoring: mean of w·r (Horvitz and Thompson 1952; Strehl et al. 2010).

    Raises:
        DataError: the log has no support for the target.
    """
    log.require_support()
    return _mean(log, log.weight_N * log.reward_N, log.weight_N, seed, resamples, level)


def snips(
    log: BanditLog, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> PolicyValue:
    """Self-normalised: Σw·r / Σw, so that adding to every reward adds as much to the value.

    Swaminathan and Joachims 2015, equation 6.

    Raises:
        DataError: the log has no support for the target.
    """
    log.require_support()
    above_N1 = (log.weight_N * log.reward_N)[:, None]
    below_N1, one_1 = log.weight_N[:, None], np.ones(1)
    return sum_of_ratios(
        log, above_N1, below_N1, one_1,
        used_N=log.weight_N, groups_N=log.groups_N, seed=seed, resamples=resamples, level=level,
    )  # fmt: skip


def direct_method(
    log: BanditLog,
    expected_N: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> PolicyValue:
    """The model alone: mean over rows of what it expects the target's choice to earn.

    Args:
        log: for its length and groups; its weights are not used.
        expected_N: [N] from :func:`expected_reward`.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of both intervals.
    """
    expected = column("expected", expected_N, len(log))
    return _mean(log, expected, log.weight_N, seed, resamples, level)


def doubly_robust(
    log: BanditLog,
    predicted_N: ArrayLike,
    expected_N: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> PolicyValue:
    """The model, corrected by its weighted errors: mean of q̄ + w·(r - q) (Dudík et al. 2011).

    Args:
        log: the log.
        predicted_N: [N] q, the reward that a model predicts for the logged choice.
        expected_N: [N] q̄, what it expects of the target's choice; from :func:`expected_reward`.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of both intervals.

    Raises:
        DataError: the log has no support for the target, or a shape does not fit.
    """
    log.require_support()
    return _corrected(log, log.weight_N, predicted_N, expected_N, seed, resamples, level)


def switch_dr(
    log: BanditLog,
    predicted_N: ArrayLike,
    expected_N: ArrayLike,
    threshold: float,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> PolicyValue:
    """Doubly robust where target / propensity ≤ threshold, the model alone where it is greater.

    SWITCH-DR of Wang et al. 2017, section 4; arguments as in :func:`doubly_robust`. The ratios are
    used uncut: the threshold takes the place of ``clip``.

    Raises:
        ConfigError: the threshold is negative or NaN.
        DataError: a shape does not fit.
    """
    weight_N = np.where(log.ratio_N <= _checked(threshold), log.ratio_N, 0.0)
    return _corrected(log, weight_N, predicted_N, expected_N, seed, resamples, level)


def switch(
    log: BanditLog,
    logging_NA: ArrayLike,
    policy_NA: ArrayLike,
    predicted_NA: ArrayLike,
    threshold: float,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> PolicyValue:
    """IPS for actions whose ratio is ≤ threshold, the model for the others (Wang et al. 2017, 5).

    Actions that the logging policy never chooses have an infinite ratio, so the model speaks for
    them: SWITCH needs no support where the model is good.

    Args:
        log: the log.
        logging_NA: [N, A] the logging policy's probabilities of all actions.
        policy_NA: [N, A] the target's.
        predicted_NA: [N, A] rewards predicted for all actions.
        threshold: greatest ratio that is trusted; see :func:`switch_threshold`.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of both intervals.

    Raises:
        ConfigError: the threshold is negative or NaN.
        DataError: a shape does not fit, or a row of probabilities does not sum to 1.
    """
    ratio_NA, policy, predicted = _all_actions(log, logging_NA, policy_NA, predicted_NA)
    terms_N, weight_N = _switched(log, ratio_NA, policy, predicted, _checked(threshold))
    return _mean(log, terms_N, weight_N, seed, resamples, level)


def switch_threshold(
    log: BanditLog,
    logging_NA: ArrayLike,
    policy_NA: ArrayLike,
    predicted_NA: ArrayLike,
    *,
    greatest_reward: float,
    candidates: int = 21,
) -> float:
    """The threshold of :func:`switch` with the least estimated error, from the log alone.

    Least variance + (bound of the bias)²: Wang et al. 2017, section 4.1. The bound takes the model
    to be wrong by the whole range of rewards, so it trusts weights rather than the model.

    Args:
        log: the log.
        logging_NA: [N, A] the logging policy's probabilities of all actions.
        policy_NA: [N, A] the target's.
        predicted_NA: [N, A] rewards predicted for all actions.
        greatest_reward: an upper bound of the reward (1 for clicks); rewards are 0 or more.
        candidates: thresholds tried, at even quantiles of the logged ratios.
    """
    ratio_NA, policy, predicted = _all_actions(log, logging_NA, policy_NA, predicted_NA)
    tried = np.unique(np.quantile(log.ratio_N, np.linspace(0, 1, max(candidates, 2))))
    errors = []
    for threshold in tried:
        terms_N, _ = _switched(log, ratio_NA, policy, predicted, float(threshold))
        beyond = np.where(ratio_NA > threshold, policy, 0.0).sum(axis=1).mean()
        errors.append(terms_N.var() / len(log) + (greatest_reward * beyond) ** 2)
    return float(tried[int(np.argmin(errors))])


def item_position(
    log: BanditLog,
    position_N: ArrayLike,
    slate_N: ArrayLike | None = None,
    *,
    normalise: bool = True,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> PolicyValue:
    """Reward a slate, each place weighed by itself: the item-position model (Li et al. 2018).

    A row is one item at one place; its propensity and target are the **marginal** probabilities of
    that item at that place. Right if the reward of an item depends on it and its place, not on its
    neighbours. Weights of single places are far smaller than those of whole slates.

    Args:
        log: the log, a row an item shown.
        position_N: [N] place of each row (integers).
        slate_N: [N] which slate the row belongs to; slates are drawn whole for the intervals,
            unless the log has groups of its own. Without it the rows of each place are taken for
            a sample of that place, and a slate for one item at each place.
        normalise: divide by the weights of the place (SNIPS), not by the number of its rows.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of both intervals.

    Raises:
        DataError: a shape does not fit, a slate has two items at one place, or no support; places
            where the target would choose none of the logged items.
    """
    log.require_support()
    place_N = _rows("positions", position_N, log)
    at_NK = (place_N[:, None] == np.arange(place_N.max() + 1)).astype(np.float64)
    groups_N, slates_K = log.groups_N, at_NK.sum(axis=0)
    if slate_N is not None:
        slate = _rows("slates", slate_N, log)
        pairs = slate * at_NK.shape[1] + place_N
        if len(np.unique(pairs)) < len(pairs):
            raise DataError("a slate has two items at one position; give each slate its own id")
        slates_K = np.full(at_NK.shape[1], float(slate.max() + 1))
        if len(np.unique(groups_N)) == len(log):
            groups_N = slate
    weight_NK = at_NK * log.weight_N[:, None]
    if normalise and not weight_NK.sum(axis=0).all():
        empty = np.unique(np.asarray(position_N))[weight_NK.sum(axis=0) == 0]
        raise DataError(
            f"positions {empty.tolist()}: the target would choose none of the items logged there"
        )
    return sum_of_ratios(
        log, weight_NK * log.reward_N[:, None], weight_NK if normalise else at_NK,
        at_NK.sum(axis=0) / slates_K,
        used_N=log.weight_N, groups_N=groups_N, seed=seed, resamples=resamples, level=level,
    )  # fmt: skip


def expected_reward(policy_NA: ArrayLike, predicted_NA: ArrayLike) -> Values:
    """[N] what a model expects the target's choice to earn: Σ_a π(a | x)·q(x, a).

    Raises:
        DataError: shapes differ, or a row of probabilities does not sum to 1.
    """
    policy = distributions("policy", policy_NA)
    predicted = table("predicted", predicted_NA, len(policy))
    if predicted.shape != policy.shape:
        raise DataError(f"shapes do not fit: policy {policy.shape}, predicted {predicted.shape}")
    return np.asarray((policy * predicted).sum(axis=1))


def _mean(
    log: BanditLog, terms_N: Values, used_N: Values, seed: int, resamples: int, level: float
) -> PolicyValue:
    return sum_of_ratios(
        log, terms_N[:, None], np.ones((len(log), 1)), np.ones(1),
        used_N=used_N, groups_N=log.groups_N, seed=seed, resamples=resamples, level=level,
    )  # fmt: skip


def _corrected(
    log: BanditLog,
    weight_N: Values,
    predicted_N: ArrayLike,
    expected_N: ArrayLike,
    seed: int,
    resamples: int,
    level: float,
) -> PolicyValue:
    predicted = column("predicted", predicted_N, len(log))
    expected = column("expected", expected_N, len(log))
    terms_N = expected + weight_N * (log.reward_N - predicted)
    return _mean(log, terms_N, weight_N, seed, resamples, level)


def _all_actions(
    log: BanditLog, logging_NA: ArrayLike, policy_NA: ArrayLike, predicted_NA: ArrayLike
) -> tuple[Values, Values, Values]:
    """Ratios (infinite where only the target would go), the target and the predictions."""
    logging = distributions("logging", logging_NA, len(log))
    policy = distributions("policy", policy_NA, len(log))
    predicted = table("predicted", predicted_NA, len(log))
    if not logging.shape == policy.shape == predicted.shape:
        raise DataError(
            f"shapes do not fit: logging {logging.shape}, policy {policy.shape}, "
            f"predicted {predicted.shape}"
        )
    never = np.where(policy > 0, np.inf, 0.0)
    return np.divide(policy, logging, out=never, where=logging > 0), policy, predicted


def _switched(
    log: BanditLog, ratio_NA: Values, policy_NA: Values, predicted_NA: Values, threshold: float
) -> tuple[Values, Values]:
    weight_N = np.where(log.ratio_N <= threshold, log.ratio_N, 0.0)
    modelled_N = np.where(ratio_NA > threshold, policy_NA * predicted_NA, 0.0).sum(axis=1)
    return weight_N * log.reward_N + modelled_N, weight_N


def _checked(threshold: float) -> float:
    if not threshold >= 0:
        raise ConfigError(f"off-policy: threshold must be 0 or more, not {threshold}")
    return threshold


def _rows(name: str, values: ArrayLike, log: BanditLog) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != log.reward_N.shape:
        raise DataError(f"shapes do not fit: {name} {array.shape}, rewards ({len(log)},)")
    return np.asarray(np.unique(array, return_inverse=True)[1], np.int64)
