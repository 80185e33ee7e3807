"""Sparse matrices made of events, shared by the memories.

Shapes: B histories, U training users, I items, E (or N) events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from quintet.data.interactions import Floats, Interactions, Ints, Mask, seeded_hash
from quintet.errors import CorruptBundleError

Matrix: TypeAlias = csr_array  # two axes, always canonical: sorted indices, no duplicates
State: TypeAlias = Mapping[str, NDArray[np.generic]]

BLOCK = 1 << 22  # numbers in a dense working block (16 MB of float32)


def event_matrix(events: Interactions, weights: NDArray[np.floating] | None = None) -> Matrix:
    """[U, I] the weights (1 when absent) of each user's events summed by item; zeros not kept."""
    data = np.ones(len(events), np.float32) if weights is None else weights
    keep = data != 0
    return summed(events.group()[keep], events.item[keep], data[keep], _shape(events))


def seen_matrix(events: Interactions) -> Matrix:
    """[U, I] 1 where the user has at least one event with the item."""
    counts = event_matrix(events)
    counts.data[:] = 1.0
    return counts


def summed(row: Ints, column: Ints, data: NDArray[np.floating], shape: tuple[int, int]) -> Matrix:
    """A canonical matrix from triplets; duplicates are added up."""
    matrix = csr_array(coo_array((data, (row, column)), shape=shape))
    matrix.sum_duplicates()
    return matrix


def _shape(events: Interactions) -> tuple[int, int]:
    return (events.n_users, events.n_items)


def rows_of(matrix: Matrix) -> Ints:
    """[nnz] the row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def age(histories: Interactions) -> Ints:
    """[N] how many events of the history came after each event; 0 for the last."""
    return np.repeat(histories.offsets[1:] - 1, histories.lengths) - np.arange(len(histories))


def recency(
    histories: Interactions, half_life: float | None = None, *, distinct: bool = False
) -> Floats:
    """[N] the weight of each event: halved every ``half_life`` steps back from the last.

    Args:
        histories: a batch of histories.
        half_life: in steps; None weighs all events alike.
        distinct: an item that occurs again counts once, by its last event; the others get 0.
    """
    weights = np.ones(len(histories), np.float32)
    if half_life is not None:
        weights = np.exp2(-age(histories) / half_life).astype(np.float32)
    return weights * last_occurrence(histories) if distinct else weights


def last_occurrence(histories: Interactions) -> Mask:
    """[N] true at the last event of each item within each history."""
    key = histories.group() * histories.n_items + histories.item
    _, from_end = np.unique(key[::-1], return_index=True)
    last = np.zeros(len(histories), bool)
    last[len(histories) - 1 - from_end] = True
    return last


def known_users(histories: Interactions, n_users: int) -> Ints:
    """[B] the training user row of each history; -1 where unknown (or the history is empty)."""
    users = np.full(histories.n_users, -1, np.int64)
    filled = np.flatnonzero(histories.lengths > 0)
    users[filled] = histories.user[histories.offsets[filled]]
    return np.where(users < n_users, users, -1)


def scale_rows_columns(
    matrix: Matrix, row: NDArray[np.floating], column: NDArray[np.floating]
) -> Matrix:
    """``diag(row) @ matrix @ diag(column)``; ``row`` [R], ``column`` [C]."""
    data = matrix.data * row[rows_of(matrix)] * column[matrix.indices]
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def narrowed(matrix: Matrix) -> Matrix:
    """The same with indices of 32 bits, if they suffice.

    SciPy's products leave either kind; a loop would be compiled for both, and the longer kind takes
    twice the memory.
    """
    if max(matrix.nnz, *matrix.shape) > np.iinfo(np.int32).max:
        return matrix
    indices, indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return csr_array((matrix.data, indices, indptr), shape=matrix.shape)


def negative_power(sums: NDArray[Any], power: float) -> NDArray[np.float64]:
    """``sums ** -power``, and 0 where the sum is 0."""
    out = np.zeros(len(sums), np.float64)
    np.power(sums, -power, out=out, where=sums > 0)
    return out


def keep_top(matrix: Matrix, k: int, seed: int = 0) -> Matrix:
    """The ``k`` greatest positive entries of each row, ties by a seeded hash of the column.

    Works in place and returns its argument.
    """
    matrix.data[~(matrix.data > 0)] = 0  # NaN too
    matrix.eliminate_zeros()
    crowded = np.flatnonzero(np.diff(matrix.indptr) > k)
    step = max(1, BLOCK // max(1, matrix.shape[1]))
    by_hash = np.argsort(seeded_hash(np.arange(matrix.shape[1]), seed))
    for start in range(0, len(crowded), step):
        rows = crowded[start : start + step]
        block = matrix[rows]
        kept = _top_mask(block.toarray(), k, by_hash)
        shift = matrix.indptr[rows] - block.indptr[:-1]
        entries = np.arange(block.nnz) + np.repeat(shift, np.diff(block.indptr))
        matrix.data[entries] *= kept[rows_of(block), block.indices]
    matrix.eliminate_zeros()
    return matrix


def _top_mask(block: NDArray[np.floating], k: int, by_hash: Ints) -> Mask:
    """[R, C] true at the k greatest of each row of ``block``; every row holds more than k."""
    floor = -np.partition(-block, k - 1, axis=1)[:, k - 1 : k]
    mask: Mask = block > floor
    tied = (block == floor)[:, by_hash]
    free = k - mask.sum(axis=1, keepdims=True)
    mask[:, by_hash] |= tied & (np.cumsum(tied, axis=1) <= free)
    return mask


def pack(matrix: Matrix, name: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of a sparse matrix, under keys that start with ``name``."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices,
        f"{name}.indptr": matrix.indptr,
        f"{name}.shape": np.array(matrix.shape, np.int64),
    }


def unpack(state: State, name: str) -> Matrix:
    """The matrix that :func:`pack` took apart.

    Raises:
        CorruptBundleError: one of its arrays is missing.
    """
    data, indices, indptr, shape = (
        array(state, f"{name}.{part}") for part in ("data", "indices", "indptr", "shape")
    )
    return csr_array((data, indices, indptr), shape=(int(shape[0]), int(shape[1])))


def array(state: State, name: str) -> NDArray[np.generic]:
    """The array called ``name``.

    Raises:
        CorruptBundleError: it is missing.
    """
    try:
        return state[name]
    except KeyError:
        held = ", ".join(state) or "nothing"
        raise CorruptBundleError(f"memory state: no array {name!r} (holds {held})") from None
