"""What a data set's TOML says: behaviours, scenarios and the types of attribute columns.

What it does not say is inferred: :func:`infer_types` looks at names and values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field, model_validator

from quintet.config import Config, build, read_toml
from quintet.errors import ConfigError

ColumnType = Literal["text", "category", "number", "image", "vector", "ignore"]
TYPES: tuple[str, ...] = get_args(ColumnType)

DEFAULT_BEHAVIOUR = "interaction"
DEFAULT_SCENARIO = "default"
#: what events are called that have no such label
DEFAULT_LABELS = {"behaviour": DEFAULT_BEHAVIOUR, "scenario": DEFAULT_SCENARIO}
#: polarity of behaviours that are no sign of liking, where the TOML says nothing
POLARITIES = {
    **dict.fromkeys(("dislike", "hide", "skip", "block", "report", "return", "unlike"), -1.0),
    **dict.fromkeys(("impression", "exposure", "show", "shown", "expose"), 0.0),
}

QUANTITIES = re.compile(
    r"(^|_)(year|age|price|cost|count|num|number|amount|size|weight|height|width|length|duration|"
    r"runtime|rating|score|rank|stars|latitude|longitude|lat|lon|income|salary)(_|s?$)"
)
CODES = re.compile(r"(^|_)(id|ids|code|zip|zipcode|postcode|postal|phone|sku|isbn|ean|asin)($|_)")
PROSE = re.compile(
    r"(^|_)(title|name|description|desc|text|summary|review|body|abstract|caption|plot|overview|"
    r"headline|features?)$"
)
IMAGES = re.compile(r"\.(jpe?g|png|webp|gif|bmp)(\?.*)?$", re.IGNORECASE)
SEPARATORS = ("|", ";", ",")
SAMPLE = 50_000


class Behaviour(Config):
    """One thing that people do.

    Attributes:
        name: as it stands in the log.
        polarity: 1 for liking, -1 for disliking, 0 for neither. What is not liked is no target of
            the ranking.
        weight: how much a target that reached this behaviour counts where the ranking is learned;
            of several the greatest. With 1 for a buy and .1 for a view, a look that ended in a buy
            tells as much as ten that did not.
        implies: behaviours that must have come before it, such as a click before a purchase: its
            chance is never above theirs.
        horizon_days: within which it counts as having followed; absent: that of the behaviours
            that imply it, or the task's own.
        value: what one such event is worth: a number, or the column of the items that says so,
            such as "price".
        rates: whether the value of such an event is a rating; false for seconds or amounts.
    """

    name: str = Field(min_length=1)
    polarity: float = Field(default=1.0, ge=-1, le=1)
    weight: float = Field(default=1.0, ge=0)
    implies: list[str] = Field(default_factory=list)
    horizon_days: float | None = Field(default=None, gt=0)
    value: float | str | None = None
    rates: bool = True


class Scenario(Config):
    """One place where people meet items: a shop, a feed, a search box.

    Attributes:
        name: as it stands in the log.
        offers: what it can show: column of the items -> the values that belong here; an item
            must have one of the values of every column. Empty: what the log has shown there.
    """

    name: str = Field(min_length=1)
    offers: dict[str, list[str | bool | int | float]] = Field(default_factory=dict)


def named_scenario(given: Any) -> Any:
    """A scenario that is given by its name alone."""
    return {"name": given} if isinstance(given, str) else given


ScenarioTable = Annotated[Scenario, BeforeValidator(named_scenario)]


class DataSchema(Config):
    """Behaviours, scenarios and column types of a data set; what is left out is inferred."""

    behaviours: list[Behaviour] = Field(default_factory=list)
    scenarios: list[ScenarioTable] = Field(default_factory=list)
    items: dict[str, ColumnType] = Field(default_factory=dict)
    users: dict[str, ColumnType] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [behaviour.name for behaviour in self.behaviours]
        for kind, listed in (("behaviour", names), ("scenario", self.scenario_names)):
            doubled = sorted({name for name in listed if listed.count(name) > 1})
            if doubled:
                raise ValueError(f"{kind} {doubled[0]!r} stands twice")
        for behaviour in self.behaviours:
            for implied in behaviour.implies:
                if implied not in names or implied == behaviour.name:
                    raise ValueError(
                        f"behaviour {behaviour.name!r} implies {implied!r}, which is none of: "
                        + ", ".join(name for name in names if name != behaviour.name)
                    )
        self._check_circles()
        self._check_horizons()
        return self

    def _check_circles(self) -> None:
        implies = {one.name: one.implies for one in self.behaviours}
        for name, others in implies.items():
            found, open_ = set[str](), list(others)
            while open_:
                other = open_.pop()
                if other == name:
                    raise ValueError(f"behaviour {name!r} implies itself; one of them comes first")
                open_ += [] if other in found else implies[other]
                found.add(other)

    def _check_horizons(self) -> None:
        """What is implied must be looked for at least as long as what implies it."""
        horizon = {one.name: one.horizon_days for one in self.behaviours}
        for behaviour in self.behaviours:
            own = behaviour.horizon_days
            for implied in behaviour.implies:
                other = horizon[implied]
                if own is not None and other is not None and other < own:
                    raise ValueError(
                        f"behaviour {behaviour.name!r} within {own:g} days implies {implied!r}, "
                        f"which has {other:g}: give {implied!r} at least {own:g} days, or none"
                    )

    @property
    def scenario_names(self) -> list[str]:
        """The names of the scenarios, in order."""
        return [scenario.name for scenario in self.scenarios]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the schema from a TOML file.

        Raises:
            ConfigError: the file is missing or is not TOML, or a key is unknown or out of range.
        """
        return build(cls, read_toml(path), where=str(path))


def default_behaviour(name: str) -> Behaviour:
    """A behaviour that the log holds and the schema does not describe."""
    return Behaviour(name=name, polarity=POLARITIES.get(name.lower(), 1.0))


def infer_types(
    table: pa.Table, id_column: str, overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The type of every column of ``table`` but ``id_column``.

    Args:
        table: attributes, one row an entity; the first 50,000 rows are looked at.
        id_column: left out.
        overrides: column -> type, taken as they are.

    Returns:
        column -> one of ``text, category, number, image, vector, ignore``, in column order.

    Raises:
        ConfigError: an override names no column or no type.
    """
    given = dict(overrides or {})
    for name, kind in given.items():
        if name not in table.column_names:
            raise ConfigError(
                f"schema: no column {name!r}; columns: {', '.join(table.column_names)}"
            )
        if kind not in TYPES:
            raise ConfigError(f"schema: {name}: unknown type {kind!r}; one of: {', '.join(TYPES)}")
    sample = table.slice(0, SAMPLE)
    return {
        name: given.get(name) or _infer(name, sample[name].drop_null())
        for name in table.column_names
        if name != id_column
    }


def _infer(name: str, values: pa.ChunkedArray) -> ColumnType:
    kind, plain = values.type, _snake(name)
    if not len(values) or pa.types.is_null(kind):
        return "ignore"
    if pa.types.is_boolean(kind) or pa.types.is_dictionary(kind):
        return "category"
    if pa.types.is_temporal(kind):
        return "number"
    if _is_number(kind):
        return "category" if CODES.search(plain) and pa.types.is_integer(kind) else "number"
    if _is_list(kind):
        return _infer_list(plain, values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _infer_text(plain, values.cast(pa.string()))
    return "ignore"  # structs, maps and bytes


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[\s.\-]+", "_", name).lower()


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _infer_list(name: str, values: pa.ChunkedArray) -> ColumnType:
    inner = values.type.value_type
    lengths = pc.list_value_length(values)
    if pa.types.is_floating(inner) or (
        pa.types.is_fixed_size_list(values.type) and _is_number(inner)
    ):
        return "vector" if len(pc.unique(lengths)) == 1 else "ignore"
    if pa.types.is_integer(inner):
        return "category"
    if not (pa.types.is_string(inner) or pa.types.is_large_string(inner)):
        return "ignore"
    return "text" if PROSE.search(name) or not _repeats(pc.list_flatten(values)) else "category"


def _repeats(tokens: pa.ChunkedArray) -> bool:
    """Whether tokens name groups: few in all, or each used often."""
    distinct = len(pc.unique(tokens))
    return distinct <= 50 or distinct <= 0.1 * len(tokens)


def _infer_text(name: str, values: pa.ChunkedArray) -> ColumnType:
    if _share(pc.match_substring_regex(values, IMAGES.pattern, ignore_case=True)) > 0.9:
        return "image"
    if _share(pc.match_substring_regex(values, r"^(https?://|\{)")) > 0.9:
        return "ignore"  # addresses and nested JSON
    if QUANTITIES.search(name) and not CODES.search(name):
        number = pc.match_substring_regex(values, r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
        if _share(number) >= 0.9:
            return "number"
    if PROSE.search(name):
        return "text"
    for separator in SEPARATORS:
        several = pc.match_substring(values, separator)
        if _share(several) > 0.1 and _names_groups(values, separator):
            return "category"
    distinct = len(pc.unique(values)) / len(values)
    words = pc.mean(pc.count_substring(pc.utf8_trim_whitespace(values), " ")).as_py() + 1
    if words > 3 and distinct > 0.2:
        return "text"
    if distinct > 0.9 and len(values) >= 50:
        return "ignore" if words < 1.5 else "text"  # a code for each entity tells nothing
    return "category"


def _names_groups(values: pa.ChunkedArray, separator: str) -> bool:
    tokens = pc.utf8_trim_whitespace(pc.list_flatten(pc.split_pattern(values, separator)))
    short = pc.mean(pc.utf8_length(tokens)).as_py() <= 25
    return bool(short) and _repeats(tokens)


def _share(flags: pa.ChunkedArray) -> float:
    return float(pc.mean(flags.cast(pa.int8())).as_py())
