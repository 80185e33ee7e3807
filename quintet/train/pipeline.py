"""From an encoded data set and a split to a trained model: the train path, end to end."""

from __future__ import annotations

import datetime
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import NonNegativeInt, PositiveFloat

from quintet.allocator import hand_back, handing_back
from quintet.config import Config, Share
from quintet.data.encode import Encoded
from quintet.data.feature_encoder import FeatureEncoder
from quintet.data.interactions import Interactions, Ints, seeded_hash
from quintet.data.outcomes import BehaviourRules
from quintet.data.schema import infer_types
from quintet.data.split import Split
from quintet.data.states import repeat_share
from quintet.errors import DataError
from quintet.memory.base import Memory
from quintet.memory.channel import evidence_memory, part_name
from quintet.metrics import rank_of_target
from quintet.nn.device import pick_device
from quintet.nn.fusion import FusionConfig
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.nn.shape import DataShape, warm_items
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.trained import Trained
from quintet.train.adapt import adapted
from quintet.train.calibrate import calibrate_strategy, fitted_calibration
from quintet.train.gates import fitted_fusion, validation_targets
from quintet.train.lift import fit_lift
from quintet.train.loop import LoopConfig, OnStep, Outcome, Trainer
from quintet.train.new_items import RehearsalConfig, fit_new_items, rehearsed
from quintet.train.prepare import (
    PreparedEvents,
    TrainingTables,
    build_model,
    fit_tasks,
    prepared_orders,
)
from quintet.train.start import Start

#: evidence whose weight the gates learn, with its settings
DEFAULT_MEMORIES: dict[str, dict[str, Any]] = {
    "transitions": {},
    "ease": {},
    "item_cosine": {"half_life": 5.0, "weighting": "bm25"},
    "user_cosine": {"half_life": 5.0},
    "last_item": {},
    "trend": {},
    "content_neighbours": {},
    "content_ridge": {},
    "repeat": {"full": 1.0},  # it is a chance: who hardly returns has little evidence
}
#: from this share of repeats on, items of the history are recommended again
LEAST_REPEATS = 0.02
#: memories whose answer is a dense product with other people or items: left out of large catalogues
DENSE_PRODUCTS = ("ease", "user_cosine")
#: early stopping looks at that many held-out targets, at most twice as many
MOST_VALIDATED = 1500


class TrainConfig(Config):
    """Everything that can be set about training; what is left out has a default that works."""

    model: ModelConfig = ModelConfig()
    loop: LoopConfig = LoopConfig()
    fusion: FusionConfig = FusionConfig()
    rehearsal: RehearsalConfig = RehearsalConfig()
    memories: dict[str, dict[str, Any]] = DEFAULT_MEMORIES
    fusion_targets: NonNegativeInt = 16_000
    calibration_share: Share = 0.2
    most_items_for_dense: NonNegativeInt = 5000
    refit_epochs: NonNegativeInt = 4
    refit_rate: PositiveFloat = 0.5
    seed: NonNegativeInt = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Fitted:
    """A trained model with the record of its training."""

    trained: Trained
    outcome: Outcome


def train(
    encoded: Encoded,
    split: Split,
    config: TrainConfig | None = None,
    *,
    start: Start | None = None,
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Fitted:
    """Train towers and tasks, count memories, fit gates and calibration.

    Only training events are learned from; gates and the stopping use one part of the validation
    users, calibration the other.

    Args:
        encoded: the data set.
        split: of ``encoded.events``.
        config: settings.
        start: what was pre-trained, if the content tower starts from there.
        checkpoints: folder for resumable checkpoints; none are kept without it.
        on_step: called after every training step.
        on_stage: called with the name of each stage as it starts.

    Raises:
        DataError: there is no training event.
        ConfigError: a setting is unknown, or the device is not there.
    """
    config = config if config is not None else TrainConfig()
    say = handing_back(on_stage)
    if len(split.train) == 0:
        raise DataError("the split leaves no training event; give a longer log or another split")
    say("encoding attributes")
    tables, item_encoder, user_encoder = training_tables(encoded, split)
    hidden_I = rehearsed(tables, config.rehearsal, config.seed)
    whole, tables = tables, tables.without(hidden_I)
    model, orders = prepared(tables, config, start=start)
    data = orders[0]
    masked = masks_history(split.train, tables.rules)
    say("training")
    fuse, calibrate = validation_targets(
        split,
        config.calibration_share,
        config.fusion_targets,
        config.seed,
        model.shape.rules.targets(split.events),
    )
    fuse = fuse[~hidden_I[split.events.item[fuse]]]
    trainer = Trainer(
        model,
        orders,
        config.loop,
        config.seed,
        validate=_validator(split, fuse, data, masked) if len(fuse) else None,
        checkpoints=checkpoints,
        on_step=on_step,
    )
    outcome = trainer.run()
    if start is not None:
        start.finish(model)
    say("counting memories")
    started = time.perf_counter()
    memories = fit_memories(config, tables)
    count_I = tables.events.item_counts().astype(np.float32)
    evidence = EvidenceBuilder(model, memories, data.item_inputs, data.user_inputs, count_I)
    counted = time.perf_counter()
    say("fitting gates and calibration")
    fusion = fitted_fusion(evidence, split.events, fuse, config.fusion, mask_history=masked)
    if hidden_I.any():
        asked = (config.rehearsal, config.seed)
        fit_new_items(fusion, evidence, split, hidden_I, fuse, *asked, mask_history=masked)
        memories = counted_anew(memories, whole)
        fit_tasks(model, whole)
        count_I = whole.events.item_counts().astype(np.float32)
        evidence = EvidenceBuilder(model, memories, data.item_inputs, data.user_inputs, count_I)
    calibration = fitted_calibration(evidence, fusion, split, calibrate)
    calibrate_strategy(evidence, split, np.concatenate([fuse, calibrate]))
    hand_back()
    run = {
        "dataset": encoded.name,
        "version": version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "split": split.name,
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "evidence": evidence.names,
        "curves": outcome.curves,
        "best_epoch": outcome.best_epoch,
        "mask_history": masked,
        "rehearsed items": int(hidden_I.sum()),
        "validation": {"ndcg@10 of the towers": max(outcome.best_score, 0.0)},
        "seconds": {
            "training": outcome.seconds,
            "memories": counted - started,
            "gates": time.perf_counter() - counted,
        },
    }
    trained = Trained(
        model=model,
        fusion=fusion,
        calibration=calibration,
        memories=memories,
        users=encoded.users,
        items=encoded.items,
        item_table=attributes(encoded.item_table, "item_id"),
        user_table=attributes(encoded.user_table, "user_id"),
        item_encoder=item_encoder,
        user_encoder=user_encoder,
        count_I=count_I,
        events=split.events,
        run=run,
    )
    fit_lift(trained, split, calibrate, config.seed)
    return Fitted(trained, outcome)


def prepared(
    tables: TrainingTables,
    config: TrainConfig,
    shape: DataShape | None = None,
    start: Start | None = None,
) -> tuple[QuintetModel, list[PreparedEvents]]:
    """A model ready to train, of a given shape or its own; its events in one order or several."""
    device = pick_device(config.device)
    settings = adapted(config.model, tables.events)
    model = build_model(tables, settings, config.seed, shape, start).to(device)
    return model, prepared_orders(tables, model, device, config.loop.tie_orders, config.seed)


def training_tables(
    encoded: Encoded, split: Split
) -> tuple[TrainingTables, FeatureEncoder, FeatureEncoder]:
    """Training events with encoded attributes; statistics of attributes come from trained rows."""
    item_table = attributes(encoded.item_table, "item_id")
    user_table = attributes(encoded.user_table, "user_id")
    warm = warm_items(split.train)
    active = split.train.lengths > 0
    item_encoder = FeatureEncoder().fit(
        item_table, attribute_types(item_table, encoded.schema.items), fit_rows=warm
    )
    user_encoder = FeatureEncoder().fit(
        user_table, attribute_types(user_table, encoded.schema.users), fit_rows=active
    )
    tables = TrainingTables(
        events=split.train,
        items=item_encoder.transform(item_table),
        users=user_encoder.transform(user_table),
        behaviours=encoded.behaviours,
        scenarios=encoded.scenarios,
        schema=encoded.schema,
        devices=encoded.devices,
        friends=encoded.friends,
    )
    return tables, item_encoder, user_encoder


def attributes(table: pa.Table, id_column: str) -> pa.Table:
    """The columns of an entity's table that say something of it."""
    return table.drop_columns([id_column]) if id_column in table.column_names else table


def attribute_types(table: pa.Table, declared: Mapping[str, str]) -> dict[str, str]:
    """The type of every column: as declared, else inferred."""
    known = {name: kind for name, kind in declared.items() if name in table.column_names}
    return infer_types(table, "", known)


def masks_history(events: Interactions, rules: BehaviourRules | None = None) -> bool:
    """Whether people hardly ever return to an item, so that a list should leave out the met.

    By the ``rules`` of several behaviours, what follows up an item (a buy its view) is no return.
    """
    return repeat_share(events, None if rules is None else rules.targets(events)) < LEAST_REPEATS


def _validator(
    split: Split, rows: Ints, data: PreparedEvents, masked: bool
) -> Callable[[QuintetModel], float]:
    """NDCG@10 of the towers' plain sum on held-out targets."""
    rows = rows[:: max(1, len(rows) // MOST_VALIDATED)]
    histories = split.events.before(rows)
    target = split.events.item[rows]
    count_I = split.train.item_counts().astype(np.float32)
    tie_I = seeded_hash(np.arange(split.events.n_items), 0)

    def validate(model: QuintetModel) -> float:
        evidence = EvidenceBuilder(model, {}, data.item_inputs, data.user_inputs, count_I)
        item_IX = torch.cat([evidence.linear[n].item_IX for n in model.tower_names], dim=1)
        gains = []
        for index, block in evidence.blocks(histories):
            queries = evidence.queries(block)
            query_BX = torch.cat([queries[name] for name in model.tower_names], dim=1)
            score_BI = (query_BX @ item_IX.T).cpu().numpy()
            score_BI[:, count_I == 0] = -np.inf  # where new items belong is for the gates to say
            if masked:
                score_BI[block.group(), block.item] = -np.inf
            rank = rank_of_target(score_BI, target[index], tie_key_I=tie_I)
            gains.append(np.where(rank <= 10, 1 / np.log2(rank + 1.0), 0.0))
        return float(np.concatenate(gains).mean())

    return validate


def fit_memories(config: TrainConfig, tables: TrainingTables) -> dict[str, Memory]:
    """The configured memories, counted on training events."""
    memories = {}
    for name, settings in config.memories.items():
        memory = evidence_memory(name, settings, tables.behaviours)
        part = part_name(name)
        if part in DENSE_PRODUCTS and tables.events.n_items > config.most_items_for_dense:
            continue
        if part == "repeat" and masks_history(tables.events, tables.rules):
            continue
        try:
            memories[name] = memory.relate(tables.friends).fit(tables.events, tables.items)
        except DataError:
            if not memory.reads_attributes:
                raise
    return memories


def counted_anew(memories: Mapping[str, Memory], tables: TrainingTables) -> dict[str, Memory]:
    """The same memories, which gates were fitted on, whatever would be chosen on these events."""
    return {
        name: memory.fresh().fit(tables.events, tables.items) for name, memory in memories.items()
    }


def version() -> str:
    """Of this package."""
    return importlib.metadata.version("quintet")
