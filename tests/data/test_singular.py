"""Leading singular vectors: exact, the same every time, and permuted alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from quintet.data import singular
from quintet.data.singular import leading


def matrix(rows: int, columns: int, rank: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))


@pytest.mark.parametrize("dense", [0, 1000])
@pytest.mark.parametrize("shape", [(30, 50), (50, 30)])
def test_equals_the_full_decomposition(
    dense: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(singular, "DENSE", dense)
    given = matrix(*shape, rank=20)
    strength, right = leading(sparse.csr_array(given), 6, 1e-3)
    _, expected, vectors = np.linalg.svd(given)
    np.testing.assert_allclose(strength, expected[:6], rtol=1e-5)
    np.testing.assert_allclose(np.abs((right * vectors[:6]).sum(1)), 1, rtol=1e-5)
    assert (right.max(1) == np.abs(right).max(1)).all(), "the largest entry is positive"


def test_directions_that_are_not_taken_are_left_out() -> None:
    strength, right = leading(sparse.csr_array(matrix(30, 50, rank=3)), 20, 1e-3)
    assert len(strength) == len(right) == 3
    np.testing.assert_allclose(right @ right.T, np.eye(3), atol=1e-5)


def test_permuted_columns_give_permuted_vectors() -> None:
    given, order = matrix(30, 50, rank=20), np.random.default_rng(1).permutation(50)
    one = leading(sparse.csr_array(given), 6, 1e-3)[1]
    other = leading(sparse.csr_array(given[:, order]), 6, 1e-3)[1]
    np.testing.assert_allclose(other, one[:, order], atol=1e-5)


@pytest.mark.parametrize("given", [np.zeros((5, 8)), np.ones((1, 8)), np.ones((8, 1))])
def test_too_little_to_decompose(given: np.ndarray) -> None:
    strength, right = leading(sparse.csr_array(given), 4, 1e-3)
    assert strength.shape == (0,)
    assert right.shape == (0, given.shape[1])
