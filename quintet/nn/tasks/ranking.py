"""Ranking, σ(s_i − s_j) and its listwise forms: which item comes next."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.nn.losses import bayesian_personalised_ranking, catalogue_softmax
from quintet.nn.sampled_softmax import draw_candidates, sampled_softmax
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import Step, Task, Tensors


class Ranking(Task):
    """Every tower ranks the catalogue at every position by a loss of its own.

    The losses are separate and only the scores are summed, late, by the fusion.
    """

    name = "ranking"

    class Config(Task.Config):
        """Settings of the ranking task."""

        loss: Literal["softmax", "sampled", "bpr"] = tunable(
            "softmax", choices=["softmax", "bpr"], description="listwise or pairwise"
        )
        #: items above which "softmax" means "sampled"
        most_items_for_softmax: int = 50_000
        #: items drawn a step by popularity, beside the targets of the step, for "sampled"
        negatives: int = 8192

    config: Config
    count_I: Tensor

    def __init__(self, shape: DataShape, width: int, config: Config | None = None) -> None:
        super().__init__(shape, width, config)
        # known wherever there is training: no part of the model
        self.register_buffer("count_I", torch.ones(shape.n_items), persistent=False)

    @property
    def kind(self) -> str:
        """The loss that is used, given the size of the catalogue."""
        large = self.shape.n_items > self.config.most_items_for_softmax
        return "sampled" if self.config.loss == "softmax" and large else self.config.loss

    def fit(self, events: Interactions, items: FeatureTable, users: FeatureTable) -> None:
        """See :meth:`Task.fit`."""
        del items, users
        self.count_I = torch.from_numpy(events.item_counts()).to(torch.float32)

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        del features, labels
        losses = [self._tower_loss(step, name) for name in step.hidden]
        return torch.stack(losses).sum()

    def _tower_loss(self, step: Step, tower: str) -> Tensor:
        hidden_ND, items = step.hidden[tower], step.items[tower]
        if self.kind == "sampled":
            return sampled_softmax(
                hidden_ND,
                items.vector_ID,
                items.bias_I,
                draw_candidates(step.target_N, self.count_I, self.config.negatives),
                low_precision=step.low_precision,
            )
        if self.kind == "softmax":
            return catalogue_softmax(
                hidden_ND,
                items.vector_ID,
                items.bias_I,
                step.target_N,
                low_precision=step.low_precision,
            )
        negative_N = torch.randint_like(step.target_N, len(items.bias_I))
        return bayesian_personalised_ranking(
            (hidden_ND * items.vector_ID[step.target_N]).sum(-1) + items.bias_I[step.target_N],
            (hidden_ND * items.vector_ID[negative_N]).sum(-1) + items.bias_I[negative_N],
        )
