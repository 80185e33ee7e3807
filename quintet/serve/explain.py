"""Why an item was recommended: the evidence that made the score, and the history behind it.

The fused score is a sum over kinds of evidence, so each one's part is exact. What a part owes to
the items of the history is measured by leaving each of them out: an item is cited only if the
evidence, as it is served, is lower without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from quintet.data.interactions import Floats, Interactions, Ints, rows_of
from quintet.memory.base import Memory
from quintet.memory.channel import part_name

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
    "session_neighbours": "chosen in visits like yours",
    "stan": "chosen at this point of visits like yours",
    "repeat": "you may come back to it",
    "content_memory": "its words match your history",
    "content_ridge": "the kind of thing you choose",
    "content_neighbours": "its words are like those of what you chose",
    "conversion": "looked at, and often taken then",
    "graph": "a few steps from what you chose, by way of others",
    "trend": "on the rise",
    "rating": "you would rate it high",
    "popularity": "popular",
}
OCCLUDED = 12
MOST_REASONS = 3
LEAST_FALL = 1e-5  # what rounding alone may do


def in_words(name: str) -> str:
    """How evidence is put to a person; that of single behaviours as that of all."""
    part = part_name(name)
    return WORDS.get(part, part)


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
    names = trained.scorer.evidence.names
    part_IK, own_IK = contributions(trained, history)
    part_K = spoken_for(part_IK[item], own_IK[item])
    reasons = []
    for index in np.argsort(-part_K)[:MOST_REASONS]:
        if part_K[index] <= 0:
            break
        name = names[index]
        behind = _behind(trained, history, item, name)
        reasons.append(Reason(name, in_words(name), round(float(part_K[index]), 4), behind))
    return reasons


@torch.no_grad()
def contributions(trained: Trained, history: Interactions) -> tuple[Floats, Floats]:
    """Each evidence's part of the fused score of ONE history.

    Returns:
        [I, K] the parts above their catalogue mean, and as they are.
    """
    scorer = trained.scorer
    part_IK = scorer.evidence.evidence(history)[0] * scorer.weights(history)[0]
    own_IK = np.asarray(part_IK.cpu().numpy(), np.float32)
    mean_K = own_IK.mean(0)
    met = np.unique(history.item)
    met = met[~scorer.fused.new_I.cpu().numpy()[met]]
    own_IK[met] = scorer.fused.as_met(own_IK[met])
    return np.asarray(own_IK - mean_K, np.float32), own_IK


def spoken_for(part: Floats, own: Floats) -> Floats:
    """What may be told of parts above the mean, in place: less of a loss is no reason."""
    return np.minimum(part, 0, out=part, where=own <= 0)


def _behind(trained: Trained, history: Interactions, item: int, name: str) -> list[Any]:
    """Up to two items of the history without which the evidence is lower."""
    if len(history) == 0 or name in ("popularity", "trend"):
        return []
    suspects = _suspects(trained, history, item, name)
    fall_M = occlusion(trained, history, item, name, suspects)
    order = np.argsort(-fall_M, kind="stable")
    return trained.items.ids(suspects[order[fall_M[order] > LEAST_FALL][:2]])


def _suspects(trained: Trained, history: Interactions, item: int, name: str) -> Ints:
    """[M] distinct items: those that a memory says it rests on most, else the newest."""
    memory = _memory(trained, name)
    part_N = memory.explain(history, item) if memory is not None else None
    order = np.arange(len(history))[::-1] if part_N is None else np.argsort(-part_N)
    return np.array(list(dict.fromkeys(history.item[order].tolist()))[:OCCLUDED], np.int64)


def occlusion(
    trained: Trained, history: Interactions, item: int, name: str, left_out: Ints
) -> Floats:
    """[M] how far the evidence for ``item`` falls when each of M items was never met."""
    kept_MN = history.item[None, :] != left_out[:, None]
    batch = Interactions(
        **{
            column: np.tile(getattr(history, column), len(left_out))[kept_MN.ravel()]
            for column in _COLUMNS
        },
        offsets=np.concatenate([[0], np.cumsum(kept_MN.sum(1))]).astype(np.int64),
        n_items=history.n_items,
        owner=np.repeat(history.owners(), len(left_out)),
    )
    if history.request is not None:
        everywhere = np.zeros(len(left_out), np.int64)
        batch = batch.asking(rows_of(history.request, everywhere))
    whole = _column(trained, history, name)[0, item]
    return np.asarray(whole - _column(trained, batch, name)[:, item], np.float32)


def _column(trained: Trained, histories: Interactions, name: str) -> Floats:
    """[B, I] one kind of evidence."""
    evidence, memory = trained.scorer.evidence, _memory(trained, name)
    if memory is not None:
        return evidence.recalled(memory, histories)
    column_BI = evidence.evidence(histories)[..., evidence.names.index(name)]
    return np.asarray(column_BI.cpu().numpy(), np.float32)


def _memory(trained: Trained, name: str) -> Memory | None:
    """The memory behind the evidence of this name, if it is one."""
    if name in trained.scorer.evidence.towers:
        return None
    return trained.memories.get(name.removesuffix("_memory"))


_COLUMNS = ("user", "item", "time", "behaviour", "scenario", "value")
