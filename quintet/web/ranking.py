"""Lists for several people at once, by the same evidence and the same gates as offline.

``rank_batch`` is :meth:`quintet.serve.scorer.Scorer.rank` with a mask and an adjustment of its own
for every person, and with the parts of each score, which are its reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quintet.data.interactions import Floats, Ints, Mask
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


@torch.no_grad()
def rank_batch(
    trained: Trained, people: Sequence[Person], wishes: Sequence[Wish]
) -> list[Candidates]:
    """The best items of every person."""
    scorer = trained.scorer
    histories = batch(people, len(trained.items))
    evidence_BIK = scorer.evidence.evidence(histories)
    context_BF = scorer.evidence.context(histories)
    weight_BSK = bucket_weights(trained, context_BF, histories.lengths == 0, histories.owners())
    score_BI = fused(evidence_BIK, weight_BSK, scorer.bucket_I).cpu().numpy()
    masked_BI = score_BI.copy()
    for row, (one, wish) in enumerate(zip(people, wishes, strict=True)):
        if wish.shift_I is not None:
            masked_BI[row] += wish.shift_I
        masked_BI[row, ~wish.allowed_I] = -np.inf
        if wish.exclude_seen:
            masked_BI[row, one.item] = -np.inf
    depth = max(wish.depth for wish in wishes)
    ranked = top_k(masked_BI, depth, scorer.tie_I)
    mean_BSK = evidence_BIK.mean(1)[:, None] * weight_BSK
    answers = []
    for row, wish in enumerate(wishes):
        items = ranked.items_BK[row, : wish.depth]
        items = items[items >= 0]
        bucket = scorer.bucket_I[torch.from_numpy(items)]
        part_CK = evidence_BIK[row, items] * weight_BSK[row, bucket] - mean_BSK[row, bucket]
        answers.append(
            Candidates(items, ranked.scores_BK[row, : len(items)], part_CK.cpu().numpy())
        )
    return answers


def bucket_weights(trained: Trained, context_BF: Tensor, empty_B: Mask, owner_B: Ints) -> Tensor:
    """[B, 3, K] the weight of each evidence for new, rare and well-known items."""
    scorer = trained.scorer
    gated_BSK = scorer.fusion.item_weights(context_BF, torch.arange(3))
    if not empty_B.any():
        return gated_BSK
    towers = len(scorer.evidence.towers)
    fallback_BK = torch.zeros(len(empty_B), gated_BSK.shape[2])
    known_B1 = torch.from_numpy(owner_B >= 0).to(fallback_BK)[:, None]
    fallback_BK[:, :towers] = known_B1 / max(towers, 1)
    fallback_BK[:, -1] = 1.0
    return torch.where(torch.from_numpy(empty_B)[:, None, None], fallback_BK[:, None], gated_BSK)


def fused(evidence_BIK: Tensor, weight_BSK: Tensor, bucket_I: Tensor) -> Tensor:
    """[B, I] fused scores: every item by the weights of its bucket."""
    score_BIS = evidence_BIK @ weight_BSK.transpose(1, 2)
    index_BI1 = bucket_I[None, :, None].expand(len(score_BIS), -1, 1)
    return score_BIS.gather(2, index_BI1).squeeze(2)


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
