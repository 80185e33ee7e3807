from __future__ import annotations

import numpy as np
import pytest

from quintet.memory.entries import Entries, summed_entries


def test_entries_that_fall_together_are_added_up() -> None:
    made = summed_entries(np.array([7, 1, 7, 2]), np.array([1.0, 2.0, 3.0, 0.0]), (2, 5))
    assert made.toarray().tolist() == [[0, 2, 0, 0, 0], [0, 0, 4, 0, 0]]
    assert len(made) == 2
    assert not summed_entries(np.zeros(0, np.int64), np.zeros(0), (2, 5)).toarray().any()


def entries_of(dense: np.ndarray) -> Entries:
    """Entries in no order within a row."""
    row, item = np.nonzero(dense)
    order = np.lexsort((np.random.default_rng(2).random(len(row)), row))
    offsets = np.searchsorted(row, np.arange(len(dense) + 1))
    return Entries(offsets, item[order], dense[row, item][order], dense.shape[1])


@pytest.fixture
def dense() -> np.ndarray:
    """[5, 40] mostly zeros; one row and many columns hold nothing else."""
    made = np.random.default_rng(0).random((5, 40)).astype(np.float32)
    made[made < 0.7] = 0
    made[2] = 0
    return made


def test_values_at_some_items_and_sums_by_bucket(compiled_or_not, dense) -> None:
    places, bucket_I = np.random.default_rng(1).integers(0, 40, (5, 9)), np.arange(40) % 3
    got = entries_of(dense).at(places, bucket_I.astype(np.int8), 3)
    np.testing.assert_array_equal(got.value_BP, np.take_along_axis(dense, places, axis=1))
    sums = np.stack([dense[:, bucket_I == bucket].sum(1) for bucket in range(3)], axis=1)
    np.testing.assert_allclose(got.sum_BS, sums, rtol=1e-6)
    nothing = entries_of(np.zeros((5, 40), np.float32)).at(places, bucket_I, 3)
    assert not nothing.value_BP.any()
    assert not nothing.sum_BS.any()


def test_entries_are_added_with_weights_by_row_and_bucket(compiled_or_not, dense) -> None:
    rng, bucket_I = np.random.default_rng(3), np.arange(40) % 3
    weight_BS = rng.normal(size=(5, 3)).astype(np.float32)
    scores = rng.normal(size=(5, 40)).astype(np.float32)
    expected = scores + dense * weight_BS[:, bucket_I]
    entries_of(dense).add_to(scores, weight_BS, bucket_I.astype(np.int8))
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
