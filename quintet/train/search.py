"""Search over declared ranges: seeded, sequential, the defaults tried first.

Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) by the library ``optuna`` (extra
"tune"). A range stands at the field that it belongs to, see :func:`quintet.config.tunable`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args, get_origin

from quintet.config import Config, search_space
from quintet.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from optuna import Study, Trial

Values: TypeAlias = dict[str, Any]
Space: TypeAlias = Mapping[str, Mapping[str, Any]]

#: values drawn at random, the defaults among them, before the search learns from its scores
WARM_UP = 5


@dataclass(frozen=True)
class Tried:
    """One trial: the values tried and the score that they reached."""

    values: Values
    score: float


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        best_values: the values of the best trial; the earliest one of equals.
        best_score: its score.
        history: all trials in the order tried, the defaults first.
    """

    best_values: Values
    best_score: float
    history: list[Tried]


def space_of(config: type[Config]) -> dict[str, dict[str, Any]]:
    """The declared ranges of a config class, with what the field's type and default add.

    To ``low, high, log, choices`` come ``integer`` (only whole numbers fit), ``optional`` (None is
    a value too) and ``default``.
    """
    space = search_space(config)
    for name, spec in space.items():
        field = config.model_fields[name]
        kinds = _kinds(field.annotation)
        spec |= {
            "integer": int in kinds and float not in kinds,
            "optional": NoneType in kinds,
            "default": field.get_default(call_default_factory=True),
        }
    return space


def _kinds(annotation: Any) -> set[Any]:
    """The plain types of an annotation such as ``PositiveFloat | None``."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    parts = get_args(annotation)
    return set().union(*(_kinds(part) for part in parts)) if parts else {annotation}


def search(
    space: Space,
    objective: Callable[[Values], float],
    *,
    trials: int,
    seed: int,
    on_trial: Callable[[int, Tried], None] | None = None,
) -> SearchResult:
    """Maximise ``objective`` over ``space``.

    The first trial is that of the defaults, where the space gives one for every field. Values that
    were tried before are not computed again.

    Args:
        space: ranges by field name, from :func:`space_of` or :func:`quintet.config.search_space`.
        objective: from values by field name to a score, higher is better; NaN counts as worst.
        trials: how many values are tried.
        seed: of the draws.
        on_trial: told the number (from 0) and the outcome of each trial.

    Raises:
        ConfigError: no trials are allowed, a field has neither a range nor choices, or its default
            lies outside of them.
        MissingExtraError: ``optuna`` is not installed.
    """
    _check(space, trials)
    study = _study(seed)
    if space and all("default" in spec for spec in space.values()):
        study.enqueue_trial(_as_drawn(space))
    history: list[Tried] = []
    for number in range(trials):
        trial = study.ask()
        values = {name: _suggest(trial, name, spec) for name, spec in space.items()}
        known = next((tried.score for tried in history if tried.values == values), None)
        score = float(objective(dict(values))) if known is None else known
        history.append(Tried(values, -math.inf if math.isnan(score) else score))
        study.tell(trial, history[-1].score)
        if on_trial is not None:
            on_trial(number, history[-1])
    best = max(history, key=lambda tried: tried.score)
    return SearchResult(best.values, best.score, history)


def _check(space: Space, trials: int) -> None:
    if trials < 1:
        raise ConfigError(f"trials={trials}: at least 1")
    for name, spec in space.items():
        choices, low, high = spec.get("choices"), spec.get("low"), spec.get("high")
        if not choices and (low is None or high is None):
            raise ConfigError(f"{name}: give low and high, or choices, to search over")
        if "default" in spec and not _inside(spec, spec["default"]):
            among = f"choices {choices}" if choices else f"range {low} to {high}"
            raise ConfigError(f"{name}: default {spec['default']} lies outside its {among}")


def _inside(spec: Mapping[str, Any], value: Any) -> bool:
    if spec.get("choices"):
        return value in spec["choices"]
    return bool(spec.get("optional")) if value is None else spec["low"] <= value <= spec["high"]


def _study(seed: int) -> Study:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("tuning", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=WARM_UP, multivariate=False)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _suggest(trial: Trial, name: str, spec: Mapping[str, Any]) -> Any:
    if spec.get("choices"):
        # by index: lists and None cannot all be drawn as they are
        choices = list(spec["choices"])
        return choices[trial.suggest_categorical(name, list(range(len(choices))))]
    if spec.get("optional") and not trial.suggest_categorical(_switch(name), [False, True]):
        return None
    low, high, log = spec["low"], spec["high"], bool(spec.get("log"))
    if spec.get("integer"):
        return trial.suggest_int(name, int(low), int(high), log=log)
    return trial.suggest_float(name, low, high, log=log)


def _switch(name: str) -> str:
    """The parameter that says whether an optional field has a value."""
    return f"{name} is set"


def _as_drawn(space: Space) -> Values:
    """The defaults as parameters of a trial."""
    drawn: Values = {}
    for name, spec in space.items():
        default = spec["default"]
        if spec.get("choices"):
            drawn[name] = list(spec["choices"]).index(default)
            continue
        if spec.get("optional"):
            drawn[_switch(name)] = default is not None
        if default is not None:
            drawn[name] = default
    return drawn
