"""From an encoded data set and a split to a trained model: the train path, end to end."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from quintet.config import Config, build
from quintet.data.encode import Encoded
from quintet.data.feature_encoder import FeatureEncoder
from quintet.data.interactions import Interactions, Ints, seeded_hash
from quintet.data.outcomes import level_index
from quintet.data.schema import infer_types
from quintet.data.split import Part, Split
from quintet.data.states import Moments
from quintet.errors import ConfigError, DataError
from quintet.memory.base import MEMORIES, Memory
from quintet.metrics import rank_of_target
from quintet.nn.calibration import Calibration, fit_calibration
from quintet.nn.fusion import Fusion, FusionConfig, fit_fusion, item_buckets
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.nn.shape import warm_items
from quintet.nn.tasks.interaction import Interaction
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer
from quintet.serve.trained import Trained
from quintet.train.loop import LoopConfig, OnStep, Outcome, Trainer
from quintet.train.prepare import PreparedEvents, TrainingTables, build_model, prepared_orders

#: evidence whose weight the gates learn, with the weight that they start from
DEFAULT_MEMORIES: dict[str, dict[str, Any]] = {
    "transitions": {},
    "ease": {},
    "item_cosine": {"half_life": 5.0, "weighting": "bm25"},
    "user_cosine": {"half_life": 5.0},
    "last_item": {},
    "trend": {},
    "content_ridge": {},
}
#: the gates start here, and are held near it: what is known to carry a list, and what refines it
PRIOR_WEIGHTS = {"identity": 1.0, "transitions": 1.0, "ease": 1.0, "content": 0.3}
OTHER_PRIOR_WEIGHT = 0.2
#: items without any event are no validation target, so nothing can be fitted for them: attributes
#: decide, the regularised regression before the towers, which know warm items by heart
NEW_ITEM_WEIGHTS = {"content_ridge": 1.0, "identity": 0.3, "content": 0.3}


class TrainConfig(Config):
    """Everything that can be set about training; what is left out has a default that works."""

    model: ModelConfig = ModelConfig()
    loop: LoopConfig = LoopConfig()
    fusion: FusionConfig = FusionConfig()
    memories: dict[str, dict[str, Any]] = DEFAULT_MEMORIES
    fusion_targets: int = 1500
    calibration_share: float = 0.2
    most_items_for_ease: int = 5000
    seed: int = 0
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
        checkpoints: folder for resumable checkpoints; none are kept without it.
        on_step: called after every training step.
        on_stage: called with the name of each stage as it starts.

    Raises:
        DataError: there is no training event.
        ConfigError: a setting is unknown, or the device is not there.
    """
    config = config if config is not None else TrainConfig()
    say = on_stage if on_stage is not None else _silent
    device = pick_device(config.device)
    if len(split.train) == 0:
        raise DataError("the split leaves no training event; give a longer log or another split")
    say("encoding attributes")
    tables, item_encoder, user_encoder = training_tables(encoded, split)
    model = build_model(tables, config.model, config.seed).to(device)
    orders = prepared_orders(tables, model, device, config.loop.tie_orders, config.seed)
    data = orders[0]
    say("training")
    fuse, calibrate = validation_targets(split, config)
    trainer = Trainer(
        model,
        orders,
        config.loop,
        config.seed,
        validate=_validator(split, fuse, data) if len(fuse) else None,
        checkpoints=checkpoints,
        on_step=on_step,
    )
    outcome = trainer.run()
    say("counting memories")
    memories = fit_memories(config, tables)
    count_I = tables.events.item_counts().astype(np.float32)
    evidence = EvidenceBuilder(model, memories, data.item_inputs, data.user_inputs, count_I)
    say("fitting gates and calibration")
    fusion = fitted_fusion(evidence, split.events, fuse, config)
    calibration = fitted_calibration(evidence, fusion, split, calibrate)
    run = {
        "dataset": encoded.name,
        "version": _version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "split": split.name,
        "seed": config.seed,
        "evidence": evidence.names,
        "implies": dict(tables.implies),
        "curves": outcome.curves,
        "best_epoch": outcome.best_epoch,
        "validation": {"ndcg@10 of the towers": max(outcome.best_score, 0.0)},
        "seconds": {"training": outcome.seconds},
    }
    trained = Trained(
        model=model,
        fusion=fusion,
        calibration=calibration,
        memories=memories,
        users=encoded.users,
        items=encoded.items,
        item_table=_attributes(encoded.item_table, "item_id"),
        user_table=_attributes(encoded.user_table, "user_id"),
        item_encoder=item_encoder,
        user_encoder=user_encoder,
        count_I=count_I,
        events=split.events,
        run=run,
    )
    return Fitted(trained, outcome)


def training_tables(
    encoded: Encoded, split: Split
) -> tuple[TrainingTables, FeatureEncoder, FeatureEncoder]:
    """Training events with encoded attributes; statistics of attributes come from trained rows."""
    item_table = _attributes(encoded.item_table, "item_id")
    user_table = _attributes(encoded.user_table, "user_id")
    warm = warm_items(split.train)
    active = split.train.lengths > 0
    item_encoder = FeatureEncoder().fit(
        item_table, _types(item_table, encoded.schema.items), fit_rows=warm
    )
    user_encoder = FeatureEncoder().fit(
        user_table, _types(user_table, encoded.schema.users), fit_rows=active
    )
    tables = TrainingTables(
        events=split.train,
        items=item_encoder.transform(item_table),
        users=user_encoder.transform(user_table),
        behaviours=encoded.behaviours,
        scenarios=encoded.scenarios,
        implies={b.name: list(b.implies) for b in encoded.schema.behaviours},
    )
    return tables, item_encoder, user_encoder


def _attributes(table: pa.Table, id_column: str) -> pa.Table:
    return table.drop_columns([id_column]) if id_column in table.column_names else table


def _types(table: pa.Table, declared: Mapping[str, str]) -> dict[str, str]:
    known = {name: kind for name, kind in declared.items() if name in table.column_names}
    return infer_types(table, "", known)


def pick_device(name: str) -> torch.device:
    """The device called ``name``.

    Raises:
        ConfigError: it is neither cpu nor cuda, or there is no such device here.
    """
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"unknown device {name!r}; choose one of: cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda': torch sees no GPU here; use --device cpu")
    return torch.device(name)


def validation_targets(split: Split, config: TrainConfig) -> tuple[Ints, Ints]:
    """Rows of validation events: (for stopping and gates, for calibration), by user."""
    rows = np.flatnonzero(split.part == Part.VALID)
    user = split.events.group()[rows]
    share = seeded_hash(user, config.seed) % 1000 < 1000 * config.calibration_share
    fuse, calibrate = rows[~share], rows[share]
    order = np.argsort(seeded_hash(fuse, config.seed + 1), kind="stable")
    return np.sort(fuse[order[: config.fusion_targets]]), calibrate


def _validator(split: Split, rows: Ints, data: PreparedEvents) -> Callable[[QuintetModel], float]:
    """NDCG@10 of the towers' plain sum on held-out targets."""
    histories = split.events.before(rows)
    target = split.events.item[rows]
    count_I = split.train.item_counts().astype(np.float32)
    tie_I = seeded_hash(np.arange(split.events.n_items), 0)

    def validate(model: QuintetModel) -> float:
        evidence = EvidenceBuilder(model, {}, data.item_inputs, data.user_inputs, count_I)
        towers = len(model.tower_names)
        gains = []
        for index, block in evidence.blocks(histories):
            score_BI = evidence.evidence(block)[..., :towers].sum(-1).cpu().numpy()
            score_BI[block.group(), block.item] = -np.inf
            rank = rank_of_target(score_BI, target[index], tie_key_I=tie_I)
            gains.append(np.where(rank <= 10, 1 / np.log2(rank + 1.0), 0.0))
        return float(np.concatenate(gains).mean())

    return validate


def fit_memories(config: TrainConfig, tables: TrainingTables) -> dict[str, Memory]:
    """The configured memories, counted on training events."""
    memories = {}
    for name, settings in config.memories.items():
        if name == "ease" and tables.events.n_items > config.most_items_for_ease:
            continue
        part = MEMORIES.get(name)
        if not part.evidence:
            raise ConfigError(f"memory {name!r} is a baseline and cannot stand in the fused model")
        memory = part(build(part.Config, settings, f"memories.{name}"))
        try:
            memories[name] = memory.fit(tables.events, tables.items)
        except DataError:
            if not part.scores_cold_items:
                raise
            # a memory of attributes has nothing to say where items have none
    return memories


def fitted_fusion(
    evidence: EvidenceBuilder, events: Interactions, rows: Ints, config: TrainConfig
) -> Fusion:
    """Gates fitted on held-out targets; plain weights where there are none."""
    weights = [PRIOR_WEIGHTS.get(name, OTHER_PRIOR_WEIGHT) for name in evidence.names]
    prior_K = torch.tensor(weights, device=evidence.device)
    fusion = Fusion(prior_K, config.fusion, _new_item_weights(evidence)).to(evidence.device)
    if len(rows) == 0:
        return fusion
    histories = events.before(rows)
    masked_BI = torch.zeros(len(rows), events.n_items, dtype=torch.bool)
    masked_BI[histories.group(), histories.item] = True
    target_B = torch.from_numpy(events.item[rows])
    masked_BI[torch.arange(len(rows)), target_B] = False  # a repeated item may be the target
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I))
    fit_fusion(
        fusion,
        evidence.evidence(histories),
        evidence.context(histories),
        bucket_I.to(evidence.device),
        masked_BI.to(evidence.device),
        target_B.to(evidence.device),
    )
    return fusion


def _new_item_weights(evidence: EvidenceBuilder) -> torch.Tensor | None:
    """[K] weights of items without training events; None where attributes say nothing."""
    weights = [NEW_ITEM_WEIGHTS.get(name, 0.0) for name in evidence.names]
    known = {"content_ridge", "content"} & set(evidence.names)
    return torch.tensor(weights, device=evidence.device) if known else None


def fitted_calibration(
    evidence: EvidenceBuilder, fusion: Fusion, split: Split, rows: Ints
) -> Calibration:
    """Calibration of the interaction task on held-out events of users kept apart for it.

    What follows within the horizon is looked up among events before the test only.
    """
    known_E = split.part != Part.TEST
    rows = (np.cumsum(known_E) - 1)[rows]
    events = split.events.select(known_E)
    shape = evidence.model.shape
    calibration = Calibration(shape.n_levels, len(shape.behaviours)).to(evidence.device)
    if "interaction" not in evidence.model.tasks or len(rows) == 0:
        return calibration
    task = evidence.model.task("interaction")
    assert isinstance(task, Interaction)
    scores = Scorer(evidence, fusion, calibration).pair_scores(
        Moments.before(events, rows), events.item[rows]
    )
    level_E = level_index(events, shape.level_edges())
    reached_EB = task.reached(events)
    fit_calibration(
        calibration,
        scores,
        torch.from_numpy(level_E[rows]).to(evidence.device),
        torch.from_numpy(reached_EB[rows]).to(evidence.device),
    )
    return calibration


def _silent(_: str) -> None:
    return


def _version() -> str:
    from importlib.metadata import version

    return version("quintet")
