"""Why an item was recommended: the evidence that made the score, and the history behind it.

The fused score is a sum over kinds of evidence, so each one's part is exact. What a part owes to
the events of the history is exact for memories that are sums over events; for the towers it is
measured by leaving each recent event out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from quintet.data.interactions import Floats, Interactions

if TYPE_CHECKING:
    from quintet.serve.trained import Trained

#: how each kind of evidence is put to a person
WORDS = {
    "identity": "fits the order of what you did",
    "content": "its description fits what you chose",
    "stand_in": "its description fits people like you",
    "transitions": "often follows what you did lately",
    "last_item": "often comes right after your last one",
    "ease": "goes with your history",
    "item_cosine": "chosen by those who chose what you did",
    "item_pearson": "rated alike by the same people",
    "user_cosine": "chosen by people with your taste",
    "user_pearson": "liked by people who rate as you do",
    "content_memory": "its words match your history",
    "trend": "on the rise",
    "rating": "you would rate it high",
    "popularity": "popular",
}
OCCLUDED = 12
MOST_REASONS = 3


@dataclass(frozen=True)
class Reason:
    """One kind of evidence for an item.

    Attributes:
        evidence: its name.
        text: what it means, for a person.
        contribution: its part of the fused score above the catalogue's mean.
        because: ids of the history's items that it rests on most.
    """

    evidence: str
    text: str
    contribution: float
    because: list[Any] = field(default_factory=list)


def explain(trained: Trained, history: Interactions, item: int) -> list[Reason]:
    """The strongest reasons for ``item`` given ONE history, strongest first."""
    scorer = trained.scorer
    part_K = contributions(trained, history)[item]
    names = scorer.evidence.names
    reasons = []
    for index in np.argsort(-part_K)[:MOST_REASONS]:
        if part_K[index] <= 0:
            break
        name = names[index]
        behind = _behind(trained, history, item, name)
        text = WORDS.get(name, name)
        reasons.append(Reason(name, text, round(float(part_K[index]), 4), behind))
    return reasons


@torch.no_grad()
def contributions(trained: Trained, history: Interactions) -> Floats:
    """[I, K] each evidence's part of the fused score of ONE history, above its catalogue mean."""
    scorer = trained.scorer
    evidence_IK = scorer.evidence.evidence(history)[0]
    weight_K = scorer.fusion.weights(scorer.evidence.context(history))[0]
    part_IK = evidence_IK * weight_K * scorer.fusion.bucket_SK[scorer.bucket_I]
    return np.asarray((part_IK - part_IK.mean(0)).cpu().numpy(), np.float32)


def _behind(trained: Trained, history: Interactions, item: int, name: str) -> list[Any]:
    """Up to two items of the history that the evidence rests on."""
    if len(history) == 0 or name in ("popularity", "trend"):
        return []
    memory = trained.memories.get(name)
    part_N = memory.explain(history, item) if memory is not None else None
    if part_N is None:
        if memory is not None:
            return []
        part_N = occlusion(trained, history, item, name)
    best = [int(row) for row in np.argsort(-part_N) if part_N[row] > 0]
    rows = list(dict.fromkeys(int(history.item[row]) for row in best))[:2]
    return trained.items.ids(rows)


def occlusion(trained: Trained, history: Interactions, item: int, name: str) -> Floats:
    """[N] how far the evidence for ``item`` falls when each of the newest events is left out."""
    n = len(history)
    newest = np.arange(max(0, n - OCCLUDED), n)
    evidence = trained.scorer.evidence
    column = evidence.names.index(name)
    kept = np.concatenate([np.delete(np.arange(n), left_out) for left_out in newest])
    width = max(n - 1, 0)
    batch = Interactions(
        **{column: getattr(history, column)[kept] for column in _COLUMNS},
        offsets=np.arange(len(newest) + 1, dtype=np.int64) * width,
        n_items=history.n_items,
        owner=np.repeat(history.owners(), len(newest)),
    )
    whole = float(evidence.evidence(history)[0, item, column])
    without = evidence.evidence(batch)[:, item, column].cpu().numpy()
    result = np.zeros(n, np.float32)
    result[newest] = whole - without
    return result


_COLUMNS = ("user", "item", "time", "behaviour", "scenario", "value")
