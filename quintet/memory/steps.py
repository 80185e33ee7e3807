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
    if can_compile():
        weight = weight_E.astype(np.float32, copy=False)
        right = (matrix.indptr, matrix.indices, matrix.data)
        ends_B, found, total = _walked(histories.offsets, histories.item, weight, *right, n_items)
        return Entries(ends_B, found, total, n_items)
    kept = np.flatnonzero(weight_E)
    item, weight = histories.item[kept], weight_E[kept].astype(np.float32, copy=False)
    offsets_B = np.searchsorted(kept, histories.offsets)
    count = matrix.indptr[item + 1] - matrix.indptr[item]
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
def _walked(offsets_B, item_E, weight_E, start_I, item_N, value_N, n_items):  # type: ignore[no-untyped-def]
    """Ends, items and sums of a sparse product, entries in the order they are met in."""
    n_rows = len(offsets_B) - 1
    widest, most = 0, 0
    for row in range(n_rows):
        count = 0
        for event in range(offsets_B[row], offsets_B[row + 1]):
            if weight_E[event] != 0:
                count += start_I[item_E[event] + 1] - start_I[item_E[event]]
        count = min(count, n_items)
        widest, most = max(widest, count), most + count
    # sums stand in a hash table with linear probing, twice as large as the longest row: it stays
    # in the nearest cache, however large the catalogue; a small catalogue is its own table
    bits = 4
    while 1 << bits < 2 * widest:
        bits += 1
    hashed, shift = 1 << bits < n_items, np.uint64(64 - bits)
    owner_S = np.full(min(1 << bits, n_items), -1, np.int32)
    place_S = np.empty(len(owner_S), np.int32)
    ends_B = np.zeros(n_rows + 1, np.int64)
    found, total = np.empty(most, item_N.dtype), np.empty(most, np.float32)
    size = 0
    for row in range(n_rows):
        for event in range(offsets_B[row], offsets_B[row + 1]):
            weight, source = weight_E[event], item_E[event]
            if weight == 0:
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
    return ends_B, found[:size], total[:size]
