"""Draws: frequencies agree with the logged propensities; exact marginals with brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import ConfigError
from quintet.serve.slate import draw
from quintet.serve.slate.draw import (
    enumerated,
    estimated,
    gumbel_top_k,
    inclusion_integral,
    pick,
    plackett_luce,
    sequential,
    softmax,
)

UTILITY = np.array([1.0, 0.7, 0.2, 0.0, -0.5])


class Plain:
    """Plackett-Luce without rules, a place at a time."""

    def __init__(self, utility, k, temperature) -> None:
        self.utility, self.left, self.temperature = utility, k, temperature
        self.free = np.ones(len(utility), np.bool_)

    def probabilities(self):
        return softmax(self.utility, self.free, self.temperature) if self.left else None

    def take(self, chosen) -> None:
        self.free[chosen] = False
        self.left -= 1


def test_softmax_by_hand() -> None:
    allowed = np.array([True, True, False])
    # weights e^(ln 3) = 3 and e^0 = 1
    got = softmax(np.array([np.log(3), 0.0, 9.0]), allowed, 1.0)
    assert got == pytest.approx([0.75, 0.25, 0.0])
    with pytest.raises(ConfigError, match="temperature"):
        softmax(np.zeros(3), allowed, 0.0)


def test_sequential_propensities_by_hand() -> None:
    utility = np.log(np.array([5.0, 3.0, 2.0]))
    # 3 / 10, then 5 / 7, then 2 / 2
    assert sequential(utility, np.array([1, 0, 2]), 1.0) == pytest.approx([0.3, 5 / 7, 1.0])


def brute_force_inclusion(utility, k, temperature):
    total = np.zeros(len(utility))
    for order in permutations(range(len(utility)), k):
        chosen = np.array(order, np.int64)
        total[chosen] += sequential(utility, chosen, temperature).prod()
    return total


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_the_integral_is_the_sum_over_all_slates(k, temperature) -> None:
    expected = brute_force_inclusion(UTILITY, k, temperature)
    assert inclusion_integral(UTILITY, k, temperature) == pytest.approx(expected, rel=1e-7)
    assert enumerated(lambda: Plain(UTILITY, k, temperature), 5).inclusion_C == pytest.approx(
        expected
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 10), st.floats(0.02, 2.0), st.integers(0, 99))
def test_marginals_add_up_to_the_places(n, k, temperature, seed) -> None:
    utility = np.random.default_rng(seed).random(n)
    inclusion = inclusion_integral(utility, k, temperature)
    assert inclusion.sum() == pytest.approx(min(n, k), rel=1e-6)
    assert (np.diff(inclusion[np.argsort(utility)]) >= -1e-9).all()


def test_one_place_is_a_softmax() -> None:
    everyone = np.ones(5, np.bool_)
    expected = softmax(UTILITY, everyone, 0.4)
    assert inclusion_integral(UTILITY, 1, 0.4) == pytest.approx(expected)


def test_frequencies_of_gumbel_top_k_agree_with_both_propensities() -> None:
    draws, k = 40_000, 2
    slates = gumbel_top_k(UTILITY, k, 0.5, np.random.default_rng(3), draws)
    frequency = np.bincount(slates.ravel(), minlength=5) / draws
    expected = inclusion_integral(UTILITY, k, 0.5)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(frequency - expected) < 4 * error + 1e-9).all()
    for order in permutations(range(5), k):
        chance = sequential(UTILITY, np.array(order), 0.5).prod()
        share = (slates == order).all(1).mean()
        assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / draws) + 1e-9


def test_the_estimate_agrees_with_the_truth_within_its_error() -> None:
    rng = np.random.default_rng(4)
    got = estimated(lambda: Plain(UTILITY, 3, 0.3), 5, rng, 2_000)
    truth = inclusion_integral(UTILITY, 3, 0.3)
    assert (np.abs(got.inclusion_C - truth) < 4 * got.error_C + 1e-9).all()
    assert got.error_C.max() < 0.02
    assert got.method == "monte-carlo"


def test_picks_follow_the_probabilities() -> None:
    rng = np.random.default_rng(5)
    chance = np.array([0.5, 0.3, 0.2, 0.0])
    share = np.bincount([pick(chance, rng) for _ in range(20_000)], minlength=4) / 20_000
    assert share[3] == 0
    assert share == pytest.approx(chance, abs=0.015)


def test_draws_of_several_lists_have_the_propensities_of_single_ones(compiled_or_not) -> None:
    rng = np.random.default_rng(0)
    utility = rng.random((6, 9))
    utility[2, 5:] = -np.inf
    temperature = np.array([0.01, 0.1, 0.5, 1.0, 1.0, 0.05])
    order, chance = plackett_luce(utility, 7, temperature, rng)
    assert (order[2, 5:] == -1).all()
    assert (chance[2, 5:] == 0).all()
    for row in range(6):
        shown = order[row][order[row] >= 0]
        there = utility[row][np.isfinite(utility[row])]
        expected = sequential(there, shown, temperature[row])
        np.testing.assert_allclose(chance[row, : len(shown)], expected, rtol=1e-9)


def test_compiled_draws_are_those_by_arrays() -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(2)
    utility = rng.random((8, 30)) * 50
    utility[3, 4:], utility[4, :] = -np.inf, -np.inf
    noise = rng.gumbel(size=utility.shape)
    expected = draw._drawn_by_arrays(utility, utility + noise, 6)
    got = draw._drawn(utility, utility + noise, 6)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-9, atol=1e-12)


def test_draws_of_several_lists_are_as_frequent_as_they_say(compiled_or_not) -> None:
    draws, utility = 20_000, np.tile(UTILITY, (20_000, 1))
    order, chance = plackett_luce(utility, 1, np.full(draws, 0.7), np.random.default_rng(1))
    share = np.bincount(order[:, 0], minlength=5) / draws
    expected = softmax(UTILITY, np.ones(5, np.bool_), 0.7)
    np.testing.assert_allclose(share, expected, atol=4 * 0.5 / np.sqrt(draws))
    np.testing.assert_allclose(chance[:, 0], expected[order[:, 0]], rtol=1e-12)
