"""What events lead to, against a product of sparse matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from quintet.memory.matrices import event_matrix
from quintet.memory.steps import followed

from .logs import log


@pytest.mark.parametrize("width", [30, 5000])  # row by row, and entry by entry
def test_what_events_lead_to_is_the_product(width: int, compiled_or_not) -> None:
    rng = np.random.default_rng(width)
    events = log([2, 0, 2, 9], [], [1, 3], n_items=width)
    matrix = csr_array(rng.random((width, width)) * (rng.random((width, width)) < 0.02))
    matrix = matrix.astype(np.float32)
    weights = np.array([0.5, 0.0, 0.25, 1.0, 2.0, 0.125], np.float32)
    got = followed(events, weights, matrix)
    assert len(np.unique(got.cells())) == len(got)
    expected = (event_matrix(events, weights) @ matrix).toarray()
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-5)
    assert len(followed(log([], [], n_items=width), np.zeros(0, np.float32), matrix)) == 0
    assert len(followed(events, np.zeros(6, np.float32), matrix)) == 0
