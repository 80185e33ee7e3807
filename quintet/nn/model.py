"""The model: towers that read histories, a shared state, and the five tasks on top of it.

Shapes: B windows of L events, N supervised positions, I items, D width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import Config, Share, build, tunable
from quintet.data.batch import SequenceBatch
from quintet.nn.backbones.base import BACKBONES
from quintet.nn.balance import BalanceName, make_balance
from quintet.nn.catalogue_sample import (
    CatalogueSample,
    draw_sample,
    drawing_chances,
    picked,
)
from quintet.nn.content import ContentEncoder, Inputs, reads_low
from quintet.nn.items import ItemVectors
from quintet.nn.request import usable_fields
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import TASKS, Step, Task, Tensors, joint_vectors
from quintet.nn.tower import EventEmbedder, EventItems, Tower
from quintet.nn.turn import Turn
from quintet.nn.views import two_views

TowerName = Literal["identity", "content"]
ContextField = Literal["scenario", "time", "device", "query"]


class ModelConfig(Config):
    """Settings of the network."""

    width: PositiveInt = tunable(64, choices=[32, 64, 128], description="D, of vectors and states")
    longest: PositiveInt = tunable(50, choices=[50, 100, 200], description="events of history read")
    backbone: str = tunable("transformer", choices=["transformer", "hstu", "gru", "convolution"])
    backbone_settings: dict[str, Any] = Field(default_factory=dict)
    tower_settings: dict[TowerName, dict[str, Any]] = Field(default_factory=dict)
    towers: tuple[TowerName, ...] = ("identity", "content")
    #: tasks that read histories by a tower of their own: what serves ranking would not serve them
    own_towers: tuple[str, ...] = ("strategy",)
    own_layers: PositiveInt = tunable(1, low=1, high=4, description="of such a tower")
    modalities: tuple[str, ...] = ()
    modality_settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    modality_dropout: Share = tunable(
        0.0, low=0.0, high=0.5, description="share of an item's modalities withheld in training"
    )
    experts: str = tunable("mmoe", choices=["shared_bottom", "mmoe", "ple"])
    expert_settings: dict[str, Any] = Field(default_factory=dict)
    #: what the states may know of a request; what tells nothing apart in the data is left out
    context: tuple[ContextField, ...] = ("scenario", "query")
    context_dropout: Share = tunable(
        0.1, low=0.0, high=0.5, description="share of requests of which a field is withheld"
    )
    identity_dropout: Share = tunable(
        0.05, low=0.0, high=0.3, description="share of events read by content alone in training"
    )
    attribute_dropout: Share = tunable(
        0.5, low=0.0, high=1.0, description="share of users whose attributes are withheld"
    )
    balance: BalanceName = "fixed"
    #: items drawn a step by popularity, beside those of its histories; a catalogue that is not
    #: twice as large is read and ranked whole
    items_a_step: PositiveInt = tunable(4096, choices=[2048, 4096, 8192])
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    off: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemTables:
    """Everything about the catalogue that does not depend on a history.

    Attributes:
        items: vectors and biases by tower; cold items stand in the identity tower by content.
        stand_in: what stands in the identity tower by content.
    """

    items: dict[str, ItemVectors]
    stand_in: ItemVectors | None

    @cached_property
    def joint_ID(self) -> Tensor:  # noqa: N802
        """[I, D] what the interaction task reads of an item."""
        return joint_vectors(self.items, self.stand_in)


#: what :meth:`QuintetModel.hidden` takes for all towers alike
Known = tuple[SequenceBatch, ItemTables, Tensor | None, Tensor, Tensor]


@dataclass(frozen=True)
class States:
    """States of B histories after their newest event.

    Attributes:
        hidden: [B, D] by tower, as the request turns them.
        shared_BD: [B, D] of all towers, before any request.
        by_task: [B, D] what each task reads, where the request turns it or its tower is its own.
    """

    hidden: dict[str, Tensor]
    shared_BD: Tensor
    by_task: dict[str, Tensor] = field(default_factory=dict)

    def of(self, task: str) -> Tensor:
        """[B, D] the state that a task reads."""
        return self.by_task.get(task, self.shared_BD)


def make_tower(
    config: ModelConfig,
    name: TowerName | None,
    n_behaviours: int = 1,
    n_scenarios: int = 1,
    n_levels: int = 0,
) -> Tower:
    """A tower with first weights, for a kind of items; None: a task's own."""
    if name is None:
        part, given = BACKBONES.get("transformer"), {"layers": config.own_layers}
    else:
        part = BACKBONES.get(config.backbone)
        given = config.backbone_settings | config.tower_settings.get(name, {})
    settings = build(part.Config, given, "backbone_settings")
    backbone = part(config.width, config.longest + 1, settings)
    return Tower(EventEmbedder(config.width, n_behaviours, n_scenarios, n_levels), backbone)


class QuintetModel(nn.Module):
    """One network for the five tasks."""

    warm_I: Tensor
    chance_I: Tensor | None

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
        self.tower_names: list[TowerName] = [
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
        own = [TASKS.get(name).name for name in config.own_towers if name not in config.off]
        self.own_towers = nn.ModuleDict({name: self._tower() for name in own})
        self.shared = nn.Sequential(
            nn.Linear(D * len(self.tower_names), D), nn.GELU(), nn.LayerNorm(D)
        )
        fields = usable_fields(shape, config.context)
        own_names = list(self.own_towers)
        self.turn = None if not fields else Turn(shape, config, self.tower_names, own_names, fields)
        self.tasks = nn.ModuleDict(
            {
                name: part(shape, D, build(part.Config, config.tasks.get(name, {}), name))
                for name, part in TASKS.parts.items()
                if name not in config.off
            }
        )
        weights = {name: self.task(name).config.weight for name in self.tasks}
        shares = {name: self.task(name).config.share for name in self.tasks}
        self.balance = make_balance(config.balance, weights, shares)
        self.register_buffer("warm_I", torch.ones(shape.n_items, dtype=torch.bool))
        # known wherever there is training: no part of the model
        self.register_buffer("chance_I", None, persistent=False)

    def _tower(self, name: TowerName | None = None) -> Tower:
        shape = self.shape
        tower = make_tower(
            self.config, name, len(shape.behaviours), len(shape.scenarios), shape.n_levels
        )
        tower.embedder.edges = torch.from_numpy(shape.level_edges().copy())
        return tower

    def met(self, count_I: Tensor) -> None:
        """Take note of [I] how often every item was met in the training events."""
        device, wanted = self.bias_I.device, self.config.items_a_step
        self.warm_I = (count_I > 0).to(device)
        large = len(count_I) >= 2 * wanted
        self.chance_I = drawing_chances(count_I, wanted).to(device) if large else None

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

    def item_tables(
        self, inputs: Inputs | None, sample: CatalogueSample | None = None
    ) -> ItemTables:
        """Vectors of the catalogue, or of a sample, from the prepared attributes of all items."""
        content: dict[str, ItemVectors] = {}
        stand_in = None
        if self.item_encoder is not None and inputs is not None:
            content_ID = self.item_encoder(inputs if sample is None else sample.of(inputs))
            # read, not moved: the item task must not pull at the content tower's vectors
            read_ID, low = content_ID.detach(), reads_low(self, content_ID)
            with torch.autocast(content_ID.device.type, torch.bfloat16, enabled=low):
                stand_in_ID = self.stand_in(read_ID).float()
            stand_in = ItemVectors(stand_in_ID, self.stand_in_bias(read_ID).squeeze(1), sample)
            if "content" in self.towers:
                bias_I = self.content_bias(content_ID).squeeze(1)
                content["content"] = ItemVectors(content_ID, bias_I, sample)
        if "identity" not in self.towers:
            return ItemTables(content, stand_in)
        return ItemTables({"identity": self._identity(stand_in, sample), **content}, stand_in)

    def _identity(
        self, stand_in: ItemVectors | None, sample: CatalogueSample | None
    ) -> ItemVectors:
        """Identity vectors; in service, items without training events stand in by content."""
        vector_ID: Tensor = self.embedding_ID
        bias_I: Tensor = self.bias_I
        warm_I = self.warm_I
        if sample is not None:
            vector_ID = F.embedding(sample.item_C, vector_ID)
            bias_I, warm_I = bias_I[sample.item_C], warm_I[sample.item_C]
        if not self.training and stand_in is not None:
            vector_ID = torch.where(warm_I[:, None], vector_ID, stand_in.vector_ID)
            bias_I = torch.where(warm_I, bias_I, stand_in.bias_I)
        return ItemVectors(vector_ID, bias_I, sample)

    # ---------------------------------------------------------------- histories

    def hidden(
        self,
        batch: SequenceBatch,
        tables: ItemTables,
        user_BD: Tensor | None,
        row_N: Tensor,
        seen_N: Tensor,
        own: Collection[str] | None = None,
    ) -> dict[str, Tensor]:
        """[N, D] states of every tower: of histories ``row_N`` after ``seen_N`` events.

        With ``own`` of those that tasks of these names have for themselves, over the first tower's
        items.
        """
        towers = self.towers if own is None else self.own_towers
        return {
            name: tower(
                batch,
                self._event_items(name if own is None else self.tower_names[0], tables),
                user_BD,
                row_N,
                seen_N,
            )
            for name, tower in towers.items()
            if own is None or name in own
        }

    def _event_items(self, tower: str, tables: ItemTables) -> EventItems:
        """The vectors that a tower reads events by; in training, some identities are dropped."""
        items = tables.items[tower]
        if tower == "identity" and self.training and tables.stand_in is not None:
            drawn_I = torch.rand(len(items.bias_I), device=items.bias_I.device)
            content = replace(tables.stand_in, vector_ID=tables.stand_in.vector_ID.detach())
            return EventItems(items, drawn_I < self.config.identity_dropout, content)
        return EventItems(items)

    def user_vectors(self, inputs: Inputs | None, user_B: Tensor) -> Tensor | None:
        """[B, D] vectors of the users' attributes; zero where the user is unknown (-1)."""
        if self.user_encoder is None or inputs is None:
            return None
        rows = user_B.clamp_min(0)
        vector_BD: Tensor = self.user_encoder(picked(inputs, rows))
        return vector_BD * (user_B >= 0)[:, None]

    def states(
        self,
        batch: SequenceBatch,
        tables: ItemTables,
        user_inputs: Inputs | None,
        request: Tensors | None = None,
        asked: Collection[str] | None = None,
    ) -> States:
        """States after the newest event of every window, turned to the request.

        ``asked`` names the tasks whose states are wanted, all when absent; ranking reads the
        towers', which always come.
        """
        user_BD = self.user_vectors(user_inputs, batch.user_B)
        rows = torch.arange(len(batch.length_B), device=batch.length_B.device)
        known = (batch, tables, user_BD, rows, batch.length_B)
        return self._states(known, request, list(self.tasks) if asked is None else asked)

    def _states(self, known: Known, request: Tensors | None, asked: Collection[str]) -> States:
        """The states that tasks read; ``known`` are the arguments of :meth:`hidden`."""
        hidden, own = self.hidden(*known), self.hidden(*known, own=asked)
        shared = self.shared(torch.cat(list(hidden.values()), dim=-1))
        if self.turn is None:
            return States(hidden, shared, own)
        return States(*self.turn(hidden, shared, own, request, asked))

    # ------------------------------------------------------------------ training

    def losses(
        self,
        batch: SequenceBatch,
        positions: Tensor,
        item_inputs: Inputs | None,
        user_inputs: Inputs | None,
        features: Mapping[str, Tensors],
        labels: Mapping[str, Tensors],
        request: Tensors | None = None,
        low_precision: bool = False,
    ) -> dict[str, Tensor]:
        """The loss of every task that learns in this step, on one batch.

        Args:
            batch: windows of training histories.
            positions: [B, L] true at the events that supervise.
            item_inputs: prepared attributes of the catalogue.
            user_inputs: prepared attributes of the users.
            features: by task, rows of the states before those events.
            labels: of the tasks that learn, rows of those events.
            request: [N, ...] what was asked there.
            low_precision: whether products over the catalogue may run in bfloat16.
        """
        row_N, column_N = positions.nonzero(as_tuple=True)
        learning = self.balance.drawn(labels)
        tables = self.item_tables(item_inputs, self._sample(batch))
        user_BD = self.user_vectors(user_inputs, batch.user_B)
        withheld_B = torch.rand(len(batch.user_B), device=batch.user_B.device)
        withheld_B = withheld_B < self.config.attribute_dropout
        if user_BD is not None:
            user_BD = torch.where(withheld_B[:, None], torch.zeros_like(user_BD), user_BD)
        known = (batch.without_last(), tables, user_BD, row_N, column_N)
        states = self._states(known, request, learning)
        step = Step(
            hidden=states.hidden,
            shared_ND=states.shared_BD,
            items=tables.items,
            stand_in=tables.stand_in,
            warm_I=self.warm_I,
            target_N=batch.item_BL[row_N, column_N],
            history_N=row_N,
            attributes_hidden_N=withheld_B[row_N],
            user_N=batch.user_B[row_N],
            views=self._views(batch, tables) if "profile" in learning else None,
            low_precision=low_precision,
        )
        return {
            name: self.task(name).loss(
                replace(step, shared_ND=states.of(name)), features[name], labels[name]
            )
            for name in learning
        }

    def _sample(self, batch: SequenceBatch) -> CatalogueSample | None:
        """The items that a step reads and ranks; None for all of them."""
        if self.chance_I is None:
            return None
        return draw_sample(batch.item_BL, self.chance_I)

    def _views(self, batch: SequenceBatch, tables: ItemTables) -> tuple[Tensor, Tensor] | None:
        """States of two separate pieces of every history that is long enough."""
        pieces = two_views(batch, self.shape.n_items)
        if pieces is None:
            return None
        name, batch = self.tower_names[0], SequenceBatch.joined(pieces)
        rows = torch.arange(len(batch.length_B), device=batch.length_B.device)
        items = self._event_items(name, tables)
        hidden_BD: Tensor = self.towers[name](batch, items, None, rows, batch.length_B)
        one, other = hidden_BD.chunk(2)
        return one, other
