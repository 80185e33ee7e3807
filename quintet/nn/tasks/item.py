"""Item, p(i | f_i): content alone must identify the item among the catalogue.

What is learned here lets an item without any event stand in the identity tower: its attributes are
mapped to the vector that it would have earned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.nn.losses import catalogue_softmax
from quintet.nn.tasks.base import Step, Task, Tensors, no_loss


class Item(Task):
    """Two losses on the content vectors, neither of which moves the identity vectors.

    *Identify*: the content vector of a warm item must pick that item's identity vector out of the
    catalogue. *Stand in*: with content vectors in place of identity vectors, the identity tower's
    states must still rank what came next.
    """

    name = "item"

    class Config(Task.Config):
        """Settings of the item task."""

        stand_in: float = tunable(1.0, low=0.1, high=2, description="weight of standing in")
        sampled: int = tunable(256, choices=[128, 256, 512], description="items identified a step")
        positions: int = tunable(512, choices=[256, 512, 1024], description="states used a step")

    config: Config

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        del features, labels
        content = step.stand_in
        if content is None or "identity" not in step.items:
            return no_loss(step)
        identity = step.items["identity"]
        warm = step.warm_I.nonzero().squeeze(1)
        if content.sample is not None:
            warm = content.sample.item_C[step.warm_I[content.sample.item_C]]
        item_N = warm[torch.randint(len(warm), (self.config.sampled,), device=warm.device)]
        identify = catalogue_softmax(
            content.at(item_N),
            identity.vector_ID.detach(),
            torch.zeros_like(identity.bias_I),
            identity.places(item_N),
            correction_I=identity.correction(),
            low_precision=step.low_precision,
        )
        chosen = torch.randperm(len(step.target_N), device=warm.device)[: self.config.positions]
        stand_in = catalogue_softmax(
            step.hidden["identity"].detach()[chosen],
            content.vector_ID,
            content.bias_I,
            content.places(step.target_N[chosen]),
            correction_I=content.correction(),
            low_precision=step.low_precision,
        )
        return identify + self.config.stand_in * stand_in
