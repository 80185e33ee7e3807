"""Randomised experiments: was the split sound, how large is the effect, and may one look early?

The unit is the **user** (whatever was randomised). Events of one user are not independent, so sum
them by user first (:func:`by_user`); a rate over events is then a ratio of two user sums.

    change = compare(mean_of(treated), mean_of(controls))
    change = compare(ratio_of(clicks_t, shown_t), ratio_of(clicks_c, shown_c),
                     before=(before_t, before_c))

U users of an arm, A arms, C covariates, T looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, ndtr, ndtri

from quintet.errors import ConfigError, DataError
from quintet.metrics.ranking import Values

#: a chi-square test needs this many expected users in each arm
FEWEST_EXPECTED = 5


@dataclass(frozen=True)
class SampleRatio:
    """Whether users were split as planned.

    Attributes:
        statistic: Pearson's chi-square.
        p: how often a sound split would be at least this far off.
        observed: share of users by arm.
        expected: planned share by arm.
        sound: p is not below alpha. If it is, do not read the experiment: find out who is missing.
    """

    statistic: float
    p: float
    observed: tuple[float, ...]
    expected: tuple[float, ...]
    sound: bool


@dataclass(frozen=True, eq=False)
class Arm:
    """A figure of one arm and each user's influence on it.

    Attributes:
        estimate: the figure.
        influence_U: [U], mean 0; the figure's variance is that of the influences divided by U.
    """

    estimate: float
    influence_U: Values

    @property
    def variance(self) -> float:
        """Of the estimate."""
        return float(self.influence_U.var(ddof=1) / len(self.influence_U))


@dataclass(frozen=True)
class Effect:
    """How far the treatment is from the control.

    Attributes:
        treatment: figure of the treatment, adjusted if there were covariates.
        control: that of the control.
        difference: treatment - control, with ``low`` and ``high`` of the normal interval.
        relative: treatment / control - 1, with the ends of its interval (delta method on the
            ratio); NaN where the control is 0.
        p: two-sided, of no difference, for ONE look; see :func:`always_valid` for more.
        error: standard error of the difference.
        users: in both arms.
        variance_removed: share of the difference's variance that the covariates took away.
    """

    treatment: float
    control: float
    difference: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    p: float
    error: float
    users: int
    variance_removed: float


@dataclass(frozen=True, eq=False)
class Sequential:
    """A test that holds however often one looks.

    Attributes:
        p_T: [T] always-valid p-values, never rising.
        low_T: [T] lower ends of a confidence sequence: all T intervals hold at once.
        high_T: [T] upper ends.
        stopped_at: first look at which p ≤ alpha; None if there is none.
    """

    p_T: Values
    low_T: Values
    high_T: Values
    stopped_at: int | None


def sample_ratio(
    counts_A: ArrayLike, planned_A: ArrayLike | None = None, *, alpha: float = 0.001
) -> SampleRatio:
    """Pearson's chi-square test of the split (Fabijan et al. 2019: sample ratio mismatch).

    Args:
        counts_A: [A] users seen in each arm.
        planned_A: [A] planned weights, of any sum; equal ones by default.
        alpha: p below it is a mismatch; small, because a mismatch voids the experiment.

    Raises:
        DataError: fewer than two arms, a count that is no whole number of users, a weight that is
            not above 0, or fewer than 5 users expected in an arm.
    """
    counts = _column("counts", counts_A)
    planned = np.ones(len(counts)) if planned_A is None else _column("planned", planned_A)
    if len(counts) < 2 or planned.shape != counts.shape:
        raise DataError(f"two arms or more, each planned: {len(counts)} and {len(planned)} given")
    if (counts < 0).any() or (counts % 1 != 0).any() or not (planned > 0).all():
        raise DataError("counts must be whole numbers of users, and planned weights above 0")
    share = planned / planned.sum()
    expected = share * counts.sum()
    if expected.min() < FEWEST_EXPECTED:
        raise DataError(
            f"{expected.min():.1f} users expected in an arm; the test needs {FEWEST_EXPECTED}: wait"
        )
    statistic = float(((counts - expected) ** 2 / expected).sum())
    p = float(chdtrc(len(counts) - 1, statistic))
    seen = tuple((counts / counts.sum()).tolist())
    return SampleRatio(statistic, p, seen, tuple(share.tolist()), p >= alpha)


def by_user(users_E: ArrayLike, values_E: ArrayLike) -> Values:
    """[U] sums over each user's events, users in ascending order of their id."""
    users, values = np.asarray(users_E), _column("values", values_E)
    if users.shape != values.shape:
        raise DataError(f"shapes do not fit: users {users.shape}, values {values.shape}")
    _, user_E = np.unique(users, return_inverse=True)
    return np.asarray(np.bincount(user_E, values), np.float64)


def mean_of(values_U: ArrayLike) -> Arm:
    """Mean over users.

    Raises:
        DataError: fewer than two users, or a value is NaN or infinite.
    """
    values = _users("values", values_U)
    mean = float(values.mean())
    return Arm(mean, values - mean)


def ratio_of(above_U: ArrayLike, below_U: ArrayLike) -> Arm:
    """Σ above / Σ below over users, such as clicks by impressions (Deng, Knoblich and Lu 2018).

    Linearised (the delta method), because a user's events are not independent: treating events as
    the unit gives intervals that are too narrow.

    Args:
        above_U: [U] sum of the numerator by user.
        below_U: [U] sum of the denominator.

    Raises:
        DataError: fewer than two users, lengths differ, a value is NaN or infinite, or the
            denominators are negative or add up to 0.
    """
    above, below = _users("above", above_U), _users("below", below_U)
    if above.shape != below.shape:
        raise DataError(f"shapes do not fit: above {above.shape}, below {below.shape}")
    if (below < 0).any() or below.sum() == 0:
        raise DataError("denominators must be 0 or more, and some above 0")
    ratio = float(above.sum() / below.sum())
    return Arm(ratio, (above - ratio * below) / below.mean())


def compare(
    treatment: Arm,
    control: Arm,
    *,
    before: tuple[ArrayLike, ArrayLike] | None = None,
    level: float = 0.95,
) -> Effect:
    """The effect with its interval, from :func:`mean_of` or :func:`ratio_of` of either arm.

    Args:
        treatment: the arm with the change.
        control: the arm without.
        before: each arm's [U] or [U, C] covariates from **before** the experiment, users in the
            same order (CUPED, Deng et al. 2013: what they explain of the figure is taken off). For
            users who are new, give 0 and a further column that says so. A covariate that the
            treatment can move biases the effect.
        level: of the intervals.

    Raises:
        DataError: shapes do not fit, a number is NaN or infinite, or neither arm varies.
        ConfigError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError(f"experiment: level must lie between 0 and 1, not {level}")
    plain = treatment.variance + control.variance
    if before is not None:
        treatment, control = _adjusted(treatment, control, *before)
    variance = treatment.variance + control.variance
    if variance == 0:
        raise DataError("nobody differs from anybody: the figure has no variance in either arm")
    error, z = float(np.sqrt(variance)), float(ndtri((1 + level) / 2))
    difference = treatment.estimate - control.estimate
    relative = relative_error = float("nan")
    if control.estimate != 0:
        ratio = treatment.estimate / control.estimate
        relative = ratio - 1
        spread = treatment.variance + ratio**2 * control.variance
        relative_error = float(np.sqrt(spread) / abs(control.estimate))
    return Effect(
        treatment=treatment.estimate,
        control=control.estimate,
        difference=difference,
        low=difference - z * error,
        high=difference + z * error,
        relative=relative,
        relative_low=relative - z * relative_error,
        relative_high=relative + z * relative_error,
        p=float(2 * ndtr(-abs(difference) / error)),
        error=error,
        users=len(treatment.influence_U) + len(control.influence_U),
        variance_removed=1 - variance / plain if plain else 0.0,
    )


def always_valid(
    effects: Sequence[Effect], *, expected_effect: float, alpha: float = 0.05
) -> Sequential:
    """Mixture sequential probability ratio test: look as often as you like, stop when you like.

    The likelihood ratio is mixed over effects of law N(0, τ²), τ = ``expected_effect`` (Johari et
    al. 2017; Robbins 1970). A wrong τ costs power, never validity. It rests on the
    figures' being near normal at the first look (some hundred users an arm), and on users whose
    figure is final when they are counted: count those whose window has closed.

    Args:
        effects: of each look, oldest first, each on all users so far; from :func:`compare`.
        expected_effect: a difference that one hopes for, in the figure's units.
        alpha: chance that an experiment without effect is ever called one.

    Raises:
        DataError: no looks.
        ConfigError: ``expected_effect`` is not above 0, or alpha not between 0 and 1.
    """
    if not effects:
        raise DataError("no looks: give the effect of each look, oldest first")
    difference_T = np.array([effect.difference for effect in effects])
    variance_T = np.array([effect.error**2 for effect in effects])
    return always_valid_of(difference_T, variance_T, expected_effect=expected_effect, alpha=alpha)


def always_valid_of(
    difference_T: ArrayLike,
    variance_T: ArrayLike,
    *,
    expected_effect: float,
    alpha: float = 0.05,
) -> Sequential:
    """:func:`always_valid` from [T] differences and [T] their variances (squared errors)."""
    difference, variance = _column("differences", difference_T), _column("variances", variance_T)
    if difference.shape != variance.shape or not (variance > 0).all():
        raise DataError("each look needs its difference and a variance above 0")
    if not (expected_effect > 0 and np.isfinite(expected_effect)):
        raise ConfigError(f"experiment: expected_effect must be above 0, not {expected_effect}")
    if not 0 < alpha < 1:
        raise ConfigError(f"experiment: alpha must lie between 0 and 1, not {alpha}")
    prior = expected_effect**2
    total = variance + prior
    log_ratio_T = 0.5 * np.log(variance / total) + prior * difference**2 / (2 * variance * total)
    p_T = np.minimum.accumulate(np.exp(-np.maximum(log_ratio_T, 0.0)))
    bound_T = variance * total / prior * (2 * np.log(1 / alpha) + np.log(total / variance))
    half_T = np.sqrt(bound_T)
    stopped = np.flatnonzero(p_T <= alpha)
    return Sequential(
        p_T, difference - half_T, difference + half_T, int(stopped[0]) if len(stopped) else None
    )


def users_needed(arm: Arm, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Users in EACH of two equal arms for a fixed-size, two-sided test to find a difference.

    2 (z_{1-alpha/2} + z_power)² σ² / difference², σ² a user's variance in ``arm``.

    Raises:
        ConfigError: the difference is 0, or a probability is not between 0 and 1.
    """
    if difference == 0 or not (0 < power < 1 and 0 < alpha < 1):
        raise ConfigError("users_needed: a difference that is not 0; power and alpha in (0, 1)")
    z = float(ndtri(1 - alpha / 2) + ndtri(power))
    return int(np.ceil(2 * z**2 * float(arm.influence_U.var(ddof=1)) / difference**2))


def _adjusted(
    treatment: Arm, control: Arm, before_treatment: ArrayLike, before_control: ArrayLike
) -> tuple[Arm, Arm]:
    """Both arms less what the covariates explain within the arms, at the pooled mean."""
    arms = treatment, control
    tables = [
        _covariates(arm, before)
        for arm, before in zip(arms, (before_treatment, before_control), strict=True)
    ]
    if tables[0].shape[1] != tables[1].shape[1]:
        raise DataError("the arms have different numbers of covariates")
    centred = [table - table.mean(axis=0) for table in tables]
    explained = np.concatenate(centred), np.concatenate([arm.influence_U for arm in arms])
    weight_C = np.linalg.lstsq(*explained, rcond=None)[0]
    pooled_C = np.concatenate(tables).mean(axis=0)
    adjusted = [
        Arm(
            float(arm.estimate - (table.mean(axis=0) - pooled_C) @ weight_C),
            np.asarray(arm.influence_U - middle @ weight_C),
        )
        for arm, table, middle in zip(arms, tables, centred, strict=True)
    ]
    return adjusted[0], adjusted[1]


def _covariates(arm: Arm, before: ArrayLike) -> Values:
    table = np.asarray(before, np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != len(arm.influence_U):
        raise DataError(
            f"covariates have shape {table.shape}; expected [{len(arm.influence_U)}, C], one row a "
            "user of the arm"
        )
    if not np.isfinite(table).all():
        raise DataError(
            "covariates are NaN or infinite; for users without a past give 0 and a column that "
            "says so"
        )
    return table


def _users(name: str, values: ArrayLike) -> Values:
    array = _column(name, values)
    if len(array) < 2:
        raise DataError(f"{name}: an arm needs two users or more; {len(array)} given")
    return array


def _column(name: str, values: ArrayLike) -> Values:
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}; expected one axis")
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).argmax())
        raise DataError(f"{name} must be finite; row {row} is {array[row]}")
    return array
