"""What memories recall: the few of many scores that are not 0, with as little around as can be.

A sparse matrix of a library checks and orders itself at every step, which for a few histories takes
longer than all the arithmetic.

Shapes: B histories, I items, E events, M memories, N entries, S buckets of items, P places of a
list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# the loop behind ``@`` of two sparse matrices, without what it does around it
from scipy.sparse._sparsetools import csr_matmat

from quintet.compiled import Compiled, can_compile
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.matrices import Matrix

NARROWEST = np.iinfo(np.int32).max
SPARSEST = 16  # items for each entry of a product, above which it is made entry by entry


@dataclass(frozen=True)
class Entries:
    """A matrix [B, I] as its entries, row after row; none stands twice.

    Attributes:
        offsets_B: [B + 1] where the entries of each row start, and where the last end.
        item_N: of each entry, in any order within a row.
        value_N: of each entry.
        n_items: I.
    """

    offsets_B: Ints
    item_N: NDArray[np.integer]
    value_N: Floats
    n_items: int

    @classmethod
    def of(cls, matrix: Matrix) -> Entries:
        """The entries of a canonical sparse matrix."""
        value_N = matrix.data.astype(np.float32, copy=False)
        return cls(matrix.indptr.astype(np.int64), matrix.indices, value_N, matrix.shape[1])

    @property
    def n_rows(self) -> int:
        """B."""
        return len(self.offsets_B) - 1

    def __len__(self) -> int:
        return len(self.item_N)

    def rows(self) -> Ints:
        """[N] the row of each entry."""
        return np.repeat(np.arange(self.n_rows), np.diff(self.offsets_B))

    def cells(self) -> Ints:
        """[N] the cell of each entry, ``row * I + item``."""
        return self.rows() * self.n_items + self.item_N

    def toarray(self) -> Floats:
        """[B, I] with its zeros."""
        dense = np.zeros((self.n_rows, self.n_items), np.float32)
        dense[self.rows(), self.item_N] = self.value_N
        return dense

    def add_to(self, score_BI: Floats, weight_BS: Floats, bucket_I: NDArray[np.integer]) -> None:
        """Add the entries to scores, in place, each times its row's weight for its item's bucket.

        Args:
            score_BI: [B, I], in C order.
            weight_BS: [B, S] of each row for each of S buckets.
            bucket_I: [I] of each item.
        """
        if can_compile():
            _add(score_BI, self.offsets_B, self.item_N, self.value_N, weight_BS, bucket_I)
        else:
            flat = score_BI.reshape(-1)
            flat[self.cells()] += self.weighted(weight_BS, bucket_I)

    def weighted(self, weight_BS: Floats, bucket_I: NDArray[np.integer]) -> Floats:
        """[N] what :meth:`add_to` adds for each entry."""
        slot_N = self.rows() * weight_BS.shape[1] + bucket_I[self.item_N]
        added_N: Floats = self.value_N * weight_BS.reshape(-1)[slot_N]
        return added_N

    def at(self, items_BP: Ints, bucket_I: NDArray[np.integer], n_buckets: int) -> At:
        """Values at some items of each row, and the row's sums by bucket.

        Args:
            items_BP: [B, P] items; where -1, the value means nothing.
            bucket_I: [I] bucket of each item.
            n_buckets: S.
        """
        if can_compile():
            value_BP = np.zeros(items_BP.shape, np.float32)
            sum_BS = np.zeros((self.n_rows, n_buckets), np.float32)
            own = (self.offsets_B, self.item_N, self.value_N)
            _at(*own, bucket_I, items_BP, value_BP, sum_BS)
            return At(value_BP, sum_BS)
        slot_N = self.rows() * n_buckets + bucket_I[self.item_N]
        total = np.bincount(slot_N, self.value_N, minlength=self.n_rows * n_buckets)
        return At(self._values(items_BP), total.reshape(-1, n_buckets).astype(np.float32))

    def _values(self, items_BP: Ints) -> Floats:
        wanted_I = np.zeros(self.n_items, np.bool_)
        wanted_I[items_BP] = True
        hit = np.flatnonzero(wanted_I[self.item_N])  # few of what is stored is asked for
        if not len(hit):
            return np.zeros(items_BP.shape, np.float32)
        key = self.cells()[hit]
        asked_BP = np.arange(self.n_rows)[:, None] * self.n_items + items_BP
        order = np.argsort(key)
        place_BP = np.searchsorted(key, asked_BP, sorter=order)
        near_BP = order[np.minimum(place_BP, len(key) - 1)]
        return np.where(key[near_BP] == asked_BP, self.value_N[hit[near_BP]], 0).astype(np.float32)


class At(NamedTuple):
    """See :meth:`Entries.at`: [B, P] values and [B, S] sums."""

    value_BP: Floats
    sum_BS: Floats


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
        wide = any(max(one.nnz, *one.shape) > NARROWEST for one in matrices)
        kind = np.int64 if wide else np.int32
        return cls(
            tuple(one.indptr.astype(kind, copy=False) for one in matrices),
            tuple(one.indices.astype(kind, copy=False) for one in matrices),
            tuple(one.data.astype(np.float32, copy=False) for one in matrices),
        )


def walked(histories: Interactions, weight_ME: Floats, steps: Steps) -> list[Entries]:
    """For each of M matrices what :func:`followed` gives, in one compiled pass.

    Args:
        histories: a batch.
        weight_ME: [M, E] of each event; 0 where its item is no row of the matrix.
        steps: the matrices, at least one.
    """
    n_items = histories.n_items
    events = (histories.offsets, histories.item, weight_ME)
    most, longest = _sizes(*events, steps.start_MI, n_items)
    # sums stand in a hash table with linear probing, twice as large as the longest row: it stays
    # in the nearest cache, however large the catalogue
    bits = max(4, (2 * longest - 1).bit_length())
    owner_S, place_S = np.full(1 << bits, -1, np.int64), np.empty(1 << bits, np.int64)
    ends_MB = np.zeros((len(weight_ME), histories.n_users + 1), np.int64)
    item_N, value_N = np.empty(most, steps.item_MN[0].dtype), np.empty(most, np.float32)
    _walk(*events, *steps, np.uint64(64 - bits), owner_S, place_S, ends_MB, item_N, value_N)
    first, last = ends_MB[:, 0].tolist(), ends_MB[:, -1].tolist()
    return [
        Entries(ends_B - start, item_N[start:end], value_N[start:end], n_items)
        for ends_B, start, end in zip(ends_MB, first, last, strict=True)
    ]


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


def summed_entries(key_N: Ints, value_N: Floats, shape: tuple[int, int]) -> Entries:
    """Entries from keys ``row * I + item``, in any order; what falls together is added up."""
    if not len(key_N):
        none = np.zeros(0, np.int64)
        return Entries(np.zeros(shape[0] + 1, np.int64), none, np.zeros(0, np.float32), shape[1])
    order = np.argsort(key_N, kind="stable")
    key = key_N[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    total = np.add.reduceat(value_N[order], first).astype(np.float32)
    row, item = np.divmod(key[first], shape[1])
    kept = total != 0
    offsets_B = np.searchsorted(row[kept], np.arange(shape[0] + 1))
    return Entries(offsets_B, item[kept], total[kept], shape[1])


# ---------------------------------------------------------------------- compiled


@Compiled
def _add(  # type: ignore[no-untyped-def]
    score_BI, offsets_B, item_N, value_N, weight_BS, bucket_I
):
    for row in range(len(offsets_B) - 1):
        for entry in range(offsets_B[row], offsets_B[row + 1]):
            item = item_N[entry]
            score_BI[row, item] += value_N[entry] * weight_BS[row, bucket_I[item]]


@Compiled
def _at(  # type: ignore[no-untyped-def]
    offsets_B, item_N, value_N, bucket_I, items_BP, value_BP, sum_BS
):
    stored_I = np.zeros(len(bucket_I), np.float32)
    for row in range(len(offsets_B) - 1):
        own = range(offsets_B[row], offsets_B[row + 1])
        for entry in own:
            item = item_N[entry]
            stored_I[item] = value_N[entry]
            sum_BS[row, bucket_I[item]] += value_N[entry]
        for place in range(items_BP.shape[1]):
            value_BP[row, place] = stored_I[items_BP[row, place]]
        for entry in own:
            stored_I[item_N[entry]] = 0.0


@Compiled
def _sizes(offsets_B, item_E, weight_ME, start_MI, n_items):  # type: ignore[no-untyped-def]
    """How many entries all products have at most, and how many the longest row."""
    most, longest = 0, 0
    for memory in range(len(start_MI)):
        start_I = start_MI[memory]
        for row in range(len(offsets_B) - 1):
            length = 0
            for event in range(offsets_B[row], offsets_B[row + 1]):
                if weight_ME[memory, event] != 0.0:
                    length += start_I[item_E[event] + 1] - start_I[item_E[event]]
            length = min(length, n_items)
            most, longest = most + length, max(longest, length)
    return most, longest


@Compiled
def _walk(  # type: ignore[no-untyped-def]
    offsets_B,
    item_E,
    weight_ME,
    start_MI,
    item_MN,
    value_MN,
    shift,
    owner_S,
    place_S,
    ends_MB,
    found,
    total,
):
    """Ends, items and sums of sparse products, entries in the order they are met in."""
    n_rows, size = len(offsets_B) - 1, 0
    for memory in range(len(start_MI)):
        start_I, item_N, value_N = start_MI[memory], item_MN[memory], value_MN[memory]
        ends_MB[memory, 0] = size
        for row in range(n_rows):
            owner = memory * n_rows + row
            for event in range(offsets_B[row], offsets_B[row + 1]):
                weight, source = weight_ME[memory, event], item_E[event]
                if weight == 0.0:
                    continue
                for entry in range(start_I[source], start_I[source + 1]):
                    item = item_N[entry]
                    slot = np.int64((np.uint64(item) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
                    while owner_S[slot] == owner and found[place_S[slot]] != item:
                        slot = (slot + 1) & (len(owner_S) - 1)
                    if owner_S[slot] != owner:
                        owner_S[slot], place_S[slot] = owner, size
                        found[size], total[size] = item, 0.0
                        size += 1
                    total[place_S[slot]] += weight * value_N[entry]
            ends_MB[memory, row + 1] = size
