"""What accuracy does not see: how much of the catalogue is shown, how new, how varied.

Shapes: U users, K slots of a list (best first, -1 where a slot is empty), I items. Values that
exist for each user come as [U] arrays, NaN where a user's list is too short to say anything.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DataError, EmptyDataError
from quintet.metrics.ranking import Ints, Relevant, Targets, Values, check_cutoff, hits

#: numbers held at once while lists are compared pairwise
BLOCK_CELLS = 1 << 22


def exposure(recommended_UK: NDArray[np.integer], n_items: int, k: int) -> Ints:
    """[I] in how many of the users' first k slots each item stands."""
    top_Uk = _top(recommended_UK, k)
    return np.bincount(top_Uk[top_Uk >= 0], minlength=n_items).astype(np.int64)


def coverage(recommended_UK: NDArray[np.integer], n_items: int, k: int) -> float:
    """Share of the catalogue that at least one user sees among the first k.

    Raises:
        EmptyDataError: the catalogue is empty.
    """
    _need_items(n_items)
    return float((exposure(recommended_UK, n_items, k) > 0).mean())


def gini(exposure_I: NDArray[np.integer] | NDArray[np.floating]) -> float:
    """Inequality of exposure: 0 if all items are shown alike, 1 - 1/I if only one is shown.

    ``G = Σ_i (2 i - I - 1) e_i / (I Σ e)`` with exposures ``e`` ascending and ``i`` from 1. Items
    that are never shown count; NaN if nothing was shown at all.

    Raises:
        EmptyDataError: the catalogue is empty.
    """
    ordered = np.sort(np.asarray(exposure_I, np.float64))
    n_items = len(ordered)
    _need_items(n_items)
    total = ordered.sum()
    if total <= 0:
        return float("nan")
    weight = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weight @ ordered / (n_items * total))


def novelty(
    recommended_UK: NDArray[np.integer],
    train_counts_I: NDArray[np.integer],
    k: int,
    *,
    total: float | None = None,
) -> Values:
    """[U] mean self-information -log2 p(item) of the first k items, in bits (Zhou et al. 2010).

    Args:
        recommended_UK: [U, K] item rows.
        train_counts_I: [I] training events of each item.
        k: the cut-off.
        total: what makes a count a probability: all events by default; the number of users gives
            the mean inverse user frequency. An item without events is read as one event, for its
            information would be infinite.

    Raises:
        EmptyDataError: there are no training events.
    """
    counts = np.asarray(train_counts_I, np.float64)
    denominator = float(counts.sum()) if total is None else float(total)
    if denominator <= 0:
        raise EmptyDataError("novelty needs training events; all item counts are 0")
    bits_I = -np.log2(np.maximum(counts, 1) / denominator)
    top_Uk = _top(recommended_UK, k)
    filled_Uk = top_Uk >= 0
    return _ratio(np.where(filled_Uk, bits_I[top_Uk], 0.0).sum(axis=1), filled_Uk.sum(axis=1))


def intra_list_diversity(
    recommended_UK: NDArray[np.integer],
    items_IC: NDArray[np.floating],
    k: int,
    *,
    similarity: Literal["cosine", "jaccard"] = "cosine",
) -> Values:
    """[U] 1 - mean similarity over the pairs of the first k items (Ziegler et al. 2005).

    Items whose row is all zero have no known content: pairs with them are left out, rather than
    passed off as different. NaN where no pair is left.

    Args:
        recommended_UK: [U, K] item rows.
        items_IC: [I, C] item vectors for "cosine", multi-hot categories for "jaccard".
        k: the cut-off.
        similarity: cosine of the vectors, or shared categories over all categories of the pair.
    """
    top_Uk = _top(recommended_UK, k)
    table_IC = np.asarray(items_IC, np.float64)
    parts = [np.empty(0)]
    step = max(1, BLOCK_CELLS // (k * max(table_IC.shape[1], k)))
    for start in range(0, len(top_Uk), step):
        rows_Bk = top_Uk[start : start + step]
        content_BkC = np.where(rows_Bk[:, :, None] >= 0, table_IC[rows_Bk], 0.0)
        pairs_B, similar_B = (_cosine if similarity == "cosine" else _jaccard)(content_BkC)
        parts.append(1 - _ratio(similar_B, pairs_B))
    return np.concatenate(parts)


def serendipity(
    recommended_UK: NDArray[np.integer],
    relevant: Targets,
    primitive: NDArray[np.integer],
    k: int,
) -> Values:
    """[U] share of the first k slots that are relevant and that a primitive recommender misses.

    After Ge, Delgado-Battenfeld and Jannach (2010): what is unexpected is the list less a primitive
    list (here the most popular items), what is serendipitous is the useful part of it. Divided by
    k, so that precision@k = serendipity + the share of expected hits. NaN for a user without a
    relevant item.

    Args:
        recommended_UK: [U, K] item rows.
        relevant: the relevant items, see :func:`quintet.metrics.ranking.hits`.
        primitive: [P] one list for all, or [U, P] a list for each user (-1: empty slot).
        k: the cut-off.

    Raises:
        DataError: the primitive lists do not fit the users.
    """
    top_Uk = _top(recommended_UK, k)
    expected_Uk = _expected(top_Uk, np.asarray(primitive, np.int64))
    wanted = Relevant.of(relevant)
    share_U = (hits(top_Uk, wanted) & ~expected_Uk).mean(axis=1)
    return np.where(wanted.counts > 0, share_U, np.nan)


def _expected(top_Uk: Ints, primitive: Ints) -> NDArray[np.bool_]:
    if primitive.ndim == 1:
        return np.isin(top_Uk, primitive)
    if primitive.ndim != 2 or len(primitive) != len(top_Uk):
        raise DataError(
            f"primitive lists have shape {primitive.shape}; expected [P] or [{len(top_Uk)}, P]"
        )
    stride = int(max(top_Uk.max(initial=0), primitive.max(initial=0))) + 2
    user_U1 = np.arange(len(top_Uk))[:, None] * stride
    return np.isin(top_Uk + user_U1, primitive + user_U1)


def _cosine(content_BkC: Values) -> tuple[Values, Values]:
    """Pairs and the sum of their similarities [B]; Σ_{a<b} v_a·v_b = (|Σ v|² - Σ |v|²) / 2."""
    length_Bk = np.sqrt((content_BkC**2).sum(axis=2))
    known_Bk = length_Bk > 0
    unit_BkC = content_BkC / np.where(known_Bk, length_Bk, 1.0)[:, :, None]
    known_B = known_Bk.sum(axis=1)
    similar_B = ((unit_BkC.sum(axis=1) ** 2).sum(axis=1) - known_B) / 2
    return known_B * (known_B - 1) / 2, similar_B


def _jaccard(content_BkC: Values) -> tuple[Values, Values]:
    """Pairs and the sum of their similarities [B]: shared categories over all of the pair."""
    flags_BkC = (content_BkC > 0).astype(np.float64)
    size_Bk = flags_BkC.sum(axis=2)
    shared_Bkk = flags_BkC @ flags_BkC.transpose(0, 2, 1)
    union_Bkk = size_Bk[:, :, None] + size_Bk[:, None, :] - shared_Bkk
    similar_Bkk = shared_Bkk / np.maximum(union_Bkk, 1)
    known_B = (size_Bk > 0).sum(axis=1)
    # the diagonal holds a 1 for every known item; each pair stands twice
    return known_B * (known_B - 1) / 2, (similar_Bkk.sum(axis=(1, 2)) - known_B) / 2


def _top(recommended_UK: NDArray[np.integer], k: int) -> Ints:
    lists_UK = np.asarray(recommended_UK, np.int64)
    if lists_UK.ndim != 2:
        raise DataError(f"recommended lists have shape {lists_UK.shape}; expected [U, K]")
    check_cutoff(lists_UK.shape[1], k)
    return lists_UK[:, :k]


def _ratio(part_U: NDArray[np.number], whole_U: NDArray[np.number]) -> Values:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole_U > 0, part_U / whole_U, np.nan)


def _need_items(n_items: int) -> None:
    if n_items < 1:
        raise EmptyDataError("the catalogue is empty: exposure cannot be measured")
