from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from quintet.memory.entries import Entries, followed, summed_entries
from quintet.memory.matrices import event_matrix

from .logs import log


@pytest.mark.parametrize("width", [30, 5000])  # row by row, and entry by entry
def test_what_events_lead_to_is_the_product(width: int) -> None:
    rng = np.random.default_rng(width)
    events = log([2, 0, 2, 9], [], [1, 3], n_items=width)
    matrix = csr_array(rng.random((width, width)) * (rng.random((width, width)) < 0.02))
    matrix = matrix.astype(np.float32)
    weights = np.array([0.5, 0.0, 0.25, 1.0, 2.0, 0.125], np.float32)
    got = followed(events, weights, matrix)
    assert (np.diff(got.row_N) >= 0).all()
    assert len(np.unique(got.row_N * width + got.item_N)) == len(got)
    expected = (event_matrix(events, weights) @ matrix).toarray()
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-5)
    assert len(followed(log([], [], n_items=width), np.zeros(0, np.float32), matrix)) == 0
    assert len(followed(events, np.zeros(6, np.float32), matrix)) == 0


def test_entries_that_fall_together_are_added_up() -> None:
    made = summed_entries(np.array([7, 1, 7, 2]), np.array([1.0, 2.0, 3.0, 0.0]), (2, 5))
    assert made.toarray().tolist() == [[0, 2, 0, 0, 0], [0, 0, 4, 0, 0]]
    assert len(made) == 2
    assert not summed_entries(np.zeros(0, np.int64), np.zeros(0), (2, 5)).toarray().any()


def test_matrices_stand_one_below_the_other() -> None:
    first, second = np.eye(2, 3, dtype=np.float32), np.full((1, 3), 2, np.float32)
    stacked = Entries.stacked([Entries.of(csr_array(one)) for one in (first, second)], 3)
    np.testing.assert_array_equal(stacked.toarray(), np.concatenate([first, second]))
    assert Entries.stacked([], 3).toarray().shape == (0, 3)
