"""Settings: nested pydantic models, read from TOML, changed by ``a.b=value`` overrides.

Each component declares its own ``Config`` beside itself. Unknown keys are refused with the list of
valid ones; a range for tuning stands at the field that it belongs to (see :func:`tunable`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quintet.errors import ConfigError


class Config(BaseModel):
    """Base of every component's settings: frozen, and it refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


ConfigT = TypeVar("ConfigT", bound=Config)
Share = Annotated[float, Field(ge=0, le=1)]


def tunable(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: list[Any] | None = None,
    description: str = "",
) -> Any:
    """Declare a field with a search range for ``quintet tune``.

    Args:
        default: the value used when nothing is said.
        low: least value tried (numbers).
        high: greatest value tried (numbers).
        log: search on a logarithmic scale.
        choices: the values tried, instead of a range.
        description: what the setting does, in one line.
    """
    search: dict[str, Any] = {"low": low, "high": high, "log": log, "choices": choices}
    return Field(default, description=description, json_schema_extra={"tune": search})


def search_space(config: type[Config]) -> dict[str, dict[str, Any]]:
    """The declared tuning ranges of a config class, by field name."""
    space: dict[str, dict[str, Any]] = {}
    for name, field in config.model_fields.items():
        extra = field.json_schema_extra
        search = extra.get("tune") if isinstance(extra, dict) else None
        if isinstance(search, dict):
            space[name] = dict(search)
    return space


def build(config: type[ConfigT], values: Mapping[str, Any], where: str = "config") -> ConfigT:
    """Validate ``values`` into ``config``.

    Raises:
        ConfigError: a key is unknown or a value does not fit; names the key, and for an unknown
            key the valid ones.
    """
    try:
        return config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(config, error, where))) from None


def _explain(config: type[Config], error: ValidationError, where: str) -> Iterable[str]:
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            valid = ", ".join(sorted(_fields_at(config, problem["loc"][:-1])))
            yield f"{where}: unknown setting {path!r}; valid here: {valid}"
        else:
            yield f"{where}: {path}: {problem['msg']} (got {problem.get('input')!r})"


def _fields_at(config: type[Config], path: tuple[int | str, ...]) -> Iterable[str]:
    current: Any = config
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        current = field.annotation if field is not None else None
    return getattr(current, "model_fields", {})


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file into plain dictionaries.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Lay ``a.b=value`` strings over nested dictionaries; values are read as TOML, else as text.

    Raises:
        ConfigError: an override has no ``=``.
    """
    result: dict[str, Any] = dict(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"override {override!r}: expected key=value, such as loop.epochs=20")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        node = result
        *parents, leaf = key.strip().split(".")
        for parent in parents:
            child = node.get(parent)
            node[parent] = dict(child) if isinstance(child, Mapping) else {}
            node = node[parent]
        node[leaf] = value
    return result
