"""The last stochastic step of a slate: a Plackett-Luce draw whose propensities are known.

The first place goes to item i with probability ``e^{u_i / T} / Σ_j e^{u_j / T}`` over the items
that may stand there, the second likewise over what is left, and so on. Hard rules mask BEFORE the
draw, so that what a rule forbids has probability 0 and what is shown has the logged one.

Two propensities are told apart (Saito and Joachims 2021 need the second, IPS per position the
first): the *sequential* one of an item at its place given the places before it, and the *marginal*
one of standing anywhere in the slate.

Shapes: C candidates, K places, Q points of a quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.compiled import Compiled, can_compile
from quintet.data.interactions import Ints
from quintet.errors import ConfigError

Values = NDArray[np.float64]
Method = Literal["integral", "enumeration", "monte-carlo"]

#: sequences up to which marginals are enumerated
MOST_SEQUENCES = 2_000
#: slates drawn where marginals can neither be integrated nor enumerated
DRAWS = 200
#: points of the trapezoidal rule for each unit of log time
POINTS_A_UNIT = 10
#: log rates that lie so far apart decide who comes first; and the log of what e^-x is 0 of
DECIDED, MOST_LOG = 50.0, 10.0

DETERMINISTIC = (
    "deterministic slate: what was not shown had no chance to be, so it has no support for "
    "off-policy evaluation; draw it with a temperature above 0"
)


class Process(Protocol):
    """Slates made one place at a time."""

    def probabilities(self) -> Values | None:
        """[C] of each candidate at the next place; None when the slate is complete."""

    def take(self, chosen: int) -> None:
        """Put a candidate at the next place."""


@dataclass(frozen=True)
class Marginal:
    """The probability of each candidate to stand anywhere in the slate.

    Attributes:
        inclusion_C: [C] probabilities; their sum is the mean length of a slate.
        method: "integral" and "enumeration" are exact, "monte-carlo" is estimated.
        error_C: [C] standard errors; 0 where exact.
    """

    inclusion_C: Values
    method: Method
    error_C: Values


def softmax(utility_C: Values, allowed_C: NDArray[np.bool_], temperature: float) -> Values:
    """[C] probabilities of the next place; 0 where not allowed.

    Raises:
        ConfigError: the temperature is not positive.
    """
    if temperature <= 0:
        raise ConfigError(f"temperature must be above 0 to draw, not {temperature:g}")
    scaled_C = np.where(allowed_C, utility_C, -np.inf) / temperature
    weight_C = np.exp(scaled_C - scaled_C[allowed_C].max())
    return np.asarray(weight_C / weight_C.sum(), np.float64)


def pick(probability_C: Values, rng: np.random.Generator) -> int:
    """One candidate by the Gumbel-max trick: the greatest ``log p + noise``.

    Noise is fresh at every place: utilities may change with what was chosen, and noise that was
    looked at already would no longer be independent of the choice.
    """
    with np.errstate(divide="ignore"):
        return int((np.log(probability_C) + rng.gumbel(size=len(probability_C))).argmax())


def gumbel_top_k(
    utility_C: Values, k: int, temperature: float, rng: np.random.Generator, draws: int = 1
) -> Ints:
    """[N, K] Plackett-Luce slates without rules: the k greatest ``u / T + Gumbel noise``, in order.

    Equal in distribution to K draws one after the other (Yellott 1977; Kool et al. 2019).
    """
    noisy_NC = utility_C / temperature + rng.gumbel(size=(draws, len(utility_C)))
    return np.argsort(-noisy_NC, axis=1, kind="stable")[:, :k].astype(np.int64)


def sequential(utility_C: Values, order_K: Ints, temperature: float) -> Values:
    """[K] the propensity of each place given those before it, without rules."""
    free_C = np.ones(len(utility_C), np.bool_)
    result = np.zeros(len(order_K))
    for place, chosen in enumerate(order_K):
        result[place] = softmax(utility_C, free_C, temperature)[chosen]
        free_C[chosen] = False
    return result


def plackett_luce(
    utility_BC: Values, k: int, temperature_B: Values, rng: np.random.Generator
) -> tuple[Ints, Values]:
    """B slates without rules at once: [B, K] positions drawn and their sequential propensities.

    What :func:`gumbel_top_k` and :func:`sequential` give for each row. ``-inf`` is never drawn:
    where a row holds fewer than K others, positions are -1 and propensities 0.
    """
    scaled_BC = utility_BC / temperature_B[:, None]
    noisy_BC = scaled_BC + rng.gumbel(size=scaled_BC.shape)
    drawn = _drawn if can_compile() else _drawn_by_arrays
    place_BK, log_BK = drawn(scaled_BC, noisy_BC, min(k, scaled_BC.shape[1]))
    return place_BK, np.exp(log_BK)


def _drawn_by_arrays(scaled_BC: Values, noisy_BC: Values, k: int) -> tuple[Ints, Values]:
    """[B, K] the greatest by noise, and the logs of their propensities."""
    order_BC = np.argsort(-noisy_BC, axis=1)
    drawn_BC = np.take_along_axis(scaled_BC, order_BC, axis=1)
    # the weight of all that is still free at each place: that of the place and those behind it
    free_BC = np.logaddexp.accumulate(drawn_BC[:, ::-1], axis=1)[:, ::-1]
    there_BK = np.isfinite(drawn_BC[:, :k])
    log_BK = np.subtract(
        drawn_BC[:, :k], free_BC[:, :k], out=np.full(there_BK.shape, -np.inf), where=there_BK
    )
    return np.where(there_BK, order_BC[:, :k], -1).astype(np.int64), log_BK


def inclusion_integral(utility_C: Values, k: int, temperature: float) -> Values:
    """[C] marginal inclusion of a plain Plackett-Luce draw, by its known integral.

    Give item j an exponential clock of rate ``w_j = e^{u_j / T}``; the slate is the k first to
    ring. Item i is in it if fewer than k others ring before it::

        P(i) = ∫ w_i e^{-w_i t} P(#{j ≠ i : E_j < t} < k) dt

    The count is Poisson-binomial: polynomials of the items before and after i are multiplied, which
    adds positive numbers only. In ``log t`` the integrand falls off twice exponentially to the
    right and exponentially to the left, where the trapezoidal rule converges geometrically. Who
    stands far above the (k + 1)-th is in, who stands far below the k-th is out, and neither is
    integrated.
    """
    n = len(utility_C)
    if k >= n:
        return np.ones(n)
    log_rate_C: Values = utility_C / temperature
    last, next_one = np.sort(log_rate_C)[::-1][k - 1 : k + 1]
    within = log_rate_C - next_one >= DECIDED
    open_C = ~within & (log_rate_C - last > -DECIDED)
    inclusion_C: Values = within.astype(np.float64)
    inclusion_C[open_C] = _integrated(log_rate_C[open_C], k - int(within.sum()))
    return inclusion_C


def _integrated(log_rate_C: Values, k: int) -> Values:
    n = len(log_rate_C)
    if k >= n or not k:
        return np.full(n, float(k > 0))
    log_rate_C = log_rate_C - log_rate_C.max()
    slow = np.sort(log_rate_C)[::-1][k]  # more than k have rung after it
    low, high = -np.logaddexp.reduce(log_rate_C) - 25.0, -slow + 5.0
    x_Q, step = np.linspace(low, high, int((high - low) * POINTS_A_UNIT) + 2, retstep=True)
    rung_QC = np.exp(np.minimum(x_Q[:, None] + log_rate_C, MOST_LOG))  # w t
    silent_QC = np.exp(-rung_QC)
    before_CQk = _counts(silent_QC, k)
    after_CQk = _counts(silent_QC[:, ::-1], k)[::-1].cumsum(2)
    fewer_CQ = (before_CQk * after_CQk[:, :, ::-1]).sum(2)
    integral_C = (rung_QC.T * silent_QC.T * fewer_CQ).sum(1) * step
    return np.asarray(np.clip(integral_C, 0.0, 1.0))


def _counts(silent_QC: Values, k: int) -> Values:
    """[C, Q, K] probability that m < k of the items BEFORE each one have rung."""
    counts_Qk = np.zeros((len(silent_QC), k))
    counts_Qk[:, 0] = 1.0
    found = np.empty((silent_QC.shape[1], len(silent_QC), k))
    for item, silent_Q in enumerate(silent_QC.T):
        found[item] = counts_Qk
        shifted_Qk = np.pad(counts_Qk[:, :-1], ((0, 0), (1, 0)))
        counts_Qk = counts_Qk * silent_Q[:, None] + shifted_Qk * (1 - silent_Q[:, None])
    return found


def estimated(
    start: Callable[[], Process], n: int, rng: np.random.Generator, draws: int
) -> Marginal:
    """Marginal inclusion of any process by Monte Carlo.

    Each drawn slate adds the probabilities of its places, not its choices: the same mean with less
    variance (Rao-Blackwell).

    Args:
        start: makes the process anew.
        n: how many candidates there are (C).
        rng: of the draws.
        draws: slates drawn.
    """
    sum_C, square_C = np.zeros(n), np.zeros(n)
    for _ in range(draws):
        process, own_C = start(), np.zeros(n)
        while (probability_C := process.probabilities()) is not None:
            own_C += probability_C
            process.take(pick(probability_C, rng))
        sum_C += own_C
        square_C += own_C**2
    mean_C = sum_C / draws
    variance_C = np.maximum(square_C / draws - mean_C**2, 0) / max(draws - 1, 1)
    return Marginal(np.clip(mean_C, 0, 1), "monte-carlo", np.sqrt(variance_C))


def enumerated(start: Callable[[], Process], n: int) -> Marginal:
    """Marginal inclusion of any process, exactly: the sum over all sequences of places.

    Args:
        start: makes the process anew.
        n: how many candidates there are (C).
    """
    inclusion_C = np.zeros(n)
    open_prefixes: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_prefixes:
        prefix, weight = open_prefixes.pop()
        process = start()
        for chosen in prefix:
            process.take(chosen)
        probability_C = process.probabilities()
        if probability_C is not None:
            inclusion_C += weight * probability_C
            follow = np.flatnonzero(probability_C).tolist()
            open_prefixes += [((*prefix, c), weight * float(probability_C[c])) for c in follow]
    return Marginal(inclusion_C, "enumeration", np.zeros(n))


# ---------------------------------------------------------------------- compiled


@Compiled
def _drawn(scaled_BC, noisy_BC, k):  # type: ignore[no-untyped-def]
    """As :func:`_drawn_by_arrays`, whose full order of all candidates is not needed."""
    n_rows, n = scaled_BC.shape
    place_BK = np.full((n_rows, k), -1, np.int64)
    log_BK = np.full((n_rows, k), -np.inf)
    for row in range(n_rows):
        scaled_C, noisy_C = scaled_BC[row], noisy_BC[row]
        free_C = scaled_C > -np.inf
        size = 0
        for place in range(k):
            best, greatest = -1, -np.inf
            for other in range(n):
                if free_C[other] and noisy_C[other] > greatest:
                    best, greatest = other, noisy_C[other]
            if best < 0:
                break
            place_BK[row, place], free_C[best] = best, False
            size += 1
        greatest, rest = -np.inf, 0.0
        for other in range(n):
            if free_C[other]:
                greatest = max(greatest, scaled_C[other])
        for other in range(n):
            if free_C[other]:
                rest += math.exp(scaled_C[other] - greatest)
        rest = greatest + math.log(rest) if rest > 0 else -np.inf
        for place in range(size - 1, -1, -1):  # those behind are free at every place before
            own = scaled_C[place_BK[row, place]]
            high, low = max(own, rest), min(own, rest)
            rest = high + math.log1p(math.exp(low - high))
            log_BK[row, place] = own - rest
    return place_BK, log_BK
