"""A part of the catalogue for one training step, corrected for how it was drawn.

A step over a large catalogue reads and ranks only some of it: what its own histories hold, and
items drawn by popularity. All that a step does with items (content vectors, every softmax) then
costs the same whatever the catalogue's size. An item that is expected in the sample Q times, and
stands there m times, speaks for m / Q items of its kind, so that

    ``e^{s_t} + Σ_{j ≠ t} (m_j / Q_j) e^{s_j}``

is an unbiased estimate of the softmax's normaliser (importance sampling: Bengio & Senécal 2008,
section 3; correction of targets in the batch by log Q: Yi et al. 2019, section 4). The target's
own term is exact. Shapes: B windows of L events, N positions, C items of the sample, I of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quintet.nn.losses import NEVER

#: the drawn items are less popular than the targets: exponent on the counts (Mikolov et al. 2013)
FLATTENING = 0.75


@dataclass(frozen=True)
class CatalogueSample:
    """The items of one step.

    Attributes:
        item_C: [C] distinct rows of items, ascending.
        correction_C: [C] ``log(m / Q)``, to be added to the logit where the item is no target;
            that of an item which is read but stands for none is far below all others.
        place_I: [I + 1] where a row of the catalogue stands in the sample; C where it does not.
    """

    item_C: Tensor
    correction_C: Tensor
    place_I: Tensor


def draw_sample(
    read_BL: Tensor, target_N: Tensor, count_I: Tensor, negatives: int
) -> CatalogueSample:
    """The items of the histories, and ``negatives`` draws by popularity, with replacement.

    Args:
        read_BL: rows of the items in the histories; I where padded.
        target_N: [N] rows of the items that came next.
        count_I: [I] training events of every item; targets are taken for draws by these counts.
        negatives: how many items are drawn.
    """
    n_items = len(count_I)
    drawn_share_I = (count_I.double() + 1) ** FLATTENING
    cumulated_I = drawn_share_I.cumsum(0)
    uniform_S = torch.rand(negatives, dtype=torch.float64, device=target_N.device)
    drawn_S = torch.searchsorted(cumulated_I, uniform_S * cumulated_I[-1], right=True)
    times_I = torch.bincount(
        torch.cat([target_N, drawn_S.clamp(max=n_items - 1)]), minlength=n_items
    )
    chosen_I = times_I > 0
    chosen_I[read_BL[read_BL < n_items]] = True
    item_C = chosen_I.nonzero().squeeze(1)
    target_share_C = count_I[item_C].double() / count_I.sum(dtype=torch.float64).clamp_min(1)
    expected_C = negatives * drawn_share_I[item_C] / cumulated_I[-1]
    expected_C = expected_C + len(target_N) * target_share_C
    times_C = times_I[item_C]
    correction_C = torch.where(times_C > 0, (times_C / expected_C).log(), NEVER).float()
    place_I = torch.full((n_items + 1,), len(item_C), device=item_C.device)
    place_I[item_C] = torch.arange(len(item_C), device=item_C.device)
    return CatalogueSample(item_C, correction_C, place_I)
