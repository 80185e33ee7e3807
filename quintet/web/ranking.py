"""Lists for several people at once, by the same evidence and the same gates as offline.

:class:`Ranker` is :meth:`quintet.serve.scorer.Scorer.rank` with a mask and an adjustment of its own
for every person, and with the parts of each score, which are its reasons. What is kept of a person
from one answer to the next is the state (the history side of the inner products), never a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quintet.data.interactions import Floats, Ints, Mask
from quintet.nn.fusion import N_BUCKETS
from quintet.serve.explain import MOST_REASONS, WORDS
from quintet.serve.scorer import top_k
from quintet.serve.trained import Trained
from quintet.web.people import Person, batch

LARGEST_SHIFT = 3.0
SMALLEST_SHARE = 0.01


@dataclass(frozen=True)
class Wish:
    """What one person's list must keep to.

    Attributes:
        depth: how many candidates.
        exclude_seen: leave out the items of the history.
        allowed_I: [I] items that may be recommended.
        shift_I: [I] added to the fused scores: edits of the profile and the match of a query.
    """

    depth: int
    exclude_seen: bool
    allowed_I: Mask
    shift_I: Floats | None = None


@dataclass(frozen=True)
class Candidates:
    """The best items of one person.

    Attributes:
        items_C: [C] rows, best first.
        scores_C: [C] fused scores.
        part_CK: [C, K] each evidence's part of the score, above its mean over the catalogue.
    """

    items_C: Ints
    scores_C: Floats
    part_CK: Floats


class Ranker:
    """Ranks for one model.

    Args:
        trained: the model; never changed while it serves.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.scorer = scorer = trained.scorer
        self.names = scorer.evidence.names
        self.bucket_I = scorer.bucket_I.numpy()
        one_hot_IS = np.eye(N_BUCKETS, dtype=np.float32)[self.bucket_I] / len(self.bucket_I)
        # means over the catalogue, a bucket of items at a time: weights differ by bucket
        self.mean_SX = {
            name: torch.from_numpy(one_hot_IS.T) @ side.item_IX
            for name, side in scorer.evidence.linear.items()
        }
        self.popularity_S = scorer.evidence.popularity_I @ one_hot_IS

    @torch.no_grad()
    def rank(self, people: Sequence[Person], wishes: Sequence[Wish]) -> list[Candidates]:
        """The best items of every person."""
        scorer, n_items = self.scorer, len(self.trained.items)
        histories = batch(people, n_items)
        queries = self._queries(people)
        recalled = scorer.fused.recall(histories)
        score_BI = scorer.fused(histories, queries, recalled)
        empty_B = histories.lengths == 0
        if empty_B.any():
            score_BI[empty_B] = scorer.scores(histories.users(np.flatnonzero(empty_B)))
        for row, (one, wish) in enumerate(zip(people, wishes, strict=True)):
            if wish.shift_I is not None:
                score_BI[row] += wish.shift_I
            score_BI[row, ~wish.allowed_I] = -np.inf
            if wish.exclude_seen:
                score_BI[row, one.item] = -np.inf
        ranked = top_k(score_BI, max(wish.depth for wish in wishes), scorer.tie_I)
        weight_BSK = bucket_weights(
            self.trained, scorer.evidence.context(histories), empty_B, histories.owners()
        )
        answers = []
        for row, wish in enumerate(wishes):
            items = ranked.items_BK[row, : wish.depth]
            items = items[items >= 0]
            part_CK = self._parts(row, items, weight_BSK[row].numpy(), queries, recalled)
            answers.append(Candidates(items, ranked.scores_BK[row, : len(items)], part_CK))
        return answers

    def _queries(self, people: Sequence[Person]) -> dict[str, Tensor]:
        """[B, X] the history side of all inner products; kept with the person."""
        new = [one for one in people if not one.queries]
        if new:
            made = self.scorer.evidence.queries(batch(new, len(self.trained.items)))
            for row, one in enumerate(new):
                one.queries.update({name: query_BX[row] for name, query_BX in made.items()})
        return {name: torch.stack([one.queries[name] for one in people]) for name in self.mean_SX}

    def _parts(
        self,
        row: int,
        items: Ints,
        weight_SK: Floats,
        queries: Mapping[str, Tensor],
        recalled: Mapping[str, Any],
    ) -> Floats:
        """[C, K] each evidence's part of the scores of some items, above its catalogue mean."""
        evidence, bucket_C = self.scorer.evidence, self.bucket_I[items]
        part_CK = np.zeros((len(items), len(self.names)), np.float32)
        place_I = np.full(len(self.bucket_I), -1, np.int64)
        place_I[items] = np.arange(len(items))
        for k, name in enumerate(self.names):
            if name in queries:
                query_X = queries[name][row]
                value_C = (evidence.linear[name].item_IX[items] @ query_X).numpy()
                mean_S = (self.mean_SX[name] @ query_X).numpy()
            elif name in recalled:
                value_C, mean_S = self._recalled(recalled[name], row, items, place_I)
            else:
                value_C, mean_S = evidence.popularity_I[items], self.popularity_S
            part_CK[:, k] = value_C * weight_SK[bucket_C, k] - float(mean_S @ weight_SK[:, k])
        return part_CK

    def _recalled(self, found: Any, row: int, items: Ints, place_I: Ints) -> tuple[Floats, Floats]:
        """[C] what a memory recalls of some items, and [S] its mean by bucket."""
        if isinstance(found, np.ndarray):
            row_I, n = found[row], len(self.bucket_I)
            mean_S = np.bincount(self.bucket_I, weights=row_I, minlength=N_BUCKETS) / n
            return row_I[items], mean_S.astype(np.float32)
        span = slice(found.indptr[row], found.indptr[row + 1])
        index, data = found.indices[span], found.data[span]
        value_C = np.zeros(len(items), np.float32)
        place = place_I[index]
        value_C[place[place >= 0]] = data[place >= 0]
        total_S = np.bincount(self.bucket_I[index], weights=data, minlength=N_BUCKETS)
        return value_C, (total_S / len(self.bucket_I)).astype(np.float32)


def bucket_weights(trained: Trained, context_BF: Tensor, empty_B: Mask, owner_B: Ints) -> Tensor:
    """[B, S, K] the weight of each evidence for new, rare and well-known items."""
    scorer = trained.scorer
    gated_BSK = scorer.fusion.item_weights(context_BF, torch.arange(N_BUCKETS))
    if not empty_B.any():
        return gated_BSK
    towers = len(scorer.evidence.towers)
    fallback_BK = torch.zeros(len(empty_B), gated_BSK.shape[2])
    known_B1 = torch.from_numpy(owner_B >= 0).to(fallback_BK)[:, None]
    fallback_BK[:, :towers] = known_B1 / max(towers, 1)
    fallback_BK[:, -1] = 1.0
    return torch.where(torch.from_numpy(empty_B)[:, None, None], fallback_BK[:, None], gated_BSK)


def reasons(names: Sequence[str], part_K: Floats) -> list[dict[str, object]]:
    """The strongest evidence for an item, strongest first."""
    found: list[dict[str, object]] = []
    for index in np.argsort(-part_K)[:MOST_REASONS]:
        if part_K[index] <= 0:
            break
        name = names[index]
        found.append(
            {
                "evidence": name,
                "text": WORDS.get(name, name),
                "contribution": round(float(part_K[index]), 4),
                "because": [],
            }
        )
    return found


def interest_shift(trained: Trained, one: Person, predicted: Mapping[str, float]) -> Floats | None:
    """[I] what a person's wanted interests add: log(wanted / predicted) of an item's categories.

    Limited to 3 either way, so that a correction moves a list without emptying it. None where
    nothing was corrected, or the catalogue has no interests.
    """
    wanted = {n: w for n, w in (one.edits.get("interests") or {}).items() if w is not None}
    column = trained.model.shape.interest
    if not wanted or column is None:
        return None
    names = trained.model.shape.interest_names
    log_C = np.zeros(len(names), np.float32)
    for index, name in enumerate(names):
        if name in wanted:
            ratio = (wanted[name] + SMALLEST_SHARE) / (predicted.get(name, 0.0) + SMALLEST_SHARE)
            log_C[index] = np.clip(np.log(ratio), -LARGEST_SHIFT, LARGEST_SHIFT)
    categories = trained.item_features.categories[column]
    length = np.maximum(np.diff(categories.offsets), 1)
    rows = np.repeat(np.arange(len(length)), np.diff(categories.offsets))
    total = np.bincount(rows, weights=log_C[categories.codes], minlength=len(length))
    shift_I: Floats = (total / length).astype(np.float32)
    return shift_I
