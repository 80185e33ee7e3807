"""Content-to-identity alignment: what an item is must tell what an item does in histories."""

from __future__ import annotations

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.nn.losses import catalogue_softmax
from quintet.nn.objectives.base import Objective, PretrainStep


class Alignment(Objective):
    """The content vector of an item must pick that item's learned vector out of the catalogue.

    The learned vectors belong to the domain and earn their meaning by foretelling the next item
    from the tower's states; they are left behind after pre-training, and what they taught the
    content encoder goes with it (as the item task does; for pictures and texts CLIP: Radford et al.
    2021).
    """

    name = "alignment"
    needs_identity = True

    class Config(Objective.Config):
        """Settings of the alignment."""

        weight: float = tunable(0.3, low=0.01, high=2.0, log=True, description="λ of its loss")
        sampled: int = tunable(256, choices=[128, 256, 512], description="items aligned a step")
        states: int = tunable(512, choices=[256, 512, 1024], description="states used a step")

    config: Config

    def loss(self, step: PretrainStep) -> Tensor:
        """See :meth:`Objective.loss`."""
        assert step.identity_ID is not None
        flat = step.identity_ID.new_zeros(len(step.identity_ID))
        warm = step.warm_I.nonzero().squeeze(1)
        rows = warm[torch.randint(len(warm), (self.config.sampled,), device=warm.device)]
        aligned = catalogue_softmax(
            step.items.vector_ID[rows],
            step.identity_ID.detach(),
            flat,
            rows,
            low_precision=step.low_precision,
        )
        state_ND, target_N = step.states(some(step.positions_BL, self.config.states))
        earned = catalogue_softmax(
            state_ND, step.identity_ID, flat, target_N, low_precision=step.low_precision
        )
        return aligned + earned


def some(positions_BL: Tensor, most: int) -> Tensor:
    """At most ``most`` of the true positions, drawn from torch's generator."""
    chosen_N = positions_BL.flatten().nonzero().squeeze(1)
    chosen_N = chosen_N[torch.randperm(len(chosen_N), device=chosen_N.device)[:most]]
    kept = torch.zeros_like(positions_BL.flatten())
    kept[chosen_N] = True
    return kept.view_as(positions_BL)
