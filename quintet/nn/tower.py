"""A tower: item vectors, an event embedder and a backbone, trained by its own ranking loss.

The identity tower reads items as learned vectors of their own; the content tower reads them as
their attributes and knows no identity, so that it serves an item added a minute ago. Their scores
are summed late, because early joint fusion of identity and text loses what late fusion gains.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quintet.data.batch import N_GAPS, SequenceBatch
from quintet.nn.backbones.base import Backbone


class EventEmbedder(nn.Module):
    """What happened, apart from the item: behaviour, scenario, value and the gap in time."""

    edges: Tensor

    def __init__(self, width: int, n_behaviours: int, n_scenarios: int, n_levels: int) -> None:
        super().__init__()
        self.behaviour = nn.Embedding(max(n_behaviours, 1), width)
        self.scenario = nn.Embedding(max(n_scenarios, 1), width)
        self.level = nn.Embedding(n_levels + 1, width)
        self.gap = nn.Embedding(N_GAPS, width)
        for table in (self.behaviour, self.scenario, self.level, self.gap):
            nn.init.zeros_(table.weight)
        self.register_buffer("edges", torch.zeros(max(n_levels - 1, 0)))

    def levels(self, value: Tensor) -> Tensor:
        """Index of the value's level, 1-based; 0 where it is missing or has none. Any shape."""
        level = torch.bucketize(value, self.edges, right=True) + 1
        level = level.clamp(max=self.level.num_embeddings - 1)  # a log of one value has no levels
        return torch.where(value.isnan(), torch.zeros_like(level), level)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """[B, L, D] to be added to the item vectors."""
        out: Tensor = (
            self.behaviour(batch.behaviour_BL)
            + self.scenario(batch.scenario_BL)
            + self.level(self.levels(batch.value_BL))
            + self.gap(batch.gap_BL)
        )
        return out


class Tower(nn.Module):
    """States of histories over one kind of item vectors.

    A learned start token stands before the first event, so that the state of an empty history
    exists; a history cut in the middle starts with another one. Attributes of the user, where
    known, are added to the start token.
    """

    def __init__(self, embedder: EventEmbedder, backbone: Backbone) -> None:
        super().__init__()
        self.embedder = embedder
        self.backbone = backbone
        self.start_2D = nn.Parameter(torch.randn(2, backbone.width) * 0.02)

    def forward(self, batch: SequenceBatch, item_JD: Tensor, user_BD: Tensor | None) -> Tensor:
        """[B, L + 1, D] states: number t is the state after t events.

        Args:
            batch: windows of histories.
            item_JD: [I + 1, D] item vectors, the last of them the padding's.
            user_BD: [B, D] vectors of the users' attributes, if there are any.
        """
        event_BLD = item_JD[batch.item_BL] + self.embedder(batch)
        start_BD = self.start_2D[batch.fresh_B.long()]
        if user_BD is not None:
            start_BD = start_BD + user_BD
        token_BLD = torch.cat([start_BD[:, None], event_BLD], dim=1)
        out: Tensor = self.backbone(token_BLD, batch.length_B + 1)
        return out
