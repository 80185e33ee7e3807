"""Diversity: against brute force, and by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.data.features import CategoryColumn, FeatureTable
from quintet.serve.slate.diversify import (
    Dispersion,
    Dissimilarity,
    Interests,
    Mixture,
    Volume,
    category_vectors,
    cosine,
    divergence,
    dpp,
    greedy,
    max_sum,
    mmr,
    scaled,
)


def world(n: int, width: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.random(n), cosine(rng.normal(size=(n, width)))


def test_mmr_by_hand() -> None:
    relevance = np.array([1.0, 0.9, 0.5])
    similarity = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.1], [0.1, 0.1, 1.0]])
    # second place: .5 * .9 - .5 * .8 = .05 against .5 * .5 - .5 * .1 = .20
    assert mmr(relevance, similarity, 3, 0.5).tolist() == [0, 2, 1]
    # .9 * .9 - .1 * .8 = .73 against .9 * .5 - .1 * .1 = .44
    assert mmr(relevance, similarity, 3, 0.1).tolist() == [0, 1, 2]


def brute_force_greedy_dpp(relevance, similarity, k, strength):
    """Chen et al. 2018, equation 1: determinants of minors, no shortcut."""
    chosen: list[int] = []
    for _ in range(k):
        worth = {}
        for item in set(range(len(relevance))) - set(chosen):
            own = [*chosen, item]
            volume = np.linalg.slogdet(similarity[np.ix_(own, own)])[1]
            worth[item] = (1 - strength) * relevance[own].sum() + strength * volume
        chosen.append(max(worth, key=worth.get))
    return chosen


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_dpp_is_what_determinants_say(strength, seed) -> None:
    relevance, similarity = world(14, 10, seed)
    expected = brute_force_greedy_dpp(relevance, similarity, 6, strength)
    assert dpp(relevance, similarity, 6, strength).tolist() == expected


def test_the_kernel_with_qualities_has_the_same_greedy_order() -> None:
    relevance, similarity = world(12, 9, 5)
    strength = 0.4
    quality = np.exp((1 - strength) * relevance / (2 * strength))
    kernel = quality[:, None] * similarity * quality[None]
    assert greedy(Volume(kernel), 6).tolist() == dpp(relevance, similarity, 6, strength).tolist()


def test_the_greedy_set_is_close_to_the_best_set() -> None:
    _, similarity = world(9, 8, 1)
    sets = [list(one) for one in combinations(range(9), 3)]
    best = max(np.linalg.det(similarity[np.ix_(one, one)]) for one in sets)
    own = greedy(Volume(similarity), 3)
    assert np.linalg.det(similarity[np.ix_(own, own)]) >= (1 - 1 / np.e) * best


@given(
    st.integers(1, 15), st.integers(1, 15), st.sampled_from([max_sum, mmr, dpp]), st.integers(0, 9)
)
def test_lists_are_distinct_and_no_strength_is_the_order_of_relevance(n, k, method, seed) -> None:
    relevance, similarity = world(n, 6, seed)
    order = method(relevance, similarity, k, 0.6)
    assert len(order) == len(set(order.tolist())) == min(n, k)
    plain = np.argsort(-relevance, kind="stable")[:k]
    assert method(relevance, similarity, k, 0.0).tolist() == plain.tolist()


def test_max_sum_by_hand() -> None:
    # worth .5 r - .5 (sims to those chosen) / 3: 0 comes first; then 1: .45 - .15 = .3 against
    # 2: .2; then 2: .2 - .5 (0 + .3) / 3 = .15
    similarity = np.array([[1, 0.9, 0.0], [0.9, 1, 0.3], [0.0, 0.3, 1]])
    assert max_sum(np.array([1.0, 0.9, 0.4]), similarity, 3, 0.5).tolist() == [0, 1, 2]
    # at .7: 1 has .27 - .7 (.9) / 3 = .06, 2 has .12
    assert max_sum(np.array([1.0, 0.9, 0.4]), similarity, 3, 0.7).tolist() == [0, 2, 1]


def test_the_gains_of_max_sum_add_up_to_the_similarities_of_all_pairs() -> None:
    _, similarity = world(7, 4, 3)
    gain, total = Dispersion(similarity, 5), 0.0
    for item in (2, 0, 6, 3, 1):
        total += gain.values()[item]
        gain.add(item)
    own = similarity[np.ix_([2, 0, 6, 3, 1], [2, 0, 6, 3, 1])]
    assert total == pytest.approx(-np.triu(own, 1).sum() / 5)


def test_items_that_say_the_same_come_last() -> None:
    similarity = np.eye(3)
    similarity[0, 1] = similarity[1, 0] = 1.0
    assert dpp(np.array([1.0, 1.0, 0.2]), similarity, 3, 0.5).tolist() == [0, 2, 1]


def test_divergence_by_hand() -> None:
    # q = .99 (.5, .5) + .01 (1, 0) = (.505, .495); KL = 1 ln(1 / .505)
    got = divergence(np.array([1.0, 0.0]), np.array([[0.5, 0.5]]))
    assert got == pytest.approx([np.log(1 / 0.505)])


def test_calibration_reaches_the_interests() -> None:
    share = np.repeat(np.eye(2), 10, axis=0)  # ten items of either category
    relevance = np.linspace(1, 0, 20)
    gain = Mixture(relevance, [(0.98, Interests(share, np.array([0.7, 0.3])))])
    order = greedy(gain, 10)
    assert share[order].sum(0).tolist() == [7, 3]
    # without calibration all ten are of the first category
    assert share[greedy(Mixture(relevance), 10)].sum(0).tolist() == [10, 0]


def test_items_without_a_category_are_neutral() -> None:
    gain = Interests(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5]))
    assert gain.values()[0] == pytest.approx(0)
    assert gain.values()[1] < 0


def test_a_mixture_refuses_weights_that_leave_nothing() -> None:
    with pytest.raises(ValueError, match=r"1\.2"):
        Mixture(np.ones(2), [(0.6, Volume(np.eye(2))), (0.6, Dissimilarity(np.eye(2)))])


def test_cosine() -> None:
    half = np.sqrt(0.5)
    found = cosine(np.array([[1.0, 0.0], [2.0, 2.0]]))
    assert found == pytest.approx(np.array([[1, half], [half, 1]]))
    assert cosine(np.array([[0.0, 0.0], [1.0, 0.0]])) == pytest.approx(np.eye(2))


def test_scaled() -> None:
    assert scaled(np.array([3.0, 1.0, 2.0])).tolist() == [1, 0, 0.5]
    assert scaled(np.array([2.0, 2.0])).tolist() == [1, 1]
    assert scaled(np.zeros(0)).tolist() == []


def test_rare_categories_weigh_more() -> None:
    # four items: {a, b}, {a}, {b, c}, none; a and b are on two of four, c on one
    genre = CategoryColumn(np.array([0, 2, 3, 5, 5]), np.array([0, 1, 0, 1, 2]), ["a", "b", "c"])
    vectors = category_vectors(FeatureTable(4, categories={"genre": genre}))
    both = (vectors @ vectors.T).toarray()
    half, quarter = np.log(2), np.log(4)
    assert both[0, 1] == pytest.approx(1 / np.sqrt(2))
    assert both[0, 2] == pytest.approx(half**2 / (half * np.sqrt(2) * np.hypot(half, quarter)))
    assert np.diagonal(both) == pytest.approx([1, 1, 1, 0])
    assert category_vectors(FeatureTable(4)) is None
