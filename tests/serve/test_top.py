"""Top-k against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quintet.serve.top import top_k


def slow_top_k(scores, k, tie):
    """(items, scores) of every row by plain sorting."""
    rows = []
    for row in scores:
        best = sorted((-value, tie[item], item) for item, value in enumerate(row) if value > -1e30)
        found = [(item, -value) for value, _, item in best[:k]]
        rows.append(found + [(-1, -np.inf)] * (k - len(found)))
    return np.array(rows).reshape(len(scores), k, 2)


few_values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])
matrices = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=few_values)


@given(matrices, st.integers(1, 11), st.randoms(use_true_random=False))
def test_top_k_is_a_full_sort_cut_off(compiled_or_not, scores, k, random) -> None:
    tie = np.array(random.sample(range(100), scores.shape[1]))
    got, expected = top_k(scores, k, tie), slow_top_k(scores, k, tie)
    np.testing.assert_array_equal(got.items_BK, expected[..., 0])
    np.testing.assert_array_equal(got.scores_BK, expected[..., 1])


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("width", [160, 641, 1003])
def test_top_k_of_wide_rows_with_many_ties(compiled_or_not, width, k) -> None:
    rng = np.random.default_rng(width)
    scores = rng.integers(-3, 40, (5, width)).astype(np.float32)
    scores[:, ::7] = -np.inf
    scores[3] = -np.inf
    scores[3, 5] = 1.0
    scores[2:, ::11] = np.nan
    scores[4, -4:] = np.nan
    tie = rng.permutation(width)
    got, expected = top_k(scores, k, tie), slow_top_k(scores, k, tie)
    np.testing.assert_array_equal(got.items_BK, expected[..., 0])
    np.testing.assert_array_equal(got.scores_BK, expected[..., 1])


def test_a_tie_at_the_edge_is_broken_by_the_hash_not_by_the_row(compiled_or_not) -> None:
    scores = np.array([[1, 1, 1, 5]], np.float32)
    assert top_k(scores, 2, np.array([30, 10, 20, 99])).items_BK.tolist() == [[3, 1]]
    assert top_k(scores, 3, np.array([10, 30, 20, 99])).items_BK.tolist() == [[3, 0, 2]]
