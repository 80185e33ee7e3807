"""Ranking, σ(s_i − s_j) and its listwise forms: which item comes next."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.nn.losses import bayesian_personalised_ranking, catalogue_softmax
from quintet.nn.tasks.base import Arrays, Step, Task, Tensors


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
        horizon_days: float = tunable(
            30.0, low=1, high=90, description="within which a weighty behaviour must follow"
        )

    config: Config

    def labels(self, events: Interactions, users: FeatureTable) -> Arrays:
        """How much each target counts, where behaviours weigh differently."""
        del users
        weight_E = self.shape.rules.weights(events, self.config.horizon_days)
        return {} if weight_E is None else {"weight": weight_E}

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        del features
        weight_N = labels.get("weight")
        losses = [self._tower_loss(step, name, weight_N) for name in step.hidden]
        return torch.stack(losses).sum()

    def _tower_loss(self, step: Step, tower: str, weight_N: Tensor | None) -> Tensor:
        hidden_ND, items = step.hidden[tower], step.items[tower]
        if self.config.loss == "softmax":
            return catalogue_softmax(
                hidden_ND,
                items.vector_ID,
                items.bias_I,
                items.places(step.target_N),
                weight_N,
                correction_I=items.correction(),
                low_precision=step.low_precision,
            )
        target_N = items.places(step.target_N)
        negative_N = torch.randint_like(step.target_N, len(items.bias_I))
        return bayesian_personalised_ranking(
            (hidden_ND * items.vector_ID[target_N]).sum(-1) + items.bias_I[target_N],
            (hidden_ND * items.vector_ID[negative_N]).sum(-1) + items.bias_I[negative_N],
            weight_N,
        )
