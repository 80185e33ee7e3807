"""Coverage, exposure, novelty, diversity and serendipity by hand."""

from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import DataError, EmptyDataError
from quintet.metrics import (
    coverage,
    exposure,
    gini,
    hits,
    intra_list_diversity,
    novelty,
    precision,
    serendipity,
)

LISTS = np.array([[0, 1, 2], [0, 2, -1], [0, 1, 3]])


def test_exposure_counts_the_first_k_slots() -> None:
    assert exposure(LISTS, 5, 2).tolist() == [3, 2, 1, 0, 0]
    assert exposure(LISTS, 5, 3).tolist() == [3, 2, 2, 1, 0]


def test_coverage_by_hand() -> None:
    assert coverage(LISTS, 5, 1) == pytest.approx(1 / 5)
    assert coverage(LISTS, 5, 3) == pytest.approx(4 / 5)


def test_gini_by_hand() -> None:
    # exposures 1, 2, 3: Σ (2i - 4) e = -2·1 + 0·2 + 2·3 = 4, over 3 · 6
    assert gini(np.array([3, 1, 2])) == pytest.approx(4 / 18)
    assert gini(np.array([4, 4, 4])) == 0
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(1 - 1 / 4)
    assert np.isnan(gini(np.zeros(3)))


def test_gini_is_half_the_mean_relative_difference() -> None:
    values = np.random.default_rng(0).integers(0, 30, 40)
    pairs = np.abs(values[:, None] - values[None, :]).mean()
    assert gini(values) == pytest.approx(pairs / (2 * values.mean()))


def test_novelty_by_hand() -> None:
    counts = np.array([8, 4, 2, 0])  # 14 events; item 3 is read as one event
    bits = [-log2(8 / 14), -log2(4 / 14), -log2(2 / 14), -log2(1 / 14)]
    expected = [
        (bits[0] + bits[1] + bits[2]) / 3,
        (bits[0] + bits[2]) / 2,
        (bits[0] + bits[1] + bits[3]) / 3,
    ]
    assert novelty(LISTS, counts, 3) == pytest.approx(expected)
    # with 16 users as the total: log2(16 / 8) = 1 bit for item 0
    assert novelty(LISTS, counts, 1, total=16) == pytest.approx([1, 1, 1])


def test_cosine_diversity_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]])
    similar = 1 / sqrt(2)  # between an axis and the diagonal
    expected = [
        1 - (0 + similar + similar) / 3,
        1 - similar / 1,
        1 - 0 / 1,  # item 3 has no content: only the pair (0, 1) is left
    ]
    assert intra_list_diversity(LISTS, vectors, 3) == pytest.approx(expected)


def test_jaccard_diversity_by_hand() -> None:
    categories = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]])
    # shared over all: (0,1) 1/2, (0,2) 1/3, (1,2) 0/3
    expected = [1 - (1 / 2 + 1 / 3 + 0) / 3, 1 - 1 / 3, 1 - 1 / 2]
    diversity = intra_list_diversity(LISTS, categories, 3, similarity="jaccard")
    assert diversity == pytest.approx(expected)


def test_diversity_of_one_item_is_unknown() -> None:
    assert np.isnan(intra_list_diversity(np.array([[0, -1]]), np.eye(2), 2)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_cosine_diversity_equals_the_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(12, 5))
    lists = np.stack([rng.permutation(12)[:6] for _ in range(4)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = np.triu_indices(6, 1)
    plain = [1 - (unit[row[a]] * unit[row[b]]).sum(axis=1).mean() for row in lists]
    assert intra_list_diversity(lists, vectors, 6) == pytest.approx(plain)


def test_blocks_do_not_change_diversity(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(12)[:6] for _ in range(9)])
    categories = rng.integers(0, 2, (12, 4))
    whole = intra_list_diversity(lists, categories, 6, similarity="jaccard")
    monkeypatch.setattr("quintet.metrics.beyond_accuracy.BLOCK_CELLS", 72)
    assert np.array_equal(
        whole, intra_list_diversity(lists, categories, 6, similarity="jaccard"), equal_nan=True
    )


def test_serendipity_by_hand() -> None:
    relevant = (np.array([0, 2, 3, 3]), np.array([0, 2, 2]))
    popular = np.array([0, 1])
    # user 0 hits 0 (expected) and 2 (not); user 1 hits 2; user 2 has nothing to hit
    assert serendipity(LISTS, relevant, popular, 3)[:2] == pytest.approx([1 / 3, 1 / 3])
    assert np.isnan(serendipity(LISTS, relevant, popular, 3)[2])
    own = np.array([[2, -1], [0, 1], [0, 1]])  # a primitive list for each user
    assert serendipity(LISTS, relevant, own, 3)[:2] == pytest.approx([1 / 3, 1 / 3])
    assert serendipity(LISTS, relevant, np.array([0, 2]), 3)[:2] == pytest.approx([0, 0])


def test_precision_is_serendipity_plus_expected_hits() -> None:
    rng = np.random.default_rng(1)
    lists = np.stack([rng.permutation(20)[:6] for _ in range(30)])
    relevant = (np.arange(0, 121, 4), rng.integers(0, 20, 120))
    popular = np.arange(7)
    expected = (hits(lists, relevant) & np.isin(lists, popular)).mean(axis=1)
    total = serendipity(lists, relevant, popular, 6) + expected
    assert total == pytest.approx(precision(lists, relevant, 6))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(EmptyDataError, match="catalogue is empty"):
        coverage(np.empty((0, 3), int), 0, 3)
    with pytest.raises(EmptyDataError, match="all item counts are 0"):
        novelty(LISTS, np.zeros(4, int), 3)
    with pytest.raises(DataError, match="primitive lists have shape"):
        serendipity(LISTS, np.array([0, 1, 2]), np.zeros((2, 2), int), 3)
    with pytest.raises(DataError, match="k = 4"):
        coverage(LISTS, 5, 4)
    with pytest.raises(DataError, match=r"expected \[U, K\]"):
        exposure(np.arange(3), 5, 1)
