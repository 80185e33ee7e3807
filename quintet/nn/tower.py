"""A tower: item vectors, an event embedder and a backbone, trained by its own ranking loss.

The identity tower reads items as learned vectors of their own; the content tower reads them as
their attributes and knows no identity, so that it serves an item added a minute ago. Their scores
are summed late, because early joint fusion of identity and text loses what late fusion gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.data.batch import N_GAPS, SequenceBatch
from quintet.nn.backbones.base import Backbone
from quintet.nn.items import ItemVectors


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


@dataclass(frozen=True)
class EventItems:
    """The item vectors that a tower reads events by; only rows that are met are touched.

    Attributes:
        items: the vectors.
        swapped_I: [I] which of them are read by ``content`` instead; none when absent.
        content: vectors of the same items by content.
    """

    items: ItemVectors
    swapped_I: Tensor | None = None
    content: ItemVectors | None = None

    def __call__(self, item_BL: Tensor) -> Tensor:
        """[B, L, D] vectors of items; 0 where padded."""
        place_BL = self.items.places(item_BL)
        real_BL = place_BL < len(self.items.vector_ID)
        place_BL = torch.where(real_BL, place_BL, 0)
        vector_BLD = F.embedding(place_BL, self.items.vector_ID)
        if self.swapped_I is not None and self.content is not None:
            other_BL = self.content.places(item_BL).clamp(max=len(self.content.vector_ID) - 1)
            swapped_BL1 = self.swapped_I[place_BL][..., None]
            content_BLD = F.embedding(other_BL, self.content.vector_ID)
            vector_BLD = torch.where(swapped_BL1, content_BLD, vector_BLD)
        return vector_BLD * real_BL[..., None]


class Tower(nn.Module):
    """States of histories over one kind of item vectors.

    A learned start token stands before the first event, so that the state of an empty history
    exists; a history cut in the middle starts with another one. Attributes of the user, where
    known, are added to the start token.

    A backbone that looks both ways would see the very event that a state has to foretell. It reads
    every prefix as a sequence of its own, with a learned mask token behind it whose state is taken,
    in training and in service alike (BERT4Rec: Sun et al. 2019, section 3.6).
    """

    def __init__(self, embedder: EventEmbedder, backbone: Backbone) -> None:
        super().__init__()
        self.embedder = embedder
        self.backbone = backbone
        self.start_2D = nn.Parameter(torch.randn(2, backbone.width) * 0.02)
        if not backbone.causal:
            self.mask_D = nn.Parameter(torch.randn(backbone.width) * 0.02)

    def tokens(
        self, batch: SequenceBatch, items: EventItems, user_BD: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """[B, L + 1, D] what the backbone reads, the start token first, and [B, L + 1] its times.

        Args:
            batch: windows of histories.
            items: what the events' items are read by.
            user_BD: [B, D] vectors of the users' attributes, if there are any.
        """
        event_BLD = items(batch.item_BL) + self.embedder(batch)
        start_BD = self.start_2D[batch.fresh_B.long()]
        if user_BD is not None:
            start_BD = start_BD + user_BD
        token_BLD = torch.cat([start_BD[:, None], event_BLD], dim=1)
        return token_BLD, torch.cat([batch.time_BL[:, :1], batch.time_BL], dim=1)

    def forward(
        self,
        batch: SequenceBatch,
        items: EventItems,
        user_BD: Tensor | None,
        row_N: Tensor,
        seen_N: Tensor,
    ) -> Tensor:
        """[N, D] the states of histories ``row_N`` after their first ``seen_N`` events.

        The other arguments are those of :meth:`tokens`.
        """
        token_BLD, time_BL = self.tokens(batch, items, user_BD)
        if not self.backbone.causal:
            return self._masked(token_BLD, time_BL, row_N, seen_N)
        state_BLD: Tensor = self.backbone(token_BLD, batch.length_B + 1, time_BL)
        return state_BLD[row_N, seen_N]

    def _masked(self, token_BLD: Tensor, time_BL: Tensor, row_N: Tensor, seen_N: Tensor) -> Tensor:
        """The states of mask tokens, each behind a prefix of its own."""
        last_N = seen_N + 1  # behind the start token and the events
        widest = int(last_N.max()) if len(last_N) else 1
        place_L = torch.arange(widest + 1, device=row_N.device)
        source_NL = torch.minimum(place_L[None, :], seen_N[:, None])
        token_NLD = torch.where(
            (place_L[None, :] == last_N[:, None])[..., None],
            self.mask_D,
            token_BLD[row_N[:, None], source_NL],
        )
        state_NLD: Tensor = self.backbone(token_NLD, last_N + 1, time_BL[row_N[:, None], source_NL])
        return state_NLD[torch.arange(len(row_N), device=row_N.device), last_N]
