"""Similarities between the rows of one sparse matrix and the columns of another.

Only pairs with something in common are stored. Shapes: A rows, F features, C columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from quintet.memory.matrices import Matrix, rows_of

TINY = 1e-9  # variances of squashed values below this are rounding
LEAST_WEIGHT = 1e-30  # a weight that has decayed to 0 would drop its entry


def cosine(left: Matrix, right: Matrix, shrinkage: float = 0.0) -> Matrix:
    """[A, C] ``l·r / (|l| |r| + shrinkage)``.

    Args:
        left: [A, F].
        right: [F, C].
        shrinkage: damps pairs of short vectors (Cremonesi et al., RecSys 2010).
    """
    dot = _product(left, right)
    norms = np.sqrt(_row_sums(left, 2))[rows_of(dot)] * np.sqrt(_column_sums(right, 2))[dot.indices]
    return _like(dot, dot.data / (norms + shrinkage))


def phi(left: Matrix, right: Matrix, shrinkage: float = 0.0) -> Matrix:
    """[A, C] correlation over all F features, an absent entry being 0: centred implicit events.

    ``(l·r - Σl Σr / F) / sqrt((|l|² - (Σl)²/F) (|r|² - (Σr)²/F))``, times
    ``overlap / (overlap + shrinkage)`` with ``overlap = l·r``. Of two binary vectors it is the phi
    coefficient. Pairs with nothing in common (which correlate negatively) are left out.
    """
    n_features = max(1, left.shape[1])
    overlap = _product(left, right)
    row, column = rows_of(overlap), overlap.indices
    row_sum, column_sum = _row_sums(left), _column_sums(right)
    row_var = _row_sums(left, 2) - row_sum**2 / n_features
    column_var = _column_sums(right, 2) - column_sum**2 / n_features
    covariance = overlap.data - row_sum[row] * column_sum[column] / n_features
    correlation = _correlation(covariance, row_var[row], column_var[column])
    return _like(overlap, correlation * _trust(overlap.data, shrinkage))


def pearson(
    left: Matrix, right: Matrix, shrinkage: float = 0.0, weights: Matrix | None = None
) -> Matrix:
    """[A, C] Pearson correlation over the features where both have an entry.

    Means and variances are those of the shared features, as in Resnick et al. (CSCW 1994), times
    ``n / (n + shrinkage)`` for n shared features (Herlocker et al., SIGIR 1999). 0 where one of
    the two does not vary.

    Args:
        left: [A, F] values above 0.
        right: [F, C] values above 0.
        shrinkage: shared features at which a correlation is halved.
        weights: [A, F] weight of each entry of ``left`` (same pattern); n is then their sum.
    """
    if weights is None:
        weights = _like(left, np.ones(left.nnz))
    weights = _like(left, np.maximum(weights.data, LEAST_WEIGHT))
    # two real sums in one product: the real part weighs 1, the imaginary part the left value
    both = _like(left, weights.data * (1 + 1j * left.data))
    squares = _like(left, weights.data * left.data**2)
    ones = _like(right, np.ones(right.nnz))
    # all entries are above 0, so the four products store the same pairs in the same order
    shared = _product(both, ones)
    n, left_sum = shared.data.real, shared.data.imag
    sums = _product(both, right).data
    left_squares = _product(squares, ones).data
    right_squares = _product(weights, _like(right, right.data**2)).data
    correlation = _correlation(
        sums.imag - left_sum * sums.real / n,
        left_squares - left_sum**2 / n,
        right_squares - sums.real**2 / n,
        floor=TINY * n,
    )
    return _like(shared, correlation * _trust(n, shrinkage))


def _correlation(
    covariance: NDArray[np.float64],
    left_var: NDArray[np.float64],
    right_var: NDArray[np.float64],
    floor: NDArray[np.float64] | float = TINY,
) -> NDArray[np.float64]:
    varies = (left_var > floor) & (right_var > floor)
    deviation = np.sqrt(np.where(varies, left_var, 1.0)) * np.sqrt(np.where(varies, right_var, 1.0))
    return np.where(varies, np.clip(covariance / deviation, -1.0, 1.0), 0.0)


def _trust(overlap: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    return overlap / (overlap + shrinkage)


def _product(left: Matrix, right: Matrix) -> Matrix:
    return csr_array(left @ right)


def _like(pattern: Matrix, data: NDArray[np.inexact]) -> Matrix:
    return csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)


def _row_sums(matrix: Matrix, power: int = 1) -> NDArray[np.float64]:
    powers = matrix.data.astype(np.float64) ** power
    return np.bincount(rows_of(matrix), powers, minlength=matrix.shape[0]).astype(np.float64)


def _column_sums(matrix: Matrix, power: int = 1) -> NDArray[np.float64]:
    powers = matrix.data.astype(np.float64) ** power
    return np.bincount(matrix.indices, powers, minlength=matrix.shape[1]).astype(np.float64)
