"""Steps from the events of histories along sparse matrices: how item-to-item memories recall.

Shapes: B histories, I items, E events, M matrices, N entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# the loop behind ``@`` of two sparse matrices, without what it does around it
from scipy.sparse._sparsetools import csr_matmat

from quintet.compiled import Compiled, can_compile
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.entries import Entries, summed_entries
from quintet.memory.matrices import Matrix

LARGEST_INT32 = np.iinfo(np.int32).max
SPARSEST = 16  # items for each entry of a product, above which it is made entry by entry


def followed(histories: Interactions, weight_E: Floats, matrix: Matrix) -> Entries:
    """What events lead to: ``Σ_e weight_e · matrix[item of e]`` for each history.

    Args:
        histories: a batch of B.
        weight_E: [E] of each event; those of weight 0 cost nothing.
        matrix: [I, I] from an item of the history to what it leads to.
    """
    n_items = matrix.shape[1]
    if can_compile():
        return walked(histories, np.asarray(weight_E, np.float32)[None], Steps.of([matrix]))[0]
    kept = np.flatnonzero(weight_E)
    item, weight, group = histories.item[kept], weight_E[kept], histories.group()[kept]
    count = matrix.indptr[item + 1] - matrix.indptr[item]
    total = int(count.sum())
    if total * SPARSEST > n_items:
        offsets = np.searchsorted(group, np.arange(histories.n_users + 1))
        return _by_row(offsets, item, weight.astype(np.float32), matrix, total)
    # the loop clears a working array as long as a row: for few entries of a large catalogue that
    # takes longer than all the rest
    entry = np.arange(total) + np.repeat(matrix.indptr[item] - (np.cumsum(count) - count), count)
    value = matrix.data[entry] * np.repeat(weight, count)
    key = np.repeat(group, count) * n_items + matrix.indices[entry]
    return summed_entries(key, value, (histories.n_users, n_items))


class Steps(NamedTuple):
    """Sparse matrices [I, I] in arrays of one type, as a compiled loop goes through them."""

    start_MI: tuple[NDArray[np.integer], ...]
    item_MN: tuple[NDArray[np.integer], ...]
    value_MN: tuple[Floats, ...]

    @classmethod
    def of(cls, matrices: Sequence[Matrix]) -> Self:
        """Those of matrices, which are copied only where they are of another type."""
        wide = any(max(one.nnz, *one.shape) > LARGEST_INT32 for one in matrices)
        kind = np.int64 if wide else np.int32
        return cls(
            tuple(one.indptr.astype(kind, copy=False) for one in matrices),
            tuple(one.indices.astype(kind, copy=False) for one in matrices),
            tuple(one.data.astype(np.float32, copy=False) for one in matrices),
        )


def walked(histories: Interactions, weight_ME: Floats, steps: Steps) -> list[Entries]:
    """For each of M matrices what :func:`followed` gives.

    Args:
        histories: a batch.
        weight_ME: [M, E] of each event; 0 where its item is no row of the matrix.
        steps: the matrices, at least one.
    """
    each = zip(weight_ME, *steps, strict=True)  # one type of loop to compile, however many they are
    return [
        _walked(histories, weight_E, start_I, item_N, value_N)
        for weight_E, start_I, item_N, value_N in each
    ]


def _walked(
    histories: Interactions,
    weight_E: Floats,
    start_I: NDArray[np.integer],
    item_N: NDArray[np.integer],
    value_N: Floats,
) -> Entries:
    n_items = histories.n_items
    events = (histories.offsets, histories.item, weight_E)
    most, longest = _sizes(*events, start_I, n_items)
    # sums stand in a hash table with linear probing, twice as large as the longest row: it stays
    # in the nearest cache, however large the catalogue; a small catalogue is its own table
    bits = max(4, (2 * longest - 1).bit_length())
    n_slots = min(1 << bits, n_items)
    owner_S, place_S = np.full(n_slots, -1, np.int32), np.empty(n_slots, np.int32)
    ends_B = np.zeros(histories.n_users + 1, np.int64)
    found, total = np.empty(most, item_N.dtype), np.empty(most, np.float32)
    room = (np.uint64(64 - bits), owner_S, place_S, ends_B, found, total)
    _walk(*events, start_I, item_N, value_N, n_items, *room)
    return Entries(ends_B, found[: ends_B[-1]], total[: ends_B[-1]], n_items)


def _by_row(offsets_B: Ints, item: Ints, weight: Floats, matrix: Matrix, most: int) -> Entries:
    """The product of a matrix made of events (rows end at ``offsets_B``) with another."""
    kind = matrix.indices.dtype
    n_rows, n_items = len(offsets_B) - 1, matrix.shape[1]
    found, value = np.empty(most, kind), np.empty(most, np.float32)
    ends = np.empty(n_rows + 1, kind)
    left = (offsets_B.astype(kind), item.astype(kind), weight)
    right = (matrix.indptr, matrix.indices, matrix.data)
    csr_matmat(n_rows, n_items, *left, *right, ends, found, value)
    total = int(ends[-1])
    return Entries(ends.astype(np.int64), found[:total], value[:total], n_items)


# ---------------------------------------------------------------------- compiled


@Compiled
def _sizes(offsets_B, item_E, weight_E, start_I, n_items):  # type: ignore[no-untyped-def]
    """How many entries a product has at most, and how many its longest row."""
    most, longest = 0, 0
    for row in range(len(offsets_B) - 1):
        length = 0
        for event in range(offsets_B[row], offsets_B[row + 1]):
            if weight_E[event] != 0.0:
                length += start_I[item_E[event] + 1] - start_I[item_E[event]]
        length = min(length, n_items)
        most, longest = most + length, max(longest, length)
    return most, longest


@Compiled
def _walk(  # type: ignore[no-untyped-def]
    offsets_B,
    item_E,
    weight_E,
    start_I,
    item_N,
    value_N,
    n_items,
    shift,
    owner_S,
    place_S,
    ends_B,
    found,
    total,
):
    """Ends, items and sums of a sparse product, entries in the order they are met in."""
    size, hashed = 0, len(owner_S) < n_items
    for row in range(len(offsets_B) - 1):
        for event in range(offsets_B[row], offsets_B[row + 1]):
            weight, source = weight_E[event], item_E[event]
            if weight == 0.0:
                continue
            for entry in range(start_I[source], start_I[source + 1]):
                item = item_N[entry]
                slot = np.int64(item)
                if hashed:
                    slot = np.int64((np.uint64(item) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
                    while owner_S[slot] == row and found[place_S[slot]] != item:
                        slot = (slot + 1) & (len(owner_S) - 1)
                if owner_S[slot] != row:
                    owner_S[slot], place_S[slot] = row, size
                    found[size], total[size] = item, 0.0
                    size += 1
                total[place_S[slot]] += weight * value_N[entry]
        ends_B[row + 1] = size
