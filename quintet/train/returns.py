"""Where items of the history stand among others, settled by what lists are measured by.

The gates' likelihood weighs a target among all items of the catalogue, of which a list shows the
first few. Where people return to items, it leaves those of the history too low: towers that weigh
less, or a level that is higher, rank the very targets better that the gates were fitted on. Two
numbers are chosen from a few, by NDCG: what the towers' weights are multiplied by, and what is
added to the level.

Shapes: B targets of a block, N targets, I items, K evidence, C choices.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from quintet.allocator import hand_back
from quintet.data.interactions import Interactions, Ints
from quintet.nn.fusion import Fusion, item_buckets
from quintet.serve.evidence import EvidenceBuilder

#: what the towers' weights are multiplied by, and what is added to the level
FACTORS = (1.0, 0.9, 0.8, 0.7, 0.6)
SHIFTS = (0.0, 0.3, -0.3, 0.6, 0.9)
#: those that move least come first
CHOICES = sorted(product(FACTORS, SHIFTS), key=lambda one: round(1 - one[0] + abs(one[1]) / 3, 6))
#: looked at on so many held-out targets, in lists so long
MOST_TARGETS, LIST = 4000, 10


@torch.no_grad()
def settle_returns(
    evidence: EvidenceBuilder, fusion: Fusion, events: Interactions, rows: Ints
) -> None:
    """Choose both numbers, in place: those that move least, within a standard error of the best.

    Args:
        evidence: of the model.
        fusion: fitted, of a model whose lists hold the history.
        events: the whole log.
        rows: of held-out targets in it, those of the fit.
    """
    towers_K = fusion.towers_K
    rows = rows[evidence.count_I[events.item[rows]] > 0]  # new items have weights of their own
    rows = rows[:: max(1, len(rows) // MOST_TARGETS)]
    if towers_K is None or len(rows) < 2:
        return
    gain_NC = _gains(evidence, fusion, events, rows)
    behind_NC = gain_NC[:, [gain_NC.mean(0).argmax()]] - gain_NC
    error_C = behind_NC.std(0) / np.sqrt(len(rows))
    factor, shift = CHOICES[int((behind_NC.mean(0) <= error_C).argmax())]
    fusion.strength_K.mul_(1 + (factor - 1) * towers_K)
    fusion.again_bias.add_(shift)


@torch.no_grad()
def _gains(
    evidence: EvidenceBuilder, fusion: Fusion, events: Interactions, rows: Ints
) -> np.ndarray:
    """[N, C] NDCG of each target by each choice."""
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I)).to(evidence.device)
    target_N = torch.from_numpy(events.item[rows])
    gain_NC = np.zeros((len(rows), len(CHOICES)), np.float32)
    for index, block in evidence.blocks(events.before(rows), apart=True):
        evidence_BIK, context_BF = evidence.evidence(block), evidence.context(block)
        met_BI = torch.zeros(evidence_BIK.shape[:2], device=evidence.device)
        met_BI[block.group(), block.item] = 1.0
        whole_BI = fusion(evidence_BIK, context_BF, bucket_I, met_BI)
        rest_BI = _without_towers(fusion, evidence_BIK, context_BF, bucket_I, met_BI)
        # new items stand behind all; an infinity on both sides would be no number between them
        least = torch.finfo(whole_BI.dtype).min
        rest_BI[:, bucket_I == 0] = whole_BI[:, bucket_I == 0] = least
        target_B1 = target_N[index].to(evidence.device)[:, None]
        for choice, (factor, shift) in enumerate(CHOICES):
            score_BI = rest_BI.lerp(whole_BI, factor).add_(met_BI, alpha=shift)
            above_B = (score_BI > score_BI.gather(1, target_B1)).sum(1)
            gain_B = torch.where(above_B < LIST, 1 / torch.log2(above_B + 2.0), 0.0)
            gain_NC[index, choice] = gain_B.cpu().numpy()
        hand_back()  # scores of the catalogue by each choice leave a heap in pieces
    return gain_NC


def _without_towers(
    fusion: Fusion, evidence_BIK: Tensor, context_BF: Tensor, bucket_I: Tensor, met_BI: Tensor
) -> Tensor:
    """[B, I] scores of everything but the towers."""
    assert fusion.towers_K is not None
    strength_K = fusion.strength_K.clone()
    fusion.strength_K.mul_(1 - fusion.towers_K)
    try:
        rest_BI: Tensor = fusion(evidence_BIK, context_BF, bucket_I, met_BI)
        return rest_BI
    finally:
        fusion.strength_K.copy_(strength_K)
