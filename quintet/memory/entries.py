"""What memories recall: the few of many scores that are not 0, with as little around as can be.

A sparse matrix of a library checks and orders itself at every step, which for a few histories takes
longer than all the arithmetic.

Shapes: B histories, I items, E events, N entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# the loop behind ``@`` of two sparse matrices, without what it does around it
from scipy.sparse._sparsetools import csr_matmat

from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.matrices import Matrix, rows_of

SPARSEST = 16  # items for each entry of a product, above which it is made entry by entry


@dataclass(frozen=True)
class Entries:
    """A matrix [B, I] as its entries, row after row; none stands twice.

    Attributes:
        row_N: of each entry, ascending.
        item_N: of each entry, in any order within a row.
        value_N: of each entry.
        shape: (B, I).
    """

    row_N: Ints
    item_N: NDArray[np.integer]
    value_N: Floats
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: Matrix) -> Entries:
        """The entries of a canonical sparse matrix."""
        value_N = matrix.data.astype(np.float32, copy=False)
        return cls(rows_of(matrix), matrix.indices, value_N, (matrix.shape[0], matrix.shape[1]))

    @classmethod
    def stacked(cls, parts: Sequence[Entries], n_items: int) -> Entries:
        """The rows of several matrices over one catalogue, one matrix below the other."""
        none = np.zeros(0, np.int64)
        n_rows, rows = 0, [none]
        for part in parts:
            rows.append(part.row_N + n_rows)
            n_rows += part.shape[0]
        items = [np.zeros(0, np.int32), *(part.item_N for part in parts)]
        values = [np.zeros(0, np.float32), *(part.value_N for part in parts)]
        shape = (n_rows, n_items)
        return cls(np.concatenate(rows), np.concatenate(items), np.concatenate(values), shape)

    def __len__(self) -> int:
        return len(self.row_N)

    def toarray(self) -> Floats:
        """[B, I] with its zeros."""
        dense = np.zeros(self.shape, np.float32)
        dense[self.row_N, self.item_N] = self.value_N
        return dense


def followed(histories: Interactions, weight_E: Floats, matrix: Matrix) -> Entries:
    """What events lead to: ``Σ_e weight_e · matrix[item of e]`` for each history.

    Args:
        histories: a batch of B.
        weight_E: [E] of each event; those of weight 0 cost nothing.
        matrix: [I, I] from an item of the history to what it leads to.
    """
    kept = np.flatnonzero(weight_E)
    item, weight, group = histories.item, weight_E, histories.group()
    if len(kept) < len(weight_E):
        item, weight, group = item[kept], weight_E[kept], group[kept]
    n_rows, n_items = histories.n_users, matrix.shape[1]
    start = matrix.indptr[item]
    count = matrix.indptr[item + 1] - start
    total = int(count.sum())
    if total * SPARSEST > n_items:
        offsets = np.searchsorted(group, np.arange(n_rows + 1))
        return _by_row(offsets, item, weight.astype(np.float32), matrix, total)
    # the loop clears a working array as long as a row: for few entries of a large catalogue that
    # takes longer than all the rest
    shift = np.repeat(start - (np.cumsum(count) - count), count)
    entry = np.arange(total) + shift
    value = matrix.data[entry] * np.repeat(weight, count)
    key = np.repeat(group, count) * n_items + matrix.indices[entry]
    return summed_entries(key, value, (n_rows, n_items))


def _by_row(offsets: Ints, item: Ints, weight: Floats, matrix: Matrix, most: int) -> Entries:
    """The product of a matrix made of events (rows end at ``offsets``) with another."""
    kind = matrix.indices.dtype
    n_rows, n_items = len(offsets) - 1, matrix.shape[1]
    ends = np.empty(n_rows + 1, kind)
    found, value = np.empty(most, kind), np.empty(most, np.float32)
    left = (offsets.astype(kind), item.astype(kind), weight)
    right = (matrix.indptr, matrix.indices, matrix.data)
    csr_matmat(n_rows, n_items, *left, *right, ends, found, value)
    row_N = np.repeat(np.arange(n_rows), np.diff(ends))
    return Entries(row_N, found[: len(row_N)], value[: len(row_N)], (n_rows, n_items))


def summed_entries(key_N: Ints, value_N: Floats, shape: tuple[int, int]) -> Entries:
    """Entries from keys ``row * I + item``, in any order; what falls together is added up."""
    if not len(key_N):
        none = np.zeros(0, np.int64)
        return Entries(none, none, np.zeros(0, np.float32), shape)
    order = np.argsort(key_N, kind="stable")
    key = key_N[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    total = np.add.reduceat(value_N[order], first).astype(np.float32)
    row, item = np.divmod(key[first], shape[1])
    kept = total != 0
    return Entries(row[kept], item[kept], total[kept], shape)
