"""Steps from the events of histories along sparse matrices: how item-to-item memories recall.

Shapes: B histories, I items, E events, N entries.
"""

from __future__ import annotations

import numpy as np

# the loop behind ``@`` of two sparse matrices, without what it does around it
from scipy.sparse._sparsetools import csr_matmat

from quintet.compiled import Compiled, can_compile
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.entries import Entries, summed_entries
from quintet.memory.matrices import Matrix

SPARSEST = 16  # items for each entry of a product, above which it is made entry by entry


def followed(histories: Interactions, weight_E: Floats, matrix: Matrix) -> Entries:
    """What events lead to: ``Σ_e weight_e · matrix[item of e]`` for each history.

    Args:
        histories: a batch of B.
        weight_E: [E] of each event; those of weight 0 cost nothing.
        matrix: [I, I] from an item of the history to what it leads to; it may be of an older,
            smaller catalogue, if events on later items weigh 0.
    """
    n_items = histories.n_items
    kept = np.flatnonzero(weight_E)
    item, weight = histories.item[kept], weight_E[kept].astype(np.float32, copy=False)
    offsets_B = np.searchsorted(kept, histories.offsets)
    count = matrix.indptr[item + 1] - matrix.indptr[item]
    if can_compile():
        return _walked(offsets_B, item, weight, count, matrix, n_items)
    total = int(count.sum())
    if total * SPARSEST > n_items:
        return _by_row(offsets_B, item, weight, matrix, total, n_items)
    # the loop clears a working array as long as a row: for few entries of a large catalogue that
    # takes longer than all the rest
    entry = np.arange(total) + np.repeat(matrix.indptr[item] - (np.cumsum(count) - count), count)
    value = matrix.data[entry] * np.repeat(weight, count)
    group = np.repeat(np.arange(histories.n_users), np.diff(offsets_B))
    key = np.repeat(group, count) * n_items + matrix.indices[entry]
    return summed_entries(key, value, (histories.n_users, n_items))


def _walked(
    offsets_B: Ints, item: Ints, weight: Floats, count: Ints, matrix: Matrix, n_items: int
) -> Entries:
    """The product, compiled; ``count`` says how many entries each event leads to."""
    before = np.concatenate([[0], np.cumsum(count)])
    row_B = np.minimum(np.diff(before[offsets_B]), n_items)
    # sums stand in a hash table with linear probing, twice as large as the longest row: it stays
    # in the nearest cache, however large the catalogue; a small catalogue is its own table
    bits = max(4, (2 * int(row_B.max(initial=0)) - 1).bit_length())
    n_slots, most = min(1 << bits, n_items), int(row_B.sum())
    owner_S, place_S = np.full(n_slots, -1, np.int32), np.empty(n_slots, np.int32)
    ends_B = np.zeros(len(offsets_B), np.int64)
    found, total = np.empty(most, matrix.indices.dtype), np.empty(most, np.float32)
    right = (matrix.indptr, matrix.indices, matrix.data)
    room = (np.uint64(64 - bits), owner_S, place_S, ends_B, found, total)
    _walk(offsets_B, item, weight, *right, n_items, *room)
    return Entries(ends_B, found[: ends_B[-1]], total[: ends_B[-1]], n_items)


def _by_row(
    offsets_B: Ints, item: Ints, weight: Floats, matrix: Matrix, most: int, n_items: int
) -> Entries:
    """The product by the library's loop, of no more than ``most`` entries."""
    kind = matrix.indices.dtype
    n_rows = len(offsets_B) - 1
    found, value = np.empty(most, kind), np.empty(most, np.float32)
    ends = np.empty(n_rows + 1, kind)
    left = (offsets_B.astype(kind), item.astype(kind), weight)
    right = (matrix.indptr, matrix.indices, matrix.data)
    csr_matmat(n_rows, n_items, *left, *right, ends, found, value)
    total = int(ends[-1])
    return Entries(ends.astype(np.int64), found[:total], value[:total], n_items)


# ---------------------------------------------------------------------- compiled


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
