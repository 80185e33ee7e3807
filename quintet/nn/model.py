"""The model: towers that read histories, a shared state, and the five tasks on top of it.

Shapes: B windows of L events, N supervised positions, I items, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from quintet.config import Config, build, tunable
from quintet.data.batch import SequenceBatch
from quintet.nn.backbones.base import BACKBONES
from quintet.nn.balance import BalanceName, make_balance
from quintet.nn.content import ContentEncoder, Inputs, reads_low
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import TASKS, ItemVectors, Step, Task, Tensors, joint_vectors
from quintet.nn.tower import EventEmbedder, EventItems, Tower
from quintet.nn.views import two_views

TowerName = Literal["identity", "content"]


class ModelConfig(Config):
    """Settings of the network."""

    width: int = tunable(64, choices=[32, 64, 128], description="D, of vectors and states")
    longest: int = tunable(50, choices=[50, 100, 200], description="events of history read")
    backbone: str = tunable("transformer", choices=["transformer", "hstu", "gru", "convolution"])
    backbone_settings: dict[str, Any] = Field(default_factory=dict)
    tower_settings: dict[TowerName, dict[str, Any]] = Field(default_factory=dict)
    towers: tuple[TowerName, ...] = ("identity", "content")
    modalities: tuple[str, ...] = ()
    identity_dropout: float = tunable(
        0.05, low=0.0, high=0.3, description="share of events read by content alone in training"
    )
    attribute_dropout: float = tunable(
        0.5, low=0.0, high=1.0, description="share of users whose attributes are withheld"
    )
    balance: BalanceName = "fixed"
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    off: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemTables:
    """Everything about the catalogue that does not depend on a history.

    Attributes:
        items: vectors and biases by tower; cold items stand in the identity tower by content.
        content_ID: [I, D] content vectors in the identity tower's space.
        content_bias_I: [I] their biases.
    """

    items: dict[str, ItemVectors]
    content_ID: Tensor | None
    content_bias_I: Tensor | None

    @cached_property
    def joint_ID(self) -> Tensor:  # noqa: N802
        """[I, D] what the interaction task reads of an item."""
        return joint_vectors(self.items, self.content_ID)


@dataclass(frozen=True)
class States:
    """States of B histories after their newest event: by tower [B, D], and shared [B, D]."""

    hidden: dict[str, Tensor]
    shared_BD: Tensor


def make_tower(
    config: ModelConfig,
    name: TowerName,
    n_behaviours: int = 1,
    n_scenarios: int = 1,
    n_levels: int = 0,
) -> Tower:
    """A tower with first weights, of the backbone that the settings name."""
    part = BACKBONES.get(config.backbone)
    given = config.backbone_settings | config.tower_settings.get(name, {})
    settings = build(part.Config, given, "backbone_settings")
    backbone = part(config.width, config.longest + 1, settings)
    return Tower(EventEmbedder(config.width, n_behaviours, n_scenarios, n_levels), backbone)


class QuintetModel(nn.Module):
    """One network for the five tasks."""

    warm_I: Tensor

    def __init__(
        self,
        shape: DataShape,
        config: ModelConfig,
        item_encoder: ContentEncoder | None,
        user_encoder: ContentEncoder | None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.config = config
        self.item_encoder = item_encoder
        self.user_encoder = user_encoder
        D = config.width
        self.tower_names: list[str] = [
            n for n in config.towers if n == "identity" or item_encoder is not None
        ]
        self.embedding_ID = nn.Parameter(torch.randn(shape.n_items, D) * D**-0.5)
        self.bias_I = nn.Parameter(torch.zeros(shape.n_items))
        self.stand_in = nn.Sequential(nn.Linear(D, D), nn.GELU(), nn.Linear(D, D))
        # no constants: a softmax over the catalogue leaves them where they started
        self.stand_in_bias = nn.Linear(D, 1, bias=False)
        self.content_bias = nn.Linear(D, 1, bias=False)
        self.towers = nn.ModuleDict(
            {name: self._tower(name) for name in config.towers if name in self.tower_names}
        )
        self.shared = nn.Sequential(
            nn.Linear(D * len(self.tower_names), D), nn.GELU(), nn.LayerNorm(D)
        )
        self.tasks = nn.ModuleDict(
            {
                name: part(shape, D, build(part.Config, config.tasks.get(name, {}), name))
                for name, part in TASKS.parts.items()
                if name not in config.off
            }
        )
        weights = {name: self.task(name).config.weight for name in self.tasks}
        self.balance = make_balance(config.balance, weights)
        self.register_buffer("warm_I", torch.ones(shape.n_items, dtype=torch.bool))

    def _tower(self, name: TowerName) -> Tower:
        shape = self.shape
        tower = make_tower(
            self.config, name, len(shape.behaviours), len(shape.scenarios), shape.n_levels
        )
        tower.embedder.edges = torch.from_numpy(shape.level_edges().copy())
        return tower

    def task(self, name: str) -> Task:
        """The task called ``name``."""
        task = self.tasks[name]
        assert isinstance(task, Task)
        return task

    @property
    def states_a_window(self) -> int | None:
        """How many states of a window a training step asks for; None for all."""
        tower = self.towers[self.tower_names[0]]
        assert isinstance(tower, Tower)
        return tower.backbone.states_a_window

    # ------------------------------------------------------------------ items

    def item_tables(self, inputs: Inputs | None) -> ItemTables:
        """Vectors of the whole catalogue from the prepared attributes of its items."""
        content_ID = self.item_encoder(inputs) if self.item_encoder and inputs else None
        items: dict[str, ItemVectors] = {}
        stand_in_ID = stand_in_bias_I = None
        if content_ID is not None:
            # read, not moved: the item task must not pull at the content tower's vectors
            read_ID, low = content_ID.detach(), reads_low(self, content_ID)
            with torch.autocast(content_ID.device.type, torch.bfloat16, enabled=low):
                stand_in_ID = self.stand_in(read_ID).float()
            stand_in_bias_I = self.stand_in_bias(read_ID).squeeze(1)
        if "identity" in self.towers:
            items["identity"] = self._identity(stand_in_ID, stand_in_bias_I)
        if "content" in self.towers and content_ID is not None:
            items["content"] = ItemVectors(content_ID, self.content_bias(content_ID).squeeze(1))
        return ItemTables(items, stand_in_ID, stand_in_bias_I)

    def _identity(self, stand_in_ID: Tensor | None, stand_in_bias_I: Tensor | None) -> ItemVectors:
        """Identity vectors; in service, items without training events stand in by content."""
        if self.training or stand_in_ID is None or stand_in_bias_I is None:
            return ItemVectors(self.embedding_ID, self.bias_I)
        return ItemVectors(
            torch.where(self.warm_I[:, None], self.embedding_ID, stand_in_ID),
            torch.where(self.warm_I, self.bias_I, stand_in_bias_I),
        )

    # ---------------------------------------------------------------- histories

    def hidden(
        self,
        batch: SequenceBatch,
        tables: ItemTables,
        user_BD: Tensor | None,
        row_N: Tensor,
        seen_N: Tensor,
    ) -> dict[str, Tensor]:
        """[N, D] states of every tower: of histories ``row_N`` after ``seen_N`` events."""
        return {
            name: tower(batch, self._event_items(name, tables), user_BD, row_N, seen_N)
            for name, tower in self.towers.items()
        }

    def _event_items(self, tower: str, tables: ItemTables) -> EventItems:
        """The vectors that a tower reads events by; in training, some identities are dropped."""
        vector_ID = tables.items[tower].vector_ID
        if tower == "identity" and self.training and tables.content_ID is not None:
            drawn_I = torch.rand(len(vector_ID), device=vector_ID.device)
            swapped_I = drawn_I < self.config.identity_dropout
            return EventItems(vector_ID, swapped_I, tables.content_ID.detach())
        return EventItems(vector_ID)

    def user_vectors(self, inputs: Inputs | None, user_B: Tensor) -> Tensor | None:
        """[B, D] vectors of the users' attributes; zero where the user is unknown (-1)."""
        if self.user_encoder is None or inputs is None:
            return None
        rows = user_B.clamp_min(0)
        picked = {
            name: {key: tensor[rows] for key, tensor in own.items()} for name, own in inputs.items()
        }
        vector_BD: Tensor = self.user_encoder(picked)
        return vector_BD * (user_B >= 0)[:, None]

    def states(
        self, batch: SequenceBatch, tables: ItemTables, user_inputs: Inputs | None
    ) -> States:
        """States after the newest event of every window."""
        user_BD = self.user_vectors(user_inputs, batch.user_B)
        rows = torch.arange(len(batch.length_B), device=batch.length_B.device)
        hidden = self.hidden(batch, tables, user_BD, rows, batch.length_B)
        return States(hidden, self.shared(torch.cat(list(hidden.values()), dim=-1)))

    # ------------------------------------------------------------------ training

    def losses(
        self,
        batch: SequenceBatch,
        positions: Tensor,
        item_inputs: Inputs | None,
        user_inputs: Inputs | None,
        features: Mapping[str, Tensors],
        labels: Mapping[str, Tensors],
        low_precision: bool = False,
    ) -> dict[str, Tensor]:
        """The loss of every task on one batch.

        Args:
            batch: windows of training histories.
            positions: [B, L] true at the events that supervise.
            item_inputs: prepared attributes of the catalogue.
            user_inputs: prepared attributes of the users.
            features: by task, rows of the states before those events.
            labels: by task, rows of those events.
            low_precision: whether products over the catalogue may run in bfloat16.
        """
        tables = self.item_tables(item_inputs)
        user_BD = self.user_vectors(user_inputs, batch.user_B)
        withheld_B = torch.rand(len(batch.user_B), device=batch.user_B.device)
        withheld_B = withheld_B < self.config.attribute_dropout
        if user_BD is not None:
            user_BD = torch.where(withheld_B[:, None], torch.zeros_like(user_BD), user_BD)
        row_N, column_N = positions.nonzero(as_tuple=True)
        hidden = self.hidden(batch.without_last(), tables, user_BD, row_N, column_N)
        step = Step(
            hidden=hidden,
            shared_ND=self.shared(torch.cat(list(hidden.values()), dim=-1)),
            items=tables.items,
            content_ID=tables.content_ID,
            content_bias_I=tables.content_bias_I,
            warm_I=self.warm_I,
            target_N=batch.item_BL[row_N, column_N],
            history_N=row_N,
            attributes_hidden_N=withheld_B[row_N],
            user_N=batch.user_B[row_N],
            views=self._views(batch, tables),
            low_precision=low_precision,
        )
        return {
            name: self.task(name).loss(step, features[name], labels[name]) for name in self.tasks
        }

    def _views(self, batch: SequenceBatch, tables: ItemTables) -> tuple[Tensor, Tensor] | None:
        """States of two separate pieces of every history that is long enough."""
        if "profile" not in self.tasks:
            return None
        pieces = two_views(batch, self.shape.n_items)
        if pieces is None:
            return None
        name, batch = self.tower_names[0], SequenceBatch.joined(pieces)
        rows = torch.arange(len(batch.length_B), device=batch.length_B.device)
        items = self._event_items(name, tables)
        hidden_BD: Tensor = self.towers[name](batch, items, None, rows, batch.length_B)
        one, other = hidden_BD.chunk(2)
        return one, other
