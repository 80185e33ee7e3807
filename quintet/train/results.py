"""The shape of ``results.json``: what every command that measures leaves behind.

One format for evaluation, benchmarks and the demo, so that the report, the README's tables and the
checks all read the same file. Optional parts may be missing; unknown keys are kept, so that an
older reader can open a newer file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from quintet.errors import DataError
from quintet.files import jsonable, write_json_atomic


class Part(BaseModel):
    """Base of the parts of a results file: frozen, tolerant of keys that it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Figure(Part):
    """A measured value with its interval; null where it has no meaning on the data."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


def _as_figure(value: Any) -> Any:
    return {"mean": value} if value is None or isinstance(value, int | float) else value


#: metric name -> figure; a bare number is a figure without an interval
Figures = dict[str, Annotated[Figure, BeforeValidator(_as_figure)]]


class Difference(Part):
    """Paired difference to a baseline on the same users; ``relative`` is a share (0.1 is 10 %)."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None


class ReliabilityPoint(Part):
    """One bin of a reliability diagram."""

    predicted: float
    observed: float
    count: float


class Finding(Part):
    """One finding of the data audit; ``severity`` is ok, note, warning or danger."""

    name: str
    message: str
    severity: str = "note"


class Audit(Part):
    """The data audit as its ``to_dict`` gives it.

    Attributes:
        findings: what the checks found.
        distributions: ``NAME_edges`` [B + 1] and ``NAME_counts`` [B] of histograms, and
            ``popularity_share`` [P], the share of events of the most popular 0 to 100 % of items.
    """

    findings: list[Finding] = Field(default_factory=list)
    distributions: dict[str, list[float]] = Field(default_factory=dict)


class HistoryItem(Part):
    """One event of an example user's history, oldest first."""

    title: str
    behaviour: str | None = None


class Interest(Part):
    """One interest of a profile; weights are compared with each other only."""

    name: str
    weight: float


class Profile(Part):
    """A readable profile; further keys (price band, habits) are shown as they are."""

    interests: list[Interest] = Field(default_factory=list)


class SlateItem(Part):
    """One recommended item with the reasons given for it."""

    title: str
    item_id: Any = None
    score: float | None = None
    reasons: list[str] = Field(default_factory=list)


class Example(Part):
    """One user as a reader would like to see them."""

    user_id: Any
    history: list[HistoryItem] = Field(default_factory=list)
    profile: Profile = Field(default_factory=Profile)
    slate: list[SlateItem] = Field(default_factory=list)


class MapPoint(Part):
    """One item on the map of the catalogue; ``x`` and ``y`` lie in [0, 1]."""

    x: float
    y: float
    title: str = ""
    group: str = ""
    events: int = 0


class Results(Part):
    """Everything measured in one run.

    Attributes:
        dataset: name of the data set.
        protocol: how it was measured, in words or as settings.
        seeds: the random seeds of the runs that were averaged.
        models: model -> metric (such as ``ndcg@10``) -> figure.
        tasks: task -> metric -> value.
        seconds: stage -> wall-clock seconds.
        peak_memory_mb: greatest resident memory of the process, in MB.
        command: the command that reproduces the file.
        versions: package -> version.
        paired: baseline -> metric -> difference of the main model to it.
        slices: slice of users or items -> model -> metric -> figure.
        reliability: prediction -> points of its reliability diagram.
        curves: name -> (epoch, value) points of training.
        audit: what the data audit found.
        examples: example users.
        catalogue: the items on a map, where near ones are alike to the model.
    """

    dataset: str
    protocol: str | dict[str, Any] = ""
    seeds: list[int] = Field(default_factory=list)
    models: dict[str, Figures] = Field(default_factory=dict)
    tasks: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_mb: float | None = None
    command: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    paired: dict[str, dict[str, Difference]] = Field(default_factory=dict)
    slices: dict[str, dict[str, Figures]] = Field(default_factory=dict)
    reliability: dict[str, list[ReliabilityPoint]] = Field(default_factory=dict)
    curves: dict[str, list[tuple[float, float | None]]] = Field(default_factory=dict)
    audit: Audit | None = None
    examples: list[Example] = Field(default_factory=list)
    catalogue: list[MapPoint] = Field(default_factory=list)

    @property
    def main_model(self) -> str:
        """The model that the report is about: ``quintet``, else one called so, else the first."""
        called = [name for name in self.models if name.lower().startswith("quintet")]
        return "quintet" if "quintet" in called else next(iter([*called, *self.models]), "")

    @property
    def main_metric(self) -> str:
        """The metric that decides: ``ndcg@10`` where measured, else the main model's first."""
        names = list(self.models.get(self.main_model, {}))
        return "ndcg@10" if "ndcg@10" in names else next(iter(names), "")


def parse_results(data: Mapping[str, Any] | Results) -> Results:
    """Check ``data`` against the format; arrays and numpy numbers are welcome.

    Raises:
        DataError: a part is missing or of the wrong kind; names its place in the file.
    """
    if isinstance(data, Results):
        return data
    try:
        return Results.model_validate(jsonable(data))
    except ValidationError as error:
        lines = (
            f"results: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors()[:10]
        )
        raise DataError("\n".join(lines)) from None


def read_results(path: str | Path) -> Results:
    """Read a ``results.json``.

    Raises:
        DataError: the file is missing, is not JSON, or does not have the format.
    """
    try:
        return parse_results(json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a JSON file: {error}") from None


def write_results(path: str | Path, data: Mapping[str, Any] | Results) -> Results:
    """Check ``data`` and write it as JSON, whole or not at all; returns what was written."""
    results = parse_results(data)
    write_json_atomic(path, results.model_dump(exclude_defaults=True))
    return results
