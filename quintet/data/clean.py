"""Cleaning: rows that would teach something false are taken out, counted and kept.

Nothing is repaired silently. Missing attributes stay missing: towers learn what "missing" means.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from pydantic import Field

from quintet.config import Config
from quintet.data import engine, rejects
from quintet.data.columns import ORDER
from quintet.data.dataset import Dataset
from quintet.data.frames import EventLog, Frame, Relations
from quintet.data.interactions import MICROSECONDS_PER_DAY
from quintet.data.rejects import Rule
from quintet.errors import EmptyDataError

if TYPE_CHECKING:
    from rich.table import Table

FrameT = TypeVar("FrameT", bound=Frame)


class CleanConfig(Config):
    """What is taken out."""

    #: take out events that repeat an earlier one in every column (or in ``event_id``)
    duplicates: bool = True
    #: earliest time allowed, ISO 8601
    earliest: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    #: latest time allowed; a day from now if not said
    latest: datetime | None = None
    #: take out events without a time where others have one: they cannot be put in order
    missing_times: bool = True
    #: all events of users with more events on one day than this are taken out; None: nobody's
    max_events_per_day: int | None = Field(default=5000, ge=1)
    #: likewise users with more events than this in all
    max_events_per_user: int | None = Field(default=None, ge=1)
    #: likewise users whose log-count lies this many robust deviations above the median
    max_deviations: float | None = Field(default=None, gt=0)
    #: repeat until every user has at least so many events
    min_user_events: int = Field(default=0, ge=0)
    #: repeat until every item has at least so many events
    min_item_events: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class CleanReport:
    """What was taken out.

    Attributes:
        rows_in: rows by frame, before; those refused on reading not counted.
        rows_out: rows by frame, after.
        rejects: every row refused, on reading too (table, row_number, reason, column, value).
    """

    rows_in: dict[str, int]
    rows_out: dict[str, int]
    rejects: pa.Table = field(repr=False)

    def counts(self) -> dict[str, dict[str, int]]:
        """Refused rows by source table and reason."""
        return rejects.counts(self.rejects)

    def described(self) -> dict[str, str]:
        """By source table, how many rows were refused for what, with the first of each."""
        return rejects.described(self.rejects)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries."""
        return {"rows_in": self.rows_in, "rows_out": self.rows_out, "rejected": self.counts()}

    def write_rejects(self, path: str | Path) -> None:
        """Write the refused rows as Parquet."""
        rejects.write(self.rejects, path)

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title="cleaning", title_justify="left")
        table.add_column("table")
        table.add_column("reason")
        table.add_column("rows", justify="right")
        for name, reasons in self.counts().items():
            for reason, count in reasons.items():
                table.add_row(name, reason, f"{count:,}")
        kept = (f"{name} {self.rows_out[name]:,} of {n:,}" for name, n in self.rows_in.items())
        table.caption = "kept: " + ", ".join(kept)
        return table


def clean(dataset: Dataset, config: CleanConfig | None = None) -> tuple[Dataset, CleanReport]:
    """Take out what :class:`CleanConfig` says, frame by frame.

    A row is counted once, under the first reason that holds: missing ids, impossible times,
    duplicates, bots, and at last the k-core.

    Raises:
        EmptyDataError: no event is left; the message counts the reasons.
    """
    settings = config or CleanConfig()
    cleaned = replace(dataset, log=_clean_log(dataset.log, settings))
    for name, column in (("items", "item_id"), ("users", "user_id")):
        frame = getattr(dataset, name)
        if frame is not None:
            cleaned = replace(cleaned, **{name: _clean_table(frame, column)})
    if dataset.relations is not None:
        cleaned = replace(cleaned, relations=_clean_relations(dataset.relations))
    frames = cleaned.frames()
    report = CleanReport(
        rows_in={name: len(frame) for name, frame in dataset.frames().items()},
        rows_out={name: len(frame) for name, frame in frames.items()},
        rejects=rejects.concat([frame.rejects for frame in frames.values()]),
    )
    if not len(cleaned.log):
        refused = "; ".join(f"{table}: {why}" for table, why in report.described().items())
        raise EmptyDataError(f"{dataset.name}: no event is left; left out of {refused}")
    return cleaned, report


def _apply(frame: FrameT, rules: list[Rule]) -> FrameT:
    """``frame`` without the rows that break a rule."""
    kept, refused = rejects.apply(frame.table, rules)
    return frame.with_table(engine.materialise(kept), refused) if len(refused) else frame


def _missing(frame: Frame, *columns: str) -> list[Rule]:
    return [Rule(f"missing {name}", name, frame.table[name].isnull()) for name in columns]


def _clean_log(log: EventLog, settings: CleanConfig) -> EventLog:
    log = _apply(log, [*_missing(log, "user_id", "item_id"), *_time_rules(log, settings)])
    if settings.duplicates:
        log = _without_duplicates(log)
    return _core(_apply(log, _bot_rules(log, settings)), settings)


def _has_times(log: EventLog) -> bool:
    return "timestamp" in log.columns and bool(engine.value(log.table.timestamp.count()))


def _time_rules(log: EventLog, settings: CleanConfig) -> list[Rule]:
    if not _has_times(log):
        return []
    moment = log.table.timestamp
    tomorrow = int(time.time() * 1e6) + MICROSECONDS_PER_DAY
    latest = _micros(settings.latest) if settings.latest else tomorrow
    rules = [
        Rule("time too early", "timestamp", moment < _micros(settings.earliest)),
        Rule("time in the future", "timestamp", moment > latest),
    ]
    if settings.missing_times:
        rules.append(Rule("missing time", "timestamp", moment.isnull()))
    return rules


def _micros(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _without_duplicates(log: EventLog) -> EventLog:
    """Without events whose ``event_id`` was seen, or that agree with an earlier one throughout.

    In a log without times an event may be repeated: only ``event_id`` tells it from a duplicate.
    """
    keys = [name for name in log.columns if name != "event_id"]
    if "event_id" in log.columns:
        again = (_place_among(log, ["event_id"]) > 0) & log.table.event_id.notnull()
        log = _apply(log, [Rule("duplicate event_id", "event_id", again)])
    if _has_times(log):
        again = (_place_among(log, keys) > 0) & log.table.timestamp.notnull()
        log = _apply(log, [Rule("duplicate event", "item_id", again)])
    return log


def _place_among(frame: Frame, keys: list[str]) -> Any:
    """0 for the first row with the same ``keys``, 1 for the second and so on."""
    import ibis

    table = frame.table
    return ibis.row_number().over(group_by=[table[key] for key in keys], order_by=[table[ORDER]])


def _bot_rules(log: EventLog, settings: CleanConfig) -> list[Rule]:
    table = log.table
    total = table.count().over(group_by=table.user_id)
    shown = table.user_id.cast("string")
    rules = []
    if settings.max_events_per_user is not None:
        rules.append(Rule("bot", "user_id", total > settings.max_events_per_user, shown))
    if settings.max_deviations is not None:
        limit = _robust_limit(log, settings.max_deviations)
        rules.append(Rule("bot", "user_id", total > limit, shown))
    if settings.max_events_per_day is not None and _has_times(log):
        day = table.timestamp // MICROSECONDS_PER_DAY
        daily = table.group_by(user_id=table.user_id, day=day).aggregate(events=table.count())
        busy = daily.filter(daily.events > settings.max_events_per_day)
        bots = engine.fetch(busy.select("user_id").distinct())["user_id"].to_pylist()
        if bots:
            rules.append(Rule("bot", "user_id", table.user_id.isin(bots), shown))
    return rules


def _robust_limit(log: EventLog, deviations: float) -> float:
    """Events above which a user's log-count is ``deviations`` robust deviations over the median."""
    import numpy as np

    table = log.table
    counts = engine.fetch(table.group_by("user_id").aggregate(events=table.count()))
    logs = np.log(counts["events"].to_numpy())
    middle = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - middle))  # equals sigma for a normal distribution
    return float(np.exp(middle + deviations * max(spread, 0.1)))


def _core(log: EventLog, settings: CleanConfig) -> EventLog:
    """The k-core: users and items with few events go until none is left."""
    least = {"user_id": settings.min_user_events, "item_id": settings.min_item_events}
    wanted = {column: count for column, count in least.items() if count > 1}
    size = -1
    while wanted and size != len(log):
        size = len(log)
        for column, count in wanted.items():
            ids = log.table[column]
            few = log.table.count().over(group_by=ids) < count
            log = _apply(log, [Rule("k-core", column, few)])
    return log


def _clean_table(frame: FrameT, column: str) -> FrameT:
    frame = _apply(frame, _missing(frame, column))
    again = _place_among(frame, [column]) > 0
    return _apply(frame, [Rule(f"duplicate {column}", column, again)])


def _clean_relations(relations: Relations) -> Relations:
    relations = _apply(relations, _missing(relations, "source_id", "target_id"))
    table = relations.table
    itself = table.source_id.cast("string") == table.target_id.cast("string")
    relations = _apply(
        relations, [Rule("edge to itself", "target_id", itself & (table.kind != "user-group"))]
    )
    again = _place_among(relations, ["source_id", "target_id", "kind"]) > 0
    return _apply(relations, [Rule("duplicate edge", "target_id", again)])
