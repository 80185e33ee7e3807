"""Leading singular vectors, the same on every run.

Large matrices are projected at random first (Halko et al. 2011): several hundred directions of a
catalogue's texts take seconds, where an exact method takes minutes. The draw is fixed, and so is
the sign of a vector, which is free: two runs of one seed must not differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from quintet.data.interactions import Floats

Rows = sparse.csr_array[Any] | sparse.csr_matrix[Any]
Reals = NDArray[np.floating[Any]]

#: with up to so many rows or columns the exact decomposition is quick
DENSE = 1000


def leading(matrix_MN: Rows, k: int, least: float) -> tuple[Floats, Floats]:
    """[K] strengths and [K, N] right singular vectors, the strongest first; K may be 0.

    Args:
        matrix_MN: [M, N] what is decomposed.
        k: how many directions are wanted at most, fewer than M and N.
        least: directions below this share of the strongest are left out.
    """
    rows, columns = matrix_MN.shape
    k = min(k, rows - 1, columns - 1)
    if k < 1 or matrix_MN.nnz == 0:
        return np.zeros(0, np.float32), np.zeros((0, columns), np.float32)
    strength: Reals
    right: Reals
    if min(rows, columns) <= DENSE:
        strength, right = _exact(matrix_MN.astype(np.float64), k, least)
    else:
        from sklearn.utils.extmath import randomized_svd

        # drawn on the columns' side, so that the order of the rows makes no difference
        _, strength, right = randomized_svd(
            matrix_MN, k, n_oversamples=16, n_iter=5, transpose=False, random_state=0
        )
    order = np.argsort(-strength, kind="stable")
    order = order[strength[order] > least * strength.max()]
    right = right[order]
    largest = np.take_along_axis(right, np.abs(right).argmax(1)[:, None], 1)
    return strength[order].astype(np.float32), (right * np.sign(largest)).astype(np.float32)


def _exact(matrix_MN: Rows, k: int, least: float) -> tuple[Reals, Reals]:
    """Through the eigenvectors of the smaller of the two products with the transpose."""
    wide = matrix_MN.shape[0] <= matrix_MN.shape[1]
    gram = (matrix_MN @ matrix_MN.T if wide else matrix_MN.T @ matrix_MN).toarray()
    value, vector = np.linalg.eigh(gram)
    value, vector = value[-k:], vector[:, -k:]
    taken = value > max(least, 1e-6) ** 2 * value.max()
    strength, vector = np.sqrt(value[taken]), vector[:, taken]
    right = (matrix_MN.T @ vector / strength).T if wide else vector.T
    return strength, right
