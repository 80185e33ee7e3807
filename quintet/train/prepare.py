"""From arrays to a model that is ready to train: shape, encoders, counted parts, first vectors."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quintet.config import build
from quintet.data.batch import SequenceBatch, Windows, collate, gap_buckets
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.outcomes import BehaviourRules
from quintet.data.schema import DataSchema
from quintet.data.singular import leading
from quintet.data.states import state_before
from quintet.nn.content import ContentEncoder, Inputs, to_device
from quintet.nn.experts.base import EXPERTS
from quintet.nn.modalities.base import MODALITIES
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.nn.shape import DataShape, describe
from quintet.nn.tasks.base import TASKS, Arrays, all_tensors, as_tensors
from quintet.train.align import align_content
from quintet.train.start import Start


@dataclass(frozen=True)
class TrainingTables:
    """What a model is trained on, as arrays.

    Attributes:
        events: training events of all users.
        items: attributes of the catalogue.
        users: attributes of the users.
        behaviours: names of the behaviours.
        scenarios: names of the scenarios.
        schema: what is declared of behaviours and scenarios.
        devices: kinds of devices.
        friends: [F, 2] user rows of every friendship.
    """

    events: Interactions
    items: FeatureTable
    users: FeatureTable
    behaviours: list[str]
    scenarios: list[str]
    schema: DataSchema = field(default_factory=DataSchema)
    devices: list[str] = field(default_factory=list)
    friends: Ints = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @property
    def rules(self) -> BehaviourRules:
        """How the behaviours hang together, as the schema declares it."""
        return BehaviourRules.of(self.behaviours, self.schema.behaviours)

    def without(self, hidden_I: Mask) -> TrainingTables:
        """The same without any event of the given items."""
        if not hidden_I.any():
            return self
        return replace(self, events=self.events.select(~hidden_I[self.events.item]))


def check_names(config: ModelConfig) -> None:
    """Refuse settings of parts that do not exist, which would be read by nobody.

    Raises:
        ConfigError: names the part, and those there are.
    """
    for name in (*config.off, *config.tasks):
        TASKS.get(name)
    for name in config.modality_settings:
        MODALITIES.get(name)
    build(EXPERTS.get(config.experts).Config, config.expert_settings, "model.expert_settings")


def build_model(
    tables: TrainingTables,
    config: ModelConfig,
    seed: int,
    shape: DataShape | None = None,
    start: Start | None = None,
) -> QuintetModel:
    """A model shaped by the data, its counted parts fitted and its weights drawn from ``seed``.

    ``shape`` is that of a model whose weights are taken over; read off the tables when absent. With
    a ``start`` the content tower is what was pre-trained.

    Raises:
        ConfigError: a setting names a task, a modality or experts that there are none of.
    """
    check_names(config)
    torch.manual_seed(seed)
    if shape is None:
        shape = describe(
            tables.events,
            tables.items,
            tables.users,
            tables.behaviours,
            tables.scenarios,
            tables.schema,
            tables.devices,
        )
    if start is None:
        item_encoder = ContentEncoder.fitted(
            tables.items,
            config.width,
            config.modalities,
            config.modality_settings,
            config.modality_dropout,
        )
    else:
        item_encoder = start.encoder(tables.items, config)
    model = QuintetModel(
        shape,
        config,
        item_encoder,
        ContentEncoder.fitted(tables.users, config.width, (), config.modality_settings),
    )
    model.met(torch.from_numpy(tables.events.item_counts()))
    start_ID = cooccurrence_vectors(tables.events, config.width)
    if start_ID is not None:
        with torch.no_grad():
            model.embedding_ID.copy_(torch.from_numpy(start_ID))
        if item_encoder is not None and start is None:
            inputs = item_encoder.prepare(tables.items)
            count_I = tables.events.item_counts().astype(np.float32)
            align_content(item_encoder, inputs, start_ID, count_I)
    fit_tasks(model, tables)
    if start is not None:
        start.into(model)
    return model


def fit_tasks(model: QuintetModel, tables: TrainingTables) -> None:
    """Count what the tasks need, on the model's own device."""
    for name in model.tasks:
        model.task(name).fit(tables.events, tables.items, tables.users)
    model.to(model.bias_I.device)


@torch.no_grad()
def recounted(learned: QuintetModel, tables: TrainingTables) -> QuintetModel:
    """A copy with its counted parts fitted anew; items met for the first time start near others."""
    model = copy.deepcopy(learned, _statistics(learned))
    model.embedding_ID.requires_grad_(True)
    model.bias_I.requires_grad_(True)
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    count_I = torch.from_numpy(tables.events.item_counts())
    first_I = (count_I > 0) & ~model.warm_I.cpu()
    fit_tasks(model, tables)
    for name, value in model.named_parameters():
        value.copy_(weights[name])
    start_ID = cooccurrence_vectors(tables.events, learned.config.width) if first_I.any() else None
    if start_ID is not None:
        learned_ID = model.embedding_ID
        placed_ID = _in_learned_space(
            torch.from_numpy(start_ID), learned_ID.cpu(), model.warm_I.cpu()
        )
        learned_ID[first_I.to(learned_ID.device)] = placed_ID[first_I].to(learned_ID.device)
        first_I &= ~torch.from_numpy(start_ID.any(1))
    model.met(count_I)
    model.warm_I &= ~first_I.to(model.warm_I.device)  # without neighbours content stands in for it
    return model


def _in_learned_space(start_ID: Tensor, learned_ID: Tensor, warm_I: Tensor) -> Tensor:
    """[I, D] first vectors, carried into the space of the learned ones.

    The directions of a factorisation are its own: those of more events differ by order and sign,
    and training has moved the learned ones besides. Least squares over what has both tells how.
    """
    carry_DD: Tensor = torch.linalg.lstsq(
        start_ID[warm_I], learned_ID[warm_I], driver="gelsd"
    ).solution
    return start_ID @ carry_DD


def _statistics(model: QuintetModel) -> dict[int, Any]:
    """What a copy shares: statistics of attributes are large and never written to."""
    held = [value for module in model.modules() for value in vars(module).values()]
    return {id(value): value for value in held if isinstance(value, np.ndarray)}


def cooccurrence_vectors(
    events: Interactions, width: int, window: int = 5, scale: float = 0.05
) -> Floats | None:
    """[I, D] first identity vectors: SVD of positive pointwise mutual information.

    Items that stand near each other in histories start near each other (Levy & Goldberg 2014).
    None where there is too little to factorise.
    """
    from scipy import sparse

    position, length = events.positions(), np.repeat(events.lengths, events.lengths)
    near = sparse.csr_matrix((events.n_items, events.n_items), dtype=np.float64)
    for step in range(1, window + 1):
        first = np.flatnonzero(position + step < length)
        pair = (events.item[first], events.item[first + step])
        near = near + sparse.csr_matrix((np.ones(len(first)), pair), shape=near.shape)
    counts = (near + near.T).tocoo()
    if counts.nnz == 0 or events.n_items <= width + 1:
        return None
    degree = np.asarray(counts.tocsr().sum(1)).ravel()
    information = np.log(counts.data * degree.sum() / (degree[counts.row] * degree[counts.col]))
    positive = sparse.csr_matrix(
        (np.maximum(information, 0), (counts.row, counts.col)), shape=near.shape
    )
    positive.eliminate_zeros()
    if positive.nnz == 0:
        return None
    strength, right = leading(positive, width, least=0.0)
    vectors = np.zeros((events.n_items, width))
    vectors[:, : len(strength)] = right.T * np.sqrt(strength)
    start_ID: Floats = (vectors / max(vectors.std(), 1e-12) * scale).astype(np.float32)
    return start_ID


def prepared_orders(
    tables: TrainingTables,
    model: QuintetModel,
    device: torch.device,
    orders: int,
    seed: int,
    inputs: EntityInputs | None = None,
) -> list[PreparedEvents]:
    """Training events in several orders of those that happened at one moment.

    Nobody knows in which order they happened, so no one order should be learned. One is enough
    where few events share their moment. ``inputs`` are prepared here when absent.
    """
    first = PreparedEvents(tables, model, device, inputs)
    if orders < 2 or tied_share(tables.events) < LEAST_TIED:
        return [first]
    others = [
        replace(tables, events=tables.events.retied(seed * 1000 + order))
        for order in range(1, orders)
    ]
    return [first, *(PreparedEvents(other, model, device, first.inputs) for other in others)]


def tied_share(events: Interactions) -> float:
    """Share of events at the same moment as the same user's event before."""
    if len(events) < 2 or events.time.min() == events.time.max():
        return 0.0
    same = (np.diff(events.time) == 0) & (np.diff(events.group()) == 0)
    return float(same.mean())


LEAST_TIED = 0.05


@dataclass(frozen=True)
class EntityInputs:
    """What the encoders of items and of users can compute once, on the device."""

    items: Inputs | None
    users: Inputs | None

    @classmethod
    def of(cls, tables: TrainingTables, model: QuintetModel, device: torch.device) -> EntityInputs:
        """Prepared from the attributes of both."""
        return cls(
            prepared_inputs(model.item_encoder, tables.items, device),
            prepared_inputs(model.user_encoder, tables.users, device),
        )


class PreparedEvents:
    """Training events with everything the tasks need of them, cut into batches on demand."""

    def __init__(
        self,
        tables: TrainingTables,
        model: QuintetModel,
        device: torch.device,
        inputs: EntityInputs | None = None,
    ) -> None:
        self.events = tables.events
        self.device = device
        self.states_a_window = model.states_a_window
        self.gaps = gap_buckets(tables.events)
        self.before: Ints = state_before(tables.events)
        self.target_E = model.shape.rules.targets(tables.events)
        self.features: dict[str, Arrays] = {}
        self.labels: dict[str, Arrays] = {}
        for name in model.tasks:
            task = model.task(name)
            labels = task.labels(tables.events, tables.users)
            if task.learns(labels):
                self.features[name] = task.features(tables.events, in_training=True)
                self.labels[name] = labels
        self.inputs = EntityInputs.of(tables, model, device) if inputs is None else inputs
        self.item_inputs, self.user_inputs = self.inputs.items, self.inputs.users

    def batch(self, windows: Windows) -> Supervised:
        """The windows' batch and what is known and learned at its supervised positions."""
        batch = collate(self.events, windows, self.gaps)
        steps_L = torch.arange(batch.item_BL.shape[1])
        positions = steps_L[None, :] < batch.length_B[:, None]
        # the start of a window cut in the middle is no state of a real history
        positions[:, 0] &= batch.fresh_B
        # what became of an episode is a label of its first event and no target of its own
        targets = positions & torch.from_numpy(self.target_E)[batch.event_BL]
        positions = targets if bool(targets.any()) else positions
        if self.states_a_window is not None:
            positions = some_positions(positions, self.states_a_window)
        rows = batch.event_BL[positions].numpy()
        features = {
            name: _on(as_tensors(arrays, self.before[rows]), self.device)
            for name, arrays in self.features.items()
        }
        labels = {
            name: _on(as_tensors(arrays, rows), self.device) for name, arrays in self.labels.items()
        }
        request = _on(all_tensors(self.events.asked(rows)), self.device)
        return Supervised(
            batch.to(self.device), positions.to(self.device), features, labels, request
        )


def some_positions(positions_BL: Tensor, most: int) -> Tensor:
    """[B, L] at most ``most`` of the true positions of each row, drawn from torch's generator."""
    draw_BL = torch.rand(positions_BL.shape).masked_fill(~positions_BL, -1.0)
    order_BL = draw_BL.argsort(dim=1, descending=True).argsort(dim=1)
    return positions_BL & (order_BL < most)


TaskRows = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Supervised:
    """A batch with N supervised positions.

    Attributes:
        batch: windows of histories.
        positions: [B, L] true at the events that supervise.
        features: by task, rows of the states before those events.
        labels: by task, rows of those events.
        request: [N, ...] what was asked there.
    """

    batch: SequenceBatch
    positions: Tensor
    features: TaskRows
    labels: TaskRows
    request: dict[str, Tensor]


def _on(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def prepared_inputs(
    encoder: ContentEncoder | None, table: FeatureTable, device: torch.device
) -> Inputs | None:
    """What an encoder can compute once of a table, on the device."""
    return None if encoder is None else to_device(encoder.prepare(table), device)
