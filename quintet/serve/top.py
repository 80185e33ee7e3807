"""The best of many scores, in an order that nothing but the scores and a seeded hash decides.

Shapes: B histories, I items, N scored pairs, K places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.compiled import Compiled, can_compile
from quintet.data.interactions import Floats, Ints

GROUP = 32
LEAST_GROUPS = 3  # times k: with fewer, so many would compete that it saves nothing
LEAST = np.finfo(np.float32).min  # above the -inf of what may not be recommended


@dataclass(frozen=True)
class Ranked:
    """Ordered items of B histories.

    Attributes:
        items_BK: [B, K] item rows, best first; -1 where fewer than K may be recommended.
        scores_BK: [B, K] fused scores; -inf where there is no item.
    """

    items_BK: Ints
    scores_BK: Floats

    @classmethod
    def empty(cls, n_rows: int, k: int) -> Ranked:
        """Nothing recommended yet."""
        return cls(np.full((n_rows, k), -1, np.int64), np.full((n_rows, k), -np.inf, np.float32))


def top_k(score_BI: Floats, k: int, tie_I: Ints) -> Ranked:
    """The ``k`` largest of every row; equal scores are ordered by a seeded hash of the item row.

    What is ``-inf`` or not a number is never among them.
    """
    n_rows, n_items = score_BI.shape
    # everything at or above the k-th score competes, so that a tie at the edge is broken fairly
    floor_B = np.maximum(_floor(score_BI, min(k, n_items)), LEAST)
    if can_compile():
        best = Ranked.empty(n_rows, k)
        _select(score_BI, floor_B, tie_I, best.items_BK, best.scores_BK)
        return best
    flat = np.flatnonzero(score_BI >= floor_B[:, None])
    row, column = np.divmod(flat, n_items)
    return best_of(row, column, score_BI.reshape(-1)[flat], n_rows, k, tie_I)


def best_of(row: Ints, column: Ints, value: Floats, n_rows: int, k: int, tie_I: Ints) -> Ranked:
    """The ``k`` best of scored pairs [N], row after row, for each row; ties as in :func:`top_k`."""
    best = Ranked.empty(n_rows, k)
    if can_compile():
        _insert(row, column, value, tie_I, best.items_BK, best.scores_BK)
        return best
    bits = value.view(np.int32).astype(np.int64)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # whole numbers in the order of the floats
    order = np.argsort((row << 32) - ordered)
    same = (np.diff(value[order]) == 0) & (np.diff(row[order]) == 0)
    if same.any():
        order = np.lexsort((tie_I[column], -value, row))
    row, column, value = row[order], column[order], value[order]
    slot = np.arange(len(row)) - np.searchsorted(row, np.arange(n_rows))[row]
    kept = slot < k
    best.items_BK[row[kept], slot[kept]] = column[kept]
    best.scores_BK[row[kept], slot[kept]] = value[kept]
    return best


def _floor(score_BI: Floats, k: int) -> Floats:
    """[B] a number that at least ``k`` scores of each row reach, and few more than that.

    The k-th largest of the maxima of disjoint groups: far fewer numbers to order than there are
    items, and as a group holds few, hardly lower than the k-th largest of all.
    """
    n_rows, n_items = score_BI.shape
    width = n_items // GROUP
    highest = score_BI
    if width >= LEAST_GROUPS * k:
        grouped = score_BI[:, : width * GROUP].reshape(n_rows, GROUP, width).max(1)
        highest = np.concatenate([grouped, score_BI[:, width * GROUP :]], axis=1)
    place = highest.shape[1] - k
    floor_B: Floats = np.partition(highest, place, axis=1)[:, place]
    return floor_B


# ---------------------------------------------------------------------- compiled


@Compiled
def _select(score_BI, floor_B, tie_I, items_BK, scores_BK):  # type: ignore[no-untyped-def]
    """Put every item that reaches its row's floor where it belongs among the best so far."""
    for row in range(len(score_BI)):
        score_I, floor = score_BI[row], floor_B[row]
        item_K, score_K = items_BK[row], scores_BK[row]
        size = 0
        for item in range(len(score_I)):
            score = score_I[item]
            if not score >= floor:
                continue
            place = size
            while place > 0 and (
                score_K[place - 1] < score
                or (score_K[place - 1] == score and tie_I[item_K[place - 1]] > tie_I[item])
            ):
                place -= 1
            size = min(size + 1, len(item_K))
            for behind in range(size - 1, place, -1):
                item_K[behind], score_K[behind] = item_K[behind - 1], score_K[behind - 1]
            if place < size:
                item_K[place], score_K[place] = item, score


@Compiled
def _insert(row_N, item_N, value_N, tie_I, items_BK, scores_BK):  # type: ignore[no-untyped-def]
    """Put every pair where it belongs among the best of its row so far."""
    for pair in range(len(row_N)):
        item, score = item_N[pair], value_N[pair]
        item_K, score_K = items_BK[row_N[pair]], scores_BK[row_N[pair]]
        place = len(item_K)
        while place > 0:
            other, best = item_K[place - 1], score_K[place - 1]
            if other >= 0 and (best > score or (best == score and tie_I[other] < tie_I[item])):
                break
            if place < len(item_K):
                item_K[place], score_K[place] = other, best
            place -= 1
        if place < len(item_K):
            item_K[place], score_K[place] = item, score
