"""Ranking metrics for top-k lists: one value a user, so that they can be bootstrapped.

Shapes: U users, K slots of a list (best first, -1 where a slot is empty), I items. All gains are
binary: an item is relevant or it is not. A user without a relevant item has no value: NaN. Leave
such users out before averaging.

The measures are those of Järvelin and Kekäläinen (2002, NDCG), Voorhees (1999, reciprocal rank) and
Manning, Raghavan and Schütze (2008, chapter 8, precision, recall, average precision).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, DataError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
#: comparisons of one block of users in :func:`rank_of_target`
BLOCK_CELLS = 1 << 24


@dataclass(frozen=True)
class Relevant:
    """The relevant items of each user as compressed sparse rows; an item counts once a user.

    Attributes:
        offsets: [U + 1] where each user's items start.
        items: [N] item rows, ascending within a user.
    """

    offsets: Ints
    items: Ints

    @classmethod
    def of(cls, targets: Targets) -> Relevant:
        """From a single target a user [U] (-1: none), from (offsets, items), or as it is.

        Raises:
            DataError: the offsets do not fit the items.
        """
        if isinstance(targets, Relevant):
            return targets
        if isinstance(targets, tuple):
            offsets, items = (np.asarray(part, np.int64) for part in targets)
            if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(items):
                raise DataError(
                    f"relevant items: offsets must run from 0 to {len(items)}, the number of items"
                )
            if np.any(np.diff(offsets) < 0) or np.any(items < 0):
                raise DataError("relevant items: offsets must not fall, item rows must not be < 0")
            user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        else:
            target_U = np.asarray(targets, np.int64)
            user = np.flatnonzero(target_U >= 0)
            offsets, items = np.zeros(len(target_U) + 1, np.int64), target_U[user]
        return cls._from_pairs(user, items, len(offsets) - 1)

    @classmethod
    def _from_pairs(cls, user: Ints, item: Ints, n_users: int) -> Relevant:
        stride = int(item.max(initial=0)) + 1
        user, item = np.divmod(np.unique(user * stride + item), stride)
        offsets = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(user, minlength=n_users), out=offsets[1:])
        return cls(offsets, item)

    @property
    def counts(self) -> Ints:
        """[U] how many items are relevant to each user."""
        return np.diff(self.offsets)


#: a single target a user [U], or (offsets [U + 1], items [N]), or a ``Relevant``
Targets = Relevant | tuple[NDArray[np.integer], NDArray[np.integer]] | NDArray[np.integer]


def hits(recommended_UK: NDArray[np.integer], relevant: Targets) -> Mask:
    """[U, K] true where the recommended item is relevant to the user.

    Raises:
        DataError: the shapes do not fit, or a list names an item twice (it would count twice).
    """
    wanted = Relevant.of(relevant)
    lists_UK = np.asarray(recommended_UK, np.int64)
    if lists_UK.ndim != 2 or len(lists_UK) != len(wanted.counts):
        raise DataError(
            f"recommended lists have shape {lists_UK.shape}; expected [{len(wanted.counts)}, K], "
            "a row for each user of the relevant items"
        )
    _refuse_repeats(lists_UK)
    stride = int(max(lists_UK.max(initial=0), wanted.items.max(initial=0))) + 1
    user = np.repeat(np.arange(len(lists_UK)), wanted.counts)
    keys_UK = np.arange(len(lists_UK))[:, None] * stride + lists_UK
    # sorted by construction: users ascend, and items ascend within a user
    found_UK = _is_among(keys_UK, user * stride + wanted.items)
    return found_UK & (lists_UK >= 0)


def hit_rate(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] 1 if any of the first k items is relevant, else 0."""
    return _per_user(recommended_UK, relevant, k, _hit_rate)


def recall(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] share of the user's relevant items that stand among the first k."""
    return _per_user(recommended_UK, relevant, k, _recall)


def precision(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] share of the first k slots that hold a relevant item; empty slots count as misses."""
    return _per_user(recommended_UK, relevant, k, _precision)


def f1(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] harmonic mean of precision and recall at k; 0 where nothing was hit."""
    return _per_user(recommended_UK, relevant, k, _f1)


def ndcg(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] discounted gain over the best possible one: Σ hit_j / log2(j + 1), j from 1 to k.

    The ideal list holds min(k, number of relevant items) hits at its top.
    """
    return _per_user(recommended_UK, relevant, k, _ndcg)


def mrr(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] 1 / position of the first relevant item among the first k, else 0."""
    return _per_user(recommended_UK, relevant, k, _mrr)


def average_precision(recommended_UK: NDArray[np.integer], relevant: Targets, k: int) -> Values:
    """[U] Σ_j hit_j · precision@j / min(k, number of relevant items); its mean is MAP@k."""
    return _per_user(recommended_UK, relevant, k, _average_precision)


def _hit_rate(hit_Uk: Mask, counts_U: Ints) -> Values:
    del counts_U
    return np.asarray(hit_Uk.any(axis=1), np.float64)


def _recall(hit_Uk: Mask, counts_U: Ints) -> Values:
    return np.asarray(hit_Uk.sum(axis=1) / counts_U)


def _precision(hit_Uk: Mask, counts_U: Ints) -> Values:
    del counts_U
    return np.asarray(hit_Uk.sum(axis=1) / hit_Uk.shape[1])


def _f1(hit_Uk: Mask, counts_U: Ints) -> Values:
    # 2PR / (P + R) with P = hits / k and R = hits / n is 2 hits / (k + n)
    return np.asarray(2 * hit_Uk.sum(axis=1) / (hit_Uk.shape[1] + counts_U))


def _ndcg(hit_Uk: Mask, counts_U: Ints) -> Values:
    k = hit_Uk.shape[1]
    discount_k = 1 / np.log2(np.arange(2, k + 2))
    ideal_k = np.cumsum(discount_k)
    gain_U = (hit_Uk * discount_k).sum(axis=1)
    return np.asarray(gain_U / ideal_k[np.clip(counts_U, 1, k) - 1])


def _mrr(hit_Uk: Mask, counts_U: Ints) -> Values:
    del counts_U
    first_U = hit_Uk.argmax(axis=1) + 1.0
    return np.asarray(np.where(hit_Uk.any(axis=1), 1 / first_U, 0.0))


def _average_precision(hit_Uk: Mask, counts_U: Ints) -> Values:
    k = hit_Uk.shape[1]
    precision_Uk = np.cumsum(hit_Uk, axis=1) / np.arange(1, k + 1)
    return np.asarray((hit_Uk * precision_Uk).sum(axis=1) / np.clip(counts_U, 1, k))


_METRICS: dict[str, Callable[[Mask, Ints], Values]] = {
    "hr": _hit_rate,
    "recall": _recall,
    "precision": _precision,
    "f1": _f1,
    "ndcg": _ndcg,
    "mrr": _mrr,
    "map": _average_precision,
}


@dataclass(frozen=True)
class RankingMetrics:
    """Several ranking metrics at several cut-offs from one comparison of the lists.

    Attributes:
        ks: the cut-offs.
        names: some of hr, recall, precision, f1, ndcg, mrr, map.
    """

    ks: Sequence[int] = (5, 10, 20)
    names: Sequence[str] = tuple(_METRICS)

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in _METRICS]
        if unknown:
            raise ConfigError(
                f"unknown ranking metric {unknown[0]!r}; valid: {', '.join(_METRICS)}"
            )

    def compute(self, recommended_UK: NDArray[np.integer], relevant: Targets) -> dict[str, Values]:
        """``"ndcg@10"`` and so on -> [U] values.

        Raises:
            DataError: see :func:`hits`; or the lists are shorter than a cut-off.
        """
        wanted = Relevant.of(relevant)
        hit_UK = hits(recommended_UK, wanted)
        return {
            f"{name}@{k}": _evaluate(hit_UK, wanted.counts, k, _METRICS[name])
            for name in self.names
            for k in self.ks
        }


def rank_of_target(
    scores_UI: NDArray[np.floating],
    target_U: NDArray[np.integer],
    *,
    tie_key_I: NDArray[np.integer] | None = None,
) -> Ints:
    """[U] position of each user's target among all items, from 1.

    Items that must not be recommended carry -inf. A target that carries -inf itself was not ranked
    and stands behind the catalogue, at I + 1.

    Args:
        scores_UI: [U, I] scores, higher is better.
        target_U: [U] item row of each target.
        tie_key_I: [I] orders equal scores, least key first; give a seeded hash of the item rows,
            which is right on average and does not depend on how users are batched. Without it the
            target stands behind all items of equal score (pessimistic).

    Raises:
        DataError: a score is NaN (it would compare as a hit), or a target is not an item row.
    """
    scores, target = np.asarray(scores_UI), np.asarray(target_U, np.int64)
    n_users, n_items = scores.shape
    if target.shape != (n_users,) or np.any((target < 0) | (target >= n_items)):
        raise DataError(f"targets must be [{n_users}] item rows from 0 to {n_items - 1}")
    rank_U = np.empty(n_users, np.int64)
    step = max(1, BLOCK_CELLS // max(n_items, 1))
    for start in range(0, n_users, step):
        rows = slice(start, min(start + step, n_users))
        rank_U[rows] = _block_ranks(scores[rows], target[rows], tie_key_I, start)
    return rank_U


def _block_ranks(
    scores_BI: NDArray[np.floating],
    target_B: Ints,
    tie_key_I: NDArray[np.integer] | None,
    first: int,
) -> Ints:
    broken = np.isnan(scores_BI).any(axis=1)
    if broken.any():
        raise DataError(f"row {first + int(broken.argmax())} of the scores holds NaN")
    own_B = np.take_along_axis(scores_BI, target_B[:, None], axis=1)
    if tie_key_I is None:
        rank_B = (scores_BI >= own_B).sum(axis=1)
    else:
        before_BI = (scores_BI == own_B) & (tie_key_I < tie_key_I[target_B][:, None])
        rank_B = 1 + ((scores_BI > own_B) | before_BI).sum(axis=1)
    unranked_B = np.isneginf(own_B[:, 0])
    return np.asarray(np.where(unranked_B, scores_BI.shape[1] + 1, rank_B), np.int64)


def metrics_of_ranks(rank_U: NDArray[np.integer], ks: Iterable[int]) -> dict[str, Values]:
    """``hr@k``, ``ndcg@k`` and ``mrr@k`` [U] of single targets at the given positions (from 1).

    With one relevant item the ideal gain is 1, so NDCG is 1 / log2(rank + 1).
    """
    rank = np.asarray(rank_U, np.float64)
    values: dict[str, Values] = {}
    for k in ks:
        inside = rank <= k
        values[f"hr@{k}"] = inside.astype(np.float64)
        values[f"ndcg@{k}"] = np.where(inside, 1 / np.log2(rank + 1), 0.0)
        values[f"mrr@{k}"] = np.where(inside, 1 / rank, 0.0)
    return values


def _per_user(
    recommended_UK: NDArray[np.integer],
    relevant: Targets,
    k: int,
    metric: Callable[[Mask, Ints], Values],
) -> Values:
    wanted = Relevant.of(relevant)
    return _evaluate(hits(recommended_UK, wanted), wanted.counts, k, metric)


def _evaluate(
    hit_UK: Mask, counts_U: Ints, k: int, metric: Callable[[Mask, Ints], Values]
) -> Values:
    check_cutoff(hit_UK.shape[1], k)
    values = metric(hit_UK[:, :k], np.maximum(counts_U, 1))
    return np.where(counts_U > 0, values, np.nan)


def check_cutoff(slots: int, k: int) -> None:
    """Refuse a cut-off that the lists do not reach: the figure would carry a false label.

    Raises:
        DataError: k is below 1 or above the number of slots.
    """
    if not 1 <= k <= slots:
        raise DataError(
            f"k = {k}, but the lists have {slots} slots; ask for longer lists, or pad them with -1 "
            "if there are no more items"
        )


def _is_among(keys: Ints, ordered: Ints) -> Mask:
    if len(ordered) == 0:
        return np.zeros(keys.shape, bool)
    place = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[place] == keys)


def _refuse_repeats(lists_UK: Ints) -> None:
    ordered_UK = np.sort(lists_UK, axis=1)
    repeated = (ordered_UK[:, 1:] == ordered_UK[:, :-1]) & (ordered_UK[:, 1:] >= 0)
    if repeated.any():
        row, slot = np.argwhere(repeated)[0]
        raise DataError(
            f"row {row} of the recommended lists names item {ordered_UK[row, slot]} twice; "
            "remove repeats before measuring"
        )
