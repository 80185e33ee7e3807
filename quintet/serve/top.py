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
    width = n_items // GROUP if n_items // GROUP >= LEAST_GROUPS * k else 0
    highest = _highest if can_compile() else _highest_by_arrays
    highest_BG = highest(score_BI, width)
    place = highest_BG.shape[1] - min(k, n_items)
    # everything at or above the k-th score competes, so that a tie at the edge is broken fairly
    floor_B = np.maximum(np.partition(highest_BG, place, axis=1)[:, place], LEAST)
    if can_compile():
        best = Ranked.empty(n_rows, k)
        _select(score_BI, width, highest_BG, floor_B, tie_I, best.items_BK, best.scores_BK)
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


def _highest_by_arrays(score_BI: Floats, width: int) -> Floats:
    """[B, G] the maxima of ``width`` disjoint groups, and what is left over as it is.

    The k-th largest of them is a number that at least k scores of the row reach, and few more than
    that: far fewer numbers to order than there are items, and as a group holds few, hardly lower
    than the k-th largest of all.
    """
    grouped_BNW = score_BI[:, : width * GROUP].reshape(len(score_BI), GROUP, width)
    left_over = score_BI[:, width * GROUP :]
    highest_BG: Floats = np.concatenate([np.fmax.reduce(grouped_BNW, axis=1), left_over], axis=1)
    highest_BG[np.isnan(highest_BG)] = -np.inf
    return highest_BG


# ---------------------------------------------------------------------- compiled


@Compiled
def _highest(score_BI, width):  # type: ignore[no-untyped-def]
    n_rows, n_left = len(score_BI), score_BI.shape[1] - width * GROUP
    highest_BG = np.full((n_rows, width + n_left), -np.inf, score_BI.dtype)
    for row in range(n_rows):
        score_I, highest_G = score_BI[row], highest_BG[row]
        for number in range(GROUP if width else 0):
            score_W = score_I[number * width : (number + 1) * width]  # a slice is vectorised
            for group in range(width):
                highest_G[group] = max(highest_G[group], score_W[group])
        for left in range(n_left):
            highest_G[width + left] = max(highest_G[width + left], score_I[width * GROUP + left])
    return highest_BG


@Compiled
def _select(  # type: ignore[no-untyped-def]
    score_BI, width, highest_BG, floor_B, tie_I, items_BK, scores_BK
):
    """Gather what reaches its row's floor, out of groups whose greatest does, and order it."""
    grouped, step = width * GROUP, max(width, 1)
    found_N = np.empty(score_BI.shape[1], np.int64)
    for row in range(len(score_BI)):
        score_I, highest_G, floor = score_BI[row], highest_BG[row], floor_B[row]
        size = 0
        for group in range(len(highest_G)):
            if highest_G[group] < floor:
                continue
            first = group if group < width else grouped + group - width
            for item in range(first, max(grouped, first + 1), step):
                if score_I[item] >= floor:
                    found_N[size] = item
                    size += 1
        for gap in (132, 57, 23, 10, 4, 1):  # Ciura's, of Shell's way to order
            for end in range(gap, size):
                item, place = found_N[end], end
                score = score_I[item]
                while place >= gap:
                    other = found_N[place - gap]
                    if score_I[other] > score or (
                        score_I[other] == score and tie_I[other] < tie_I[item]
                    ):
                        break
                    found_N[place] = other
                    place -= gap
                found_N[place] = item
        for place in range(min(size, items_BK.shape[1])):
            items_BK[row, place] = found_N[place]
            scores_BK[row, place] = score_I[found_N[place]]


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
