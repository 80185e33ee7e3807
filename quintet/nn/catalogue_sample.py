"""A part of the catalogue for one training step, corrected for how it was drawn.

A step over a large catalogue reads and ranks only some of it: what its own histories hold, and
items drawn by popularity. All that a step does with items (content vectors, every softmax) then
costs the same whatever the catalogue's size. Item j is drawn with chance p_j, independent of all
else, and then speaks for 1 / p_j items of its kind, so that

    ``e^{s_t} + Σ_{j ≠ t, drawn} e^{s_j} / p_j``

is an unbiased estimate of the softmax's normaliser (importance sampling: Bengio & Senécal 2008,
section 3). The target's own term is exact. What a history holds is read, and no rival unless it was
drawn: the items of one's own history are far more frequent in the batch than popularity tells, and
corrected by popularity they would be rivals several times over of the very states that should
rank them high. Shapes: B windows of L events, C items of the sample, I of all.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        correction_C: [C] ``−log p``, to be added to the logit where the item is no target; far
            below all logits for an item that is read and was not drawn.
        place_I: [I + 1] where a row of the catalogue stands in the sample; C where it does not.
    """

    item_C: Tensor
    correction_C: Tensor
    place_I: Tensor

    def of(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """Prepared attributes of these items, given those of all."""
        return picked(inputs, self.item_C)


def picked(
    inputs: Mapping[str, Mapping[str, Tensor]], row_N: Tensor
) -> dict[str, dict[str, Tensor]]:
    """Some rows of prepared attributes."""
    return {
        name: {key: tensor[row_N] for key, tensor in own.items()} for name, own in inputs.items()
    }


def drawing_chances(count_I: Tensor, wanted: int) -> Tensor:
    """[I] chance of every item to be drawn: by flattened popularity, at most 1, ``wanted`` in sum.

    Args:
        count_I: [I] training events of every item.
        wanted: how many items are drawn on average; fewer than there are.
    """
    share_I = (count_I.double() + 1) ** FLATTENING
    certain_I = torch.zeros_like(share_I, dtype=torch.bool)
    while True:
        left = wanted - int(certain_I.sum())
        chance_I = share_I * (left / share_I[~certain_I].sum())
        over_I = (chance_I >= 1) & ~certain_I
        if not over_I.any():
            return torch.where(certain_I, 1.0, chance_I).float()
        certain_I |= over_I


def draw_sample(read_BL: Tensor, chance_I: Tensor) -> CatalogueSample:
    """The items of the histories, and those that the draw met.

    Args:
        read_BL: rows of the items in the histories; I where padded.
        chance_I: [I] of :func:`drawing_chances`.
    """
    n_items = len(chance_I)
    drawn_I = torch.rand_like(chance_I) < chance_I
    chosen_I = drawn_I.clone()
    chosen_I[read_BL[read_BL < n_items]] = True
    item_C = chosen_I.nonzero().squeeze(1)
    correction_C = torch.where(drawn_I[item_C], -chance_I[item_C].log(), NEVER)
    place_I = torch.full((n_items + 1,), len(item_C), device=item_C.device)
    place_I[item_C] = torch.arange(len(item_C), device=item_C.device)
    return CatalogueSample(item_C, correction_C, place_I)
