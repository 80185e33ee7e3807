"""Softmax over a sample of the catalogue, corrected for how the sample was drawn.

For catalogues whose full softmax would take too long. Every position of a step is ranked against
the same candidates: the targets of all positions, and items drawn by popularity. An item that is
expected among them Q times, and stands there m times, speaks for m / Q items of its kind, so that

    ``e^{s_t} + Σ_{j ≠ t} (m_j / Q_j) e^{s_j}``

is an unbiased estimate of the normaliser (importance sampling: Bengio & Senécal 2008, section 3;
correction of targets in the batch by log Q: Yi et al. 2019, section 4). The target's own term is
exact. Shapes: N positions, C candidates, I items, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quintet.nn.losses import catalogue_softmax

#: the drawn items are less popular than the targets: exponent on the counts (Mikolov et al. 2013)
FLATTENING = 0.75


@dataclass(frozen=True)
class Candidates:
    """What the positions of one step are ranked against.

    Attributes:
        item_C: [C] distinct rows of items, ascending; every target is among them.
        correction_C: [C] ``log(m / Q)``, to be added to the logit where the item is no target.
        target_N: [N] where the targets stand among the candidates.
    """

    item_C: Tensor
    correction_C: Tensor
    target_N: Tensor


def draw_candidates(target_N: Tensor, count_I: Tensor, negatives: int) -> Candidates:
    """The targets and ``negatives`` draws by popularity, with replacement.

    Args:
        target_N: [N] rows of the items that came next.
        count_I: [I] training events of every item; targets are taken for draws by these counts.
        negatives: how many items are drawn.
    """
    drawn_share_I = (count_I.double() + 1) ** FLATTENING
    cumulated_I = drawn_share_I.cumsum(0)
    uniform_S = torch.rand(negatives, dtype=torch.float64, device=target_N.device)
    drawn_S = torch.searchsorted(cumulated_I, uniform_S * cumulated_I[-1], right=True)
    drawn_S = drawn_S.clamp(max=len(count_I) - 1)
    item_C, place, times_C = torch.unique(
        torch.cat([target_N, drawn_S]), return_inverse=True, return_counts=True
    )
    target_share_C = count_I[item_C].double() / count_I.sum(dtype=torch.float64).clamp_min(1)
    expected_C = negatives * drawn_share_I[item_C] / cumulated_I[-1]
    expected_C = expected_C + len(target_N) * target_share_C
    correction_C = (times_C / expected_C).log().to(torch.float32)
    return Candidates(item_C, correction_C, place[: len(target_N)])


def sampled_softmax(
    hidden_ND: Tensor,
    item_ID: Tensor,
    bias_I: Tensor,
    candidates: Candidates,
    *,
    low_precision: bool = False,
) -> Tensor:
    """Mean cross-entropy of the targets among the candidates, an estimate of the full one.

    Args:
        hidden_ND: [N, D] states.
        item_ID: [I, D] item vectors.
        bias_I: [I] item biases.
        candidates: drawn for these N positions.
        low_precision: compute the three products in bfloat16.
    """
    return catalogue_softmax(
        hidden_ND,
        item_ID[candidates.item_C],
        bias_I[candidates.item_C],
        candidates.target_N,
        correction_I=candidates.correction_C.to(bias_I.dtype),
        low_precision=low_precision,
    )
