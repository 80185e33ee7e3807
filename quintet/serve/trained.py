"""A trained model in memory, and its way into a bundle and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from quintet.bundle import Arrays, BundleFiles, read_bundle, write_bundle
from quintet.config import build
from quintet.data.feature_encoder import FeatureEncoder
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions
from quintet.data.vocab import Vocabulary
from quintet.errors import BundleError, CorruptBundleError
from quintet.memory.base import Memory
from quintet.memory.channel import evidence_memory
from quintet.nn.calibration import Calibration
from quintet.nn.content import ContentEncoder, to_device
from quintet.nn.device import pick_device
from quintet.nn.fusion import Fusion, FusionConfig
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.nn.shape import DataShape
from quintet.nn.tasks.profile import Profile
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.card import model_card
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer
from quintet.serve.search import TextIndex

#: the kind of bundle that holds what pre-training learned, and no model that answers
PRETRAINED = "pretrained"
EVENT_COLUMNS = ("user", "item", "time", "behaviour", "scenario", "value")


@dataclass(eq=False)
class Trained:
    """Everything that a model needs to answer, and what is known of how it was made.

    Attributes:
        model: the network.
        fusion: the gates.
        calibration: of the interaction task.
        memories: counted evidence by name.
        users: ids of the known users.
        items: ids of the catalogue.
        item_table: the catalogue's columns, in row order.
        user_table: the users' columns, in row order.
        item_encoder: from such columns to features.
        user_encoder: likewise.
        count_I: [I] training events of each item.
        events: histories of the known users.
        run: settings, seeds, figures: JSON-able.
    """

    model: QuintetModel
    fusion: Fusion
    calibration: Calibration
    memories: dict[str, Memory]
    users: Vocabulary
    items: Vocabulary
    item_table: pa.Table
    user_table: pa.Table
    item_encoder: FeatureEncoder
    user_encoder: FeatureEncoder
    count_I: Floats
    events: Interactions
    run: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def item_features(self) -> FeatureTable:
        """Attributes of the catalogue as features."""
        return self.item_encoder.transform(self.item_table)

    @cached_property
    def user_features(self) -> FeatureTable:
        """Attributes of the users as features."""
        return self.user_encoder.transform(self.user_table)

    @cached_property
    def text_index(self) -> TextIndex | None:
        """What a query is matched with; None where the catalogue has no text."""
        return TextIndex.of(self.item_features)

    @cached_property
    def scorer(self) -> Scorer:
        """The model ready to answer, on the device where its weights are."""
        model, device = self.model, self.model.bias_I.device
        inputs = [
            None if encoder is None else to_device(encoder.prepare(table), device)
            for encoder, table in (
                (model.item_encoder, self.item_features),
                (model.user_encoder, self.user_features),
            )
        ]
        evidence = EvidenceBuilder(model, self.memories, inputs[0], inputs[1], self.count_I)
        return Scorer(evidence, self.fusion, self.calibration)

    # ------------------------------------------------------------------ to a bundle

    def save(self, folder: str | Path) -> Path:
        """Write the bundle, whole or not at all.

        Raises:
            BundleError: something that is no bundle stands at ``folder``.
        """
        return write_bundle(folder, self._to_files())

    def _to_files(self) -> BundleFiles:
        weights = _state(self.model, "model") | _state(self.fusion, "fusion")
        weights |= _state(self.calibration, "calibration")
        features: Arrays = {}
        metas: dict[str, Any] = {}
        for name, encoder in (
            ("items", self.model.item_encoder),
            ("users", self.model.user_encoder),
        ):
            if encoder is not None:
                arrays, metas[f"{name}_modalities"] = encoder.statistics()
                features |= {f"{name}.modality.{key}": array for key, array in arrays.items()}
        for name, table_encoder in (("items", self.item_encoder), ("users", self.user_encoder)):
            arrays, metas[f"{name}_encoder"] = table_encoder.state()
            features |= {f"{name}.encoder.{key}": array for key, array in arrays.items()}
        if "strategy" in self.model.tasks:
            labels = _strategy(self.model).labeller.state()
            features |= {f"strategy.{key}": array for key, array in labels.items()}
        features["count"] = self.count_I
        memories: Arrays = {}
        for name, memory in self.memories.items():
            memories |= {f"{name}.{key}": array for key, array in memory.state().items()}
        run = {
            "shape": asdict(self.model.shape),
            "model": self.model.config.model_dump(mode="json"),
            "fusion": self.fusion.config.model_dump(mode="json"),
            "memories": {n: m.config.model_dump(mode="json") for n, m in self.memories.items()},
            "features": metas,
            "run": self.run,
        }
        return BundleFiles(
            {"weights": weights, "features": features, "memories": memories},
            {
                "events": _event_table(self.events),
                "items": _with_ids(self.item_table, self.items),
                "users": _with_ids(self.user_table, self.users),
            },
            run,
            model_card(self.run, self.model.shape, len(self.events), len(self.users)),
        )

    # ------------------------------------------------------------------ from a bundle

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Trained:
        """Read a bundle.

        Raises:
            BundleError: there is none, it is damaged, or of a version that is not read.
            ConfigError: there is no such device.
        """
        pick_device(device)
        files = read_bundle(folder)
        if files.run.get("kind") == PRETRAINED:
            raise BundleError(
                f"{folder}: was pre-trained and answers nothing yet; "
                "teach it your data first: quintet finetune"
            )
        try:
            return cls._from_files(files, device)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CorruptBundleError(
                f"{folder}: its files do not fit together ({error})"
            ) from error

    @classmethod
    def _from_files(cls, files: BundleFiles, device: str) -> Trained:
        run, features, weights = files.run, files.arrays["features"], files.arrays["weights"]
        shape = DataShape(**run["shape"])
        items, item_table = _without_ids(files.tables["items"])
        users, user_table = _without_ids(files.tables["users"])
        config = build(ModelConfig, run["model"], "run.json: model")
        metas = run["features"]
        encoders = {
            name: ContentEncoder.restored(
                _under(features, f"{name}.modality."),
                metas.get(f"{name}_modalities", {}),
                config.width,
                config.modality_settings,
                config.modality_dropout if name == "items" else 0.0,
            )
            for name in ("items", "users")
        }
        model = QuintetModel(shape, config, encoders["items"], encoders["users"])
        _load(model, _under(weights, "model."))
        fusion_state = _under(weights, "fusion.")
        fusion = Fusion(
            torch.from_numpy(fusion_state["prior_K"]),
            build(FusionConfig, run["fusion"], "fusion"),
            *(
                torch.from_numpy(fusion_state[name]) if name in fusion_state else None
                for name in ("new_K", "towers_K")
            ),
        )
        fusion_state.setdefault("new_bias", np.zeros((), np.float32))  # bundles before 0.2
        _load(fusion, fusion_state)
        calibration = Calibration(shape.rules, shape.n_levels, len(shape.scenarios))
        _load(calibration, _under(weights, "calibration."))
        trained = cls(
            model=model.to(device),
            fusion=fusion.to(device),
            calibration=calibration.to(device),
            memories=_memories(run["memories"], files.arrays["memories"], shape.behaviours),
            users=users,
            items=items,
            item_table=item_table,
            user_table=user_table,
            item_encoder=FeatureEncoder.from_state(
                _under(features, "items.encoder."), metas["items_encoder"]
            ),
            user_encoder=FeatureEncoder.from_state(
                _under(features, "users.encoder."), metas["users_encoder"]
            ),
            count_I=features["count"],
            events=_events(files.tables["events"], len(users), len(items)),
            run=run["run"],
        )
        trained._reattach(_under(features, "strategy."))
        return trained

    def _reattach(self, strategy_state: Arrays) -> None:
        """Give the tasks what they read of the catalogue and do not keep as weights."""
        table, interest = self.item_features, self.model.shape.interest
        for name in self.model.tasks:
            task = self.model.task(name)
            if isinstance(task, Profile):
                task.set_items(table)
            elif isinstance(task, Strategy):
                task.labeller.load_state(strategy_state)
                task.labeller.set_categories(table.categories[interest] if interest else None)


def _strategy(model: QuintetModel) -> Strategy:
    task = model.task("strategy")
    assert isinstance(task, Strategy)
    return task


def _state(module: nn.Module, prefix: str) -> Arrays:
    return {
        f"{prefix}.{name}": value.detach().cpu().numpy()
        for name, value in module.state_dict().items()
    }


def _load(module: nn.Module, arrays: Arrays) -> None:
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    module.load_state_dict(tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"weight {name} holds values that are not finite")


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def _memories(
    configs: Mapping[str, Any], arrays: Arrays, behaviours: Sequence[str]
) -> dict[str, Memory]:
    return {
        name: evidence_memory(name, settings, behaviours, "run.json: memories").load_state(
            _under(arrays, f"{name}.")
        )
        for name, settings in configs.items()
    }


def _event_table(events: Interactions) -> pa.Table:
    return pa.table({name: getattr(events, name) for name in EVENT_COLUMNS})


def _events(table: pa.Table, n_users: int, n_items: int) -> Interactions:
    columns = {name: table[name].to_numpy() for name in EVENT_COLUMNS}
    user, item = columns.pop("user"), columns.pop("item")
    # the order of the file is the order of the histories, ties included
    return Interactions.build(
        user, item, n_users=n_users, n_items=n_items, keep_order=True, **columns
    )


def _with_ids(table: pa.Table, ids: Vocabulary) -> pa.Table:
    if not table.num_columns:  # a column cannot be added to a table that has none
        return pa.table({"__id": ids.values})
    return table.add_column(0, "__id", ids.values)


def _without_ids(table: pa.Table) -> tuple[Vocabulary, pa.Table]:
    ids = Vocabulary.from_arrow_table(table.select(["__id"]).rename_columns(["id"]))
    return ids, table.drop_columns(["__id"])
