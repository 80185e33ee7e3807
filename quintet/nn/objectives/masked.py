"""Masked item: events hidden anywhere in a window are foretold from all others around them."""

from __future__ import annotations

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.nn.losses import catalogue_softmax
from quintet.nn.objectives.base import Objective, PretrainStep


class Masked(Objective):
    """The cloze task (BERT4Rec: Sun et al., CIKM 2019, section 3.5).

    A drawn share of a window's events, one at least, is replaced by the tower's mask token; the
    states at those places must pick the items out of the domain's catalogue.
    """

    name = "masked"
    needs_both_ways = True

    class Config(Objective.Config):
        """Settings of the cloze task."""

        share: float = tunable(0.3, low=0.1, high=0.6, description="of events that are hidden")

    config: Config

    def loss(self, step: PretrainStep) -> Tensor:
        """See :meth:`Objective.loss`."""
        batch, tower = step.batch, step.tower
        hidden_BL = drawn(batch.length_B, batch.item_BL.shape[1], self.config.share)
        token_BLD, time_BL = tower.tokens(batch, step.read_by(), None)
        event_BLD = torch.where(hidden_BL[..., None], tower.mask_D, token_BLD[:, 1:])
        token_BLD = torch.cat([token_BLD[:, :1], event_BLD], dim=1)
        state_BLD: Tensor = tower.backbone(token_BLD, batch.length_B + 1, time_BL)
        return catalogue_softmax(
            state_BLD[:, 1:][hidden_BL],
            step.items.vector_ID,
            step.items.bias_I,
            batch.item_BL[hidden_BL],
            low_precision=step.low_precision,
        )


def drawn(length_B: Tensor, widest: int, share: float) -> Tensor:
    """[B, L] real places drawn at the given rate, and one of each window whatever the rate."""
    place_L = torch.arange(widest, device=length_B.device)
    real_BL = place_L[None, :] < length_B[:, None]
    draw_BL = torch.rand(real_BL.shape, device=length_B.device).masked_fill(~real_BL, 2.0)
    return (draw_BL < share) | (real_BL & (draw_BL == draw_BL.min(1, keepdim=True).values))
