"""What memories recall: the few of many scores that are not 0, with as little around as can be.

A sparse matrix of a library checks and orders itself at every step, which for a few histories takes
longer than all the arithmetic.

Shapes: B histories, I items, M memories, N entries, S buckets of items, P places of a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.compiled import Compiled, can_compile
from quintet.data.interactions import Floats, Ints
from quintet.memory.matrices import Matrix


@dataclass(frozen=True)
class Entries:
    """A matrix [B, I] as its entries, row after row; none stands twice.

    Attributes:
        offsets_B: [B + 1] where the entries of each row start, and where the last end.
        item_N: of each entry, in any order within a row; of 32 bits, since a loop would be compiled
            for each kind of numbers it meets.
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
        item_N = matrix.indices.astype(np.int32, copy=False)
        return cls(matrix.indptr.astype(np.int64), item_N, value_N, matrix.shape[1])

    @classmethod
    def stacked(cls, parts: Sequence[Entries], n_items: int) -> Entries:
        """[M * B, I] the rows of M matrices, one matrix below the other."""
        ends = np.cumsum([0, *(len(part) for part in parts)])
        offsets = [part.offsets_B[1:] + end for part, end in zip(parts, ends, strict=False)]
        return cls(
            np.concatenate([ends[:1], *offsets]),
            np.concatenate([np.zeros(0, np.int32), *(part.item_N for part in parts)]),
            np.concatenate([np.zeros(0, np.float32), *(part.value_N for part in parts)]),
            n_items,
        )

    @property
    def n_rows(self) -> int:
        """B."""
        return len(self.offsets_B) - 1

    def __len__(self) -> int:
        return len(self.item_N)

    def rows(self) -> Ints:
        """[N] the row of each entry."""
        return np.repeat(np.arange(self.n_rows), np.diff(self.offsets_B))

    def cells(self, n_rows: int | None = None) -> Ints:
        """[N] the cell of each entry, ``row * I + item``.

        Args:
            n_rows: B of the matrices that were :meth:`stacked`, for the cells of their sum.
        """
        row_N = self.rows() if n_rows is None else self.rows() % n_rows
        return row_N * self.n_items + self.item_N

    def toarray(self) -> Floats:
        """[B, I] with its zeros."""
        dense = np.zeros((self.n_rows, self.n_items), np.float32)
        dense[self.rows(), self.item_N] = self.value_N
        return dense

    def add_to(self, score_BI: Floats, weight_RS: Floats, bucket_I: NDArray[np.integer]) -> None:
        """Add the entries to scores, in place, each times its row's weight for its item's bucket.

        Args:
            score_BI: [B, I], in C order; where the rows are those of several matrices of B rows
                (:meth:`stacked`), all are added.
            weight_RS: [R, S] of each row for each of S buckets.
            bucket_I: [I] of each item.
        """
        if can_compile():
            _add(score_BI, self.offsets_B, self.item_N, self.value_N, weight_RS, bucket_I)
        else:
            cells = self.cells(len(score_BI))
            np.add.at(score_BI.reshape(-1), cells, self.weighted(weight_RS, bucket_I))

    def weighted(self, weight_RS: Floats, bucket_I: NDArray[np.integer]) -> Floats:
        """[N] what :meth:`add_to` adds for each entry."""
        slot_N = self.rows() * weight_RS.shape[1] + bucket_I[self.item_N]
        added_N: Floats = self.value_N * weight_RS.reshape(-1)[slot_N]
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


def summed_entries(key_N: Ints, value_N: Floats, shape: tuple[int, int]) -> Entries:
    """Entries from keys ``row * I + item``, in any order; what falls together is added up."""
    if not len(key_N):
        none = np.zeros(0, np.int32)
        return Entries(np.zeros(shape[0] + 1, np.int64), none, np.zeros(0, np.float32), shape[1])
    order = np.argsort(key_N, kind="stable")
    key = key_N[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    total = np.add.reduceat(value_N[order], first).astype(np.float32)
    row, item = np.divmod(key[first], shape[1])
    kept = total != 0
    offsets_B = np.searchsorted(row[kept], np.arange(shape[0] + 1))
    return Entries(offsets_B, item[kept].astype(np.int32), total[kept], shape[1])


# ---------------------------------------------------------------------- compiled


@Compiled
def _add(  # type: ignore[no-untyped-def]
    score_BI, offsets_R, item_N, value_N, weight_RS, bucket_I
):
    for row in range(len(offsets_R) - 1):
        score_I, weight_S = score_BI[row % len(score_BI)], weight_RS[row]
        for entry in range(offsets_R[row], offsets_R[row + 1]):
            item = item_N[entry]
            score_I[item] += value_N[entry] * weight_S[bucket_I[item]]


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
