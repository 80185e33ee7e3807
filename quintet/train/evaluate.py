"""Evaluation: every published ranking number comes through the serving scorer's ``rank``.

A target is one event; what may be recommended for it is the full catalogue without the user's
history (or with it, where the data repeats). Figures are averaged within a user first, and users
are what the bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.split import Part, Split
from quintet.errors import EmptyDataError
from quintet.metrics import (
    RankingMetrics,
    bootstrap_mean,
    coverage,
    exposure,
    gini,
    intra_list_diversity,
    novelty,
    serendipity,
)
from quintet.serve.scorer import Scorer

#: from histories to [B, K] item rows, best first, -1 where there are fewer
RankLists = Callable[[Interactions, int], Ints]

HEAVY, SHORT = 0.9, 0.1
BEYOND = 10  # places of a list that figures beyond accuracy are about


@dataclass(frozen=True)
class RankingResult:
    """Ranking figures by user, and what they were made from.

    Attributes:
        per_user: by metric, [U'] the figure of each user with targets.
        lists_NK: [N, K] recommended item rows of each target.
        targets: rows of the target events in the log.
        user_of_target: [N] index into the users of ``per_user``.
        beyond: figures of the lists as a whole.
    """

    per_user: dict[str, Floats]
    lists_NK: Ints
    targets: Ints
    user_of_target: Ints
    beyond: dict[str, float] = field(default_factory=dict)

    def summary(self, seed: int = 0) -> dict[str, Any]:
        """By metric: mean with a 95% bootstrap interval over users, or a bare figure."""
        figures: dict[str, Any] = {
            name: vars(bootstrap_mean(values, seed)) for name, values in self.per_user.items()
        }
        return figures | self.beyond


def evaluate_ranking(
    scorer: Scorer,
    split: Split,
    *,
    part: Part = Part.TEST,
    ks: Sequence[int] = (5, 10, 20),
    mask_history: bool = True,
    items: FeatureTable | None = None,
) -> RankingResult:
    """Rank the full catalogue for every target event of a part, through the serving scorer.

    As in training, what follows up an item or is not liked is no target of the ranking.
    """

    def lists(histories: Interactions, k: int) -> Ints:
        return scorer.rank(histories, k, mask_history=mask_history).items_BK

    target_E = scorer.evidence.model.shape.rules.targets(split.events)
    return evaluate_lists(lists, split, part=part, ks=ks, items=items, target_E=target_E)


def evaluate_lists(
    rank: RankLists,
    split: Split,
    *,
    part: Part = Part.TEST,
    ks: Sequence[int] = (5, 10, 20),
    items: FeatureTable | None = None,
    target_E: Mask | None = None,
) -> RankingResult:
    """The same figures for anything that ranks: a baseline is measured by the same code.

    Only events that ``target_E`` [E] marks are targets, where it is given.

    Raises:
        EmptyDataError: the part holds no target.
    """
    asked_E = split.part == part
    targets = np.flatnonzero(asked_E if target_E is None else asked_E & target_E)
    if not len(targets):
        raise EmptyDataError(
            f"none of the {int(asked_E.sum())} held-out event(s) is a target of the ranking: it "
            "opens an episode that is liked; give a longer log, or another split"
        )
    lists_NK = rank(split.events.before(targets), max(BEYOND, *ks))
    per_target = RankingMetrics(ks=tuple(ks)).compute(lists_NK, split.events.item[targets])
    users, user_of_target = np.unique(split.events.group()[targets], return_inverse=True)
    per_user = {
        name: user_means(values, user_of_target, len(users)) for name, values in per_target.items()
    }
    beyond = beyond_accuracy(lists_NK, split, targets, max_k=BEYOND, items=items)
    return RankingResult(per_user, lists_NK, targets, user_of_target, beyond)


def user_means(values_N: NDArray[Any], user_N: Ints, n_users: int) -> Floats:
    """[U] mean of each user's targets."""
    count = np.bincount(user_N, minlength=n_users)
    return (np.bincount(user_N, weights=values_N, minlength=n_users) / count).astype(np.float64)


def beyond_accuracy(
    lists_NK: Ints, split: Split, targets: Ints, max_k: int, items: FeatureTable | None
) -> dict[str, float]:
    """Coverage, Gini, novelty, diversity and serendipity of the first ``max_k``."""
    count_I = split.train.item_counts()
    n_items, k = split.events.n_items, max_k
    popular = np.argsort(-count_I, kind="stable")[:k]
    figures = {
        f"coverage@{k}": coverage(lists_NK, n_items, k),
        f"gini@{k}": gini(exposure(lists_NK, n_items, k)),
        f"novelty@{k}": float(np.nanmean(novelty(lists_NK, count_I, k))),
        f"serendipity@{k}": float(
            np.nanmean(serendipity(lists_NK, split.events.item[targets], popular, k))
        ),
    }
    columns = items.categories if items is not None else {}
    if columns:
        widest = max(columns.values(), key=lambda column: len(column.codes))
        diversity = intra_list_diversity(lists_NK, widest.counts(), k, similarity="jaccard")
        figures[f"diversity@{k}"] = float(np.nanmean(diversity))
    return figures


def slices(split: Split, result: RankingResult) -> dict[str, Mask]:
    """[U'] users by what makes them hard: rare targets, short histories, heavy use."""
    events, targets = split.events, result.targets
    length_N = events.positions()[targets]
    rare_N = split.train.item_counts()[events.item[targets]] < 5
    n = len(result.per_user["ndcg@10"])
    length_U = user_means(length_N, result.user_of_target, n)
    rare_U = user_means(rare_N, result.user_of_target, n) > 0.5
    low = np.quantile(length_U, SHORT, method="lower")  # lengths of users, as the labels say
    high = np.quantile(length_U, HEAVY, method="higher")
    return {
        "target is a cold or rare item (under 5 training events)": rare_U,
        f"short history (up to {low:.3g} events)": length_U <= low,
        f"heavy users ({high:.3g} events or more)": length_U >= high,
    }


def sliced(
    results: Mapping[str, RankingResult], split: Split, metric: str = "ndcg@10"
) -> dict[str, dict[str, dict[str, Any]]]:
    """By slice, by model: the metric with its interval; slices without users are left out."""
    first = next(iter(results.values()))
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for name, members in slices(split, first).items():
        if members.sum() >= 2:
            table[name] = {
                model: {metric: vars(bootstrap_mean(result.per_user[metric][members]))}
                for model, result in results.items()
            }
    return table
