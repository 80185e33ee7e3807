"""Tuning of quintet itself: few settings, validation only, the settings given tried first.

What is tuned is what moves figures most: learning rate, width, layers, dropout and the tasks'
weights; everything else stays as given. A trial trains the whole model and measures NDCG@10 on the
validation targets, as the tuning of baselines does (:mod:`quintet.train.baselines`), so that both
can be given the same number of trials. Gates are fitted on part of those targets: the score serves
to compare settings, and is not a figure to publish.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quintet.config import Config, apply_overrides, build
from quintet.data.encode import Encoded
from quintet.data.split import Part, Split
from quintet.errors import ConfigError, EmptyDataError
from quintet.nn.backbones.base import BACKBONES
from quintet.nn.model import ModelConfig
from quintet.nn.tasks.base import TASKS
from quintet.train.evaluate import evaluate_ranking
from quintet.train.loop import LoopConfig
from quintet.train.pipeline import TrainConfig, train
from quintet.train.search import Tried, search, space_of

Values = dict[str, Any]


@dataclass(frozen=True)
class Tuned:
    """What the search found.

    Attributes:
        values: all settings as nested values: those given, with the best of the searched ones.
        searched: the best of the searched settings, by dotted name.
        score: NDCG@10 of the fused model on the validation targets.
        history: every trial in order; the first is that of the settings given.
    """

    values: Values
    searched: Values
    score: float
    history: list[Tried]


def tuning_space(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """The searched settings by dotted name, their ranges widened to hold the settings given.

    Dropout is searched where it is given: left open it is chosen by the data, for each tower.
    """
    model = config.model
    backbone_fields = ("layers", "dropout") if "dropout" in model.backbone_settings else ("layers",)
    backbone = BACKBONES.get(model.backbone).Config
    groups: list[tuple[str, type[Config], tuple[str, ...], Mapping[str, Any]]] = [
        ("loop", LoopConfig, ("learning_rate",), config.loop.model_dump()),
        ("model", ModelConfig, ("width",), model.model_dump()),
        ("model.backbone_settings", backbone, backbone_fields, model.backbone_settings),
    ]
    for name, task in TASKS.parts.items():
        # the ranking task's weight is the unit of the others
        if name != "ranking" and name not in model.off:
            settings = model.tasks.get(name, {})
            groups.append((f"model.tasks.{name}", task.Config, ("weight",), settings))
    space: dict[str, dict[str, Any]] = {}
    for prefix, part, fields, given in groups:
        declared = space_of(part)
        for field in fields:
            if field in declared:
                space[f"{prefix}.{field}"] = _around(declared[field], given.get(field))
    return space


def _around(spec: dict[str, Any], given: Any) -> dict[str, Any]:
    """The range, with the given value as default and inside."""
    value = spec["default"] if given is None else given
    widened = spec | {"default": value}
    if spec.get("choices"):
        choices = list(spec["choices"])
        return widened | {"choices": choices if value in choices else [value, *choices]}
    return widened | {"low": min(spec["low"], value), "high": max(spec["high"], value)}


def tune(
    encoded: Encoded,
    split: Split,
    values: Mapping[str, Any],
    *,
    trials: int,
    on_trial: Callable[[int, Tried], None] | None = None,
) -> Tuned:
    """Search for better settings.

    Args:
        encoded: the data set.
        split: of ``encoded.events``; its test events are never looked at.
        values: the settings to start from, as nested values.
        trials: how many settings are tried, the given ones among them.
        on_trial: told the number (from 0) and the outcome of each trial.

    Raises:
        ConfigError: a setting is unknown, or no trial is allowed.
        EmptyDataError: there are no validation targets.
        MissingExtraError: ``optuna`` is not installed.
    """
    base = build(TrainConfig, values, "settings")
    if not len(split.valid):
        raise EmptyDataError("no validation targets to tune on: users need 3 events or more")

    def objective(chosen: Values) -> float:
        fitted = train(encoded, split, build(TrainConfig, overlaid(values, chosen), "settings"))
        masked = bool(fitted.trained.run["mask_history"])
        result = evaluate_ranking(
            fitted.trained.scorer, split, part=Part.VALID, ks=(10,), mask_history=masked
        )
        return float(result.per_user["ndcg@10"].mean())

    space = tuning_space(base)
    found = search(space, objective, trials=trials, seed=base.seed, on_trial=on_trial)
    best = overlaid(values, found.best_values)
    return Tuned(best, found.best_values, found.best_score, found.history)


def overlaid(values: Mapping[str, Any], chosen: Mapping[str, Any]) -> Values:
    """Nested ``values`` with the dotted names of ``chosen`` over them."""
    return apply_overrides(values, [f"{name}={json.dumps(one)}" for name, one in chosen.items()])


def as_toml(values: Mapping[str, Any], comment: str) -> str:
    """Nested settings as TOML, one dotted name a line, below a comment.

    Raises:
        ConfigError: a value cannot be written in TOML.
    """
    lines = [f"# {line}" for line in comment.splitlines()]
    for name, value in _flat(values):
        if value is None:
            raise ConfigError(f"{name}: TOML has no word for None; leave the setting out")
        lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{_key(name)}.")
        else:
            found.append((prefix + _key(name), {} if isinstance(value, Mapping) else value))
    return found


def _key(name: str) -> str:
    """A part of a dotted name, quoted where TOML asks for it."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
