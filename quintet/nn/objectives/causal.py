"""Causal next item: at every event, which item of the catalogue comes next."""

from __future__ import annotations

from torch import Tensor

from quintet.nn.losses import catalogue_softmax
from quintet.nn.objectives.base import Objective, PretrainStep


class Causal(Objective):
    """Full softmax over the domain's own catalogue (SASRec as a language model; Radford 2018).

    The content vectors are both what is read and what is foretold. A backbone that looks both ways
    gets each prefix on its own, so that no state sees the event it foretells.
    """

    name = "causal"

    def loss(self, step: PretrainStep) -> Tensor:
        """See :meth:`Objective.loss`."""
        state_ND, target_N = step.states(step.positions_BL)
        return catalogue_softmax(
            state_ND,
            step.items.vector_ID,
            step.items.bias_I,
            target_N,
            low_precision=step.low_precision,
        )
