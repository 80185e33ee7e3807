from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from quintet.memory import matrices
from quintet.memory.matrices import (
    age,
    event_matrix,
    keep_top,
    known_users,
    last_occurrence,
    pack,
    recency,
    seen_matrix,
    unpack,
)

from .logs import log, logs, strangers


def test_events_are_summed_by_user_and_item() -> None:
    events = log([2, 0, 2], [], [1])
    assert event_matrix(events).toarray().tolist() == [[1, 0, 2], [0, 0, 0], [0, 1, 0]]
    weights = np.array([0.5, 0.0, 0.25, 1.0])
    assert event_matrix(events, weights).toarray().tolist() == [[0, 0, 0.75], [0, 0, 0], [0, 1, 0]]
    assert event_matrix(events, weights).nnz == 2  # the 0 is not kept
    assert seen_matrix(events).toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_a_weight_halves_every_half_life_back_from_the_last_event() -> None:
    events = log([3, 1, 3], [], [0])
    assert age(events).tolist() == [2, 1, 0, 0]
    assert recency(events).tolist() == [1, 1, 1, 1]
    assert recency(events, 1.0).tolist() == [0.25, 0.5, 1, 1]
    assert recency(events, 2.0).tolist() == pytest.approx([0.5, 0.5**0.5, 1, 1])
    assert recency(events, 1.0, distinct=True).tolist() == [0, 0.5, 1, 1]


@given(logs())
def test_the_last_occurrence_of_each_item_is_marked(events) -> None:
    expected = [
        item not in events.item[place + 1 : events.offsets[user + 1]]
        for user in range(events.n_users)
        for place, item in enumerate(
            events.item[events.offsets[user] : events.offsets[user + 1]], events.offsets[user]
        )
    ]
    assert last_occurrence(events).tolist() == expected


def test_users_are_known_by_their_row() -> None:
    events = log([0], [], [1], [0])
    assert known_users(events.users([2, 1, 3]), n_users=3).tolist() == [2, -1, -1]
    assert known_users(strangers(events), n_users=4).tolist() == [-1, -1, -1, -1]


def test_the_greatest_positive_entries_are_kept() -> None:
    matrix = csr_array([[3.0, -1, 2, 1], [0, 5, 0, 0], [-2, -1, 0, np.nan]])
    top = keep_top(matrix, 2)
    assert top.toarray().tolist() == [[3, 0, 2, 0], [0, 5, 0, 0], [0, 0, 0, 0]]
    assert top.nnz == 3


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(-2, 4), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 6),
)
def test_k_are_kept_and_none_less_than_one_dropped(rows, k) -> None:
    matrix = csr_array(np.array(rows, float))
    top = keep_top(matrix.copy(), k).toarray()
    for row, kept in zip(np.array(rows, float), top, strict=True):
        expected = np.sort(row[row > 0])[::-1][:k]
        np.testing.assert_array_equal(np.sort(kept[kept > 0])[::-1], expected)
        assert ((kept == 0) | (kept == row)).all()


def test_ties_fall_by_hash_neither_first_nor_last() -> None:
    tied = csr_array(np.ones((1, 400)))
    kept = np.flatnonzero(keep_top(tied.copy(), 100).toarray())
    assert len(kept) == 100
    assert 120 < kept.mean() < 280  # neither the first nor the last columns
    again = np.flatnonzero(keep_top(tied.copy(), 100).toarray())
    assert kept.tolist() == again.tolist()
    other = np.flatnonzero(keep_top(tied.copy(), 100, seed=1).toarray())
    assert kept.tolist() != other.tolist()


def test_small_blocks_keep_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = csr_array(np.random.default_rng(0).random((30, 20)))
    whole = keep_top(matrix.copy(), 4).toarray()
    monkeypatch.setattr(matrices, "BLOCK", 40)
    np.testing.assert_array_equal(keep_top(matrix.copy(), 4).toarray(), whole)


def test_a_packed_matrix_comes_back() -> None:
    matrix = csr_array([[0, 1.5, 0], [2, 0, 0]])
    np.testing.assert_array_equal(unpack(pack(matrix, "m"), "m").toarray(), matrix.toarray())
