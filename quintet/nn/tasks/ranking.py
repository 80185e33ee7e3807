"""Ranking, σ(s_i − s_j) and its listwise forms: which item comes next."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.nn.losses import bayesian_personalised_ranking, catalogue_softmax
from quintet.nn.tasks.base import Step, Task, Tensors


class Ranking(Task):
    """Every tower ranks the catalogue at every position by a loss of its own.

    The losses are separate and only the scores are summed, late, by the fusion.
    """

    name = "ranking"

    class Config(Task.Config):
        """Settings of the ranking task."""

        loss: Literal["softmax", "bpr"] = tunable(
            "softmax", choices=["softmax", "bpr"], description="listwise or pairwise"
        )

    config: Config

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        del features, labels
        losses = [self._tower_loss(step, name) for name in step.hidden]
        return torch.stack(losses).sum()

    def _tower_loss(self, step: Step, tower: str) -> Tensor:
        hidden_ND, items = step.hidden[tower], step.items[tower]
        if self.config.loss == "softmax":
            return catalogue_softmax(
                hidden_ND,
                items.vector_ID,
                items.bias_I,
                items.places(step.target_N),
                correction_I=items.correction(),
                low_precision=step.low_precision,
            )
        target_N = items.places(step.target_N)
        negative_N = torch.randint_like(step.target_N, len(items.bias_I))
        return bayesian_personalised_ranking(
            (hidden_ND * items.vector_ID[target_N]).sum(-1) + items.bias_I[target_N],
            (hidden_ND * items.vector_ID[negative_N]).sum(-1) + items.bias_I[negative_N],
        )
