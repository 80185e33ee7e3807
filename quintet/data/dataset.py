"""A data set: logs and tables joined, with a report of what matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from quintet.data import engine
from quintet.data.columns import ORDER
from quintet.data.frames import Catalogue, EventLog, Frame, Relations, Users
from quintet.data.identity import USER_ENDS, merged_ids, rename_ends, rename_users
from quintet.data.join_report import JoinReport, LogMatch, RelationMatch, TableMatch
from quintet.data.schema import (
    DEFAULT_LABELS,
    SAMPLE,
    DataSchema,
    Scenario,
    default_behaviour,
    infer_types,
)
from quintet.data.stack import one_row_each, stack, unify_ids
from quintet.errors import DataError

FrameT = TypeVar("FrameT", bound=Frame)
#: a table that describes a smaller share of the log's ids is probably another log's
POOR_MATCH = 0.5


@dataclass(frozen=True, eq=False)
class Dataset:
    """Events with what is known of their users and items.

    Attributes:
        name: what reports call it.
        log: all events.
        items: the catalogue, if there is one.
        users: user attributes, if there are any.
        relations: edges, if there are any.
        schema: behaviours, scenarios and column types, what was inferred included.
        report: what matched when it was joined.
    """

    name: str
    log: EventLog
    items: Catalogue | None = None
    users: Users | None = None
    relations: Relations | None = None
    schema: DataSchema = field(default_factory=DataSchema)
    report: JoinReport = field(default_factory=JoinReport)

    def frames(self) -> dict[str, Frame]:
        """The frames that there are, by the name of their field."""
        named = {
            "log": self.log,
            "items": self.items,
            "users": self.users,
            "relations": self.relations,
        }
        return {name: frame for name, frame in named.items() if frame is not None}


def join(
    logs: EventLog | Sequence[EventLog],
    items: Catalogue | Sequence[Catalogue] | None = None,
    users: Users | Sequence[Users] | None = None,
    relations: Relations | Sequence[Relations] | None = None,
    schema: DataSchema | None = None,
    *,
    name: str = "dataset",
) -> Dataset:
    """Join logs and tables into one data set.

    Several logs stand one after the other. Several tables of items or users give one row an id:
    the first value that is not missing, column by column. Users whom identity edges connect become
    one. Anything that the frames' ``read`` takes may stand in place of a frame.

    Raises:
        DataError: no log is given, or one of the frames is of the wrong kind.
        ConfigError: the schema names columns that do not exist.
    """
    logs_read = _as_list(logs, EventLog)
    if not logs_read:
        raise DataError("join needs at least one log")
    tables: dict[str, list[Frame]] = {
        "items": [*_as_list(items, Catalogue)],
        "users": [*_as_list(users, Users)],
    }
    edges = _as_list(relations, Relations)
    report = JoinReport(name=name, logs=[_log_match(log) for log in logs_read])
    report.notes += [doubt for frame in (*logs_read, *edges) for doubt in frame.doubts]
    for kind, column in (("items", "item_id"), ("users", "user_id")):
        unified, note = unify_ids([*logs_read, *tables[kind]], column)
        logs_read = cast(list[EventLog], unified[: len(logs_read)])
        tables[kind] = unified[len(logs_read) :]
        report.notes += [note] if note else []
    for end in ("source_id", "target_id"):
        edges = cast(list[Relations], unify_ids(edges, end)[0])
    joined = Dataset(
        name=name,
        log=stack(logs_read),
        items=cast("Catalogue | None", _one_table(tables["items"], "item_id")),
        users=cast("Users | None", _one_table(tables["users"], "user_id")),
        relations=stack(edges) if edges else None,
        report=report,
    )
    joined = _merge_people(joined)
    joined = replace(joined, schema=complete_schema(joined, schema or DataSchema()))
    _fill_report(joined)
    return joined


def _as_list(given: Any, kind: type[FrameT]) -> list[FrameT]:
    if given is None:
        return []
    several = isinstance(given, list | tuple) and not (given and isinstance(given[0], dict))
    read: Any = getattr(kind, "read")  # noqa: B009  each frame's read has its own keywords
    return [one if isinstance(one, kind) else read(one) for one in (given if several else [given])]


def _one_table(tables: list[Frame], column: str) -> Frame | None:
    if not tables:
        return None
    table = stack(tables)
    return one_row_each(table, column) if len(tables) > 1 else table


def _merge_people(joined: Dataset) -> Dataset:
    if joined.relations is None:
        return joined
    merged = merged_ids(joined.log, joined.relations)
    if not len(merged):
        return joined
    joined.report.merged_ids = len(merged)
    return replace(
        joined,
        log=rename_users(joined.log, merged),
        users=rename_users(joined.users, merged) if joined.users is not None else None,
        relations=rename_ends(joined.relations, merged),
    )


def complete_schema(joined: Dataset, schema: DataSchema) -> DataSchema:
    """``schema`` with the log's other behaviours and scenarios and the inferred column types.

    Raises:
        ConfigError: the schema names columns that do not exist.
    """
    declared = {behaviour.name: behaviour for behaviour in schema.behaviours}
    names = label_names(joined.log, "behaviour", list(declared))
    behaviours = [declared.get(name) or default_behaviour(name) for name in names]
    offered = {scenario.name: scenario for scenario in schema.scenarios}
    found = label_names(joined.log, "scenario", list(offered))
    scenarios = [offered.get(name) or Scenario(name=name) for name in found]
    types: dict[str, Any] = {}
    for field_name, frame, column in (
        ("items", joined.items, "item_id"),
        ("users", joined.users, "user_id"),
    ):
        overrides = getattr(schema, field_name)
        if frame is None:
            types[field_name] = overrides
            continue
        sample = engine.fetch(frame.table.order_by(ORDER).select(*frame.columns).limit(SAMPLE))
        types[field_name] = infer_types(sample, column, overrides)
    return DataSchema(behaviours=behaviours, scenarios=scenarios, **types)


def label_names(log: EventLog, column: str, declared: Sequence[str]) -> list[str]:
    """All behaviours or scenarios: those declared, then those of the log, then the default.

    The default stands there only if some event has none of its own; where a single name is declared
    and the log says nothing at all, that name is meant.
    """
    found = _values(log, column)
    names = list(dict.fromkeys([*declared, *found]))
    silent = column not in log.columns or engine.value(log.table[column].isnull().sum())
    if silent and not (len(names) == 1 and not found) and DEFAULT_LABELS[column] not in names:
        names.append(DEFAULT_LABELS[column])
    return names


def fallback_label(column: str, names: Sequence[str]) -> int:
    """Index of the name that events without one of their own get."""
    default = DEFAULT_LABELS[column]
    return names.index(default) if default in names else 0


def _values(log: EventLog, column: str) -> list[str]:
    """The distinct values of a label column, in order of first appearance."""
    if column not in log.columns:
        return []
    given = log.table.filter(log.table[column].notnull())
    first = given.group_by(value=given[column]).aggregate(first=given[ORDER].min())
    return list(engine.fetch(first.order_by("first"))["value"].to_pylist())


def _log_match(log: EventLog) -> LogMatch:
    times = log.table.timestamp.notnull().sum() if "timestamp" in log.columns else None
    timed = int(engine.value(times) or 0) if times is not None else 0
    return LogMatch(log.name, len(log), timed, len(log.rejects))


def _fill_report(joined: Dataset) -> None:
    report, log = joined.report, joined.log
    report.users = _count(_distinct(log, "user_id"))
    report.items = _count(_distinct(log, "item_id"))
    for kind, frame, column in (
        ("items", joined.items, "item_id"),
        ("users", joined.users, "user_id"),
    ):
        if frame is not None:
            match = _table_match(kind, frame, log, column)
            report.tables.append(match)
            if match.matched < POOR_MATCH * (match.matched + match.only_in_log):
                report.notes.append(_poor_match(match, frame, log, column))
    if joined.relations is not None:
        report.relations = _relation_matches(joined)


def _distinct(frame: Frame, column: str) -> Any:
    ids = frame.table.select(id=frame.table[column].cast("string"))
    return ids.filter(ids.id.notnull()).distinct()


def _count(table: Any) -> int:
    return int(engine.value(table.count()))


def _poor_match(match: TableMatch, frame: Frame, log: EventLog, column: str) -> str:
    """Most often ids differ by a blank, a prefix or a leading zero: show one of each side."""
    in_table, in_log = _distinct(frame, column), _distinct(log, column)
    unknown = engine.value(in_log.anti_join(in_table, "id")["id"].min())
    unused = engine.value(in_table.anti_join(in_log, "id")["id"].min())
    other = f", but has {unused!r}, which the log has not" if unused is not None else ""
    return (
        f"{match.name} describes {match.matched} of the log's {match.matched + match.only_in_log} "
        f"{match.table}: it has no {unknown!r}{other}"
    )


def _table_match(kind: str, frame: Frame, log: EventLog, column: str) -> TableMatch:
    in_table, in_log = _distinct(frame, column), _distinct(log, column)
    matched = _count(in_log.semi_join(in_table, "id"))
    described = log.table.mutate(id=log.table[column].cast("string")).semi_join(in_table, "id")
    return TableMatch(
        table=kind,
        name=frame.name,
        rows=len(frame),
        matched=matched,
        only_in_table=_count(in_table) - matched,
        only_in_log=_count(in_log) - matched,
        events_described=_count(described),
        events=len(log),
        rejected=len(frame.rejects),
    )


def _relation_matches(joined: Dataset) -> list[RelationMatch]:
    assert joined.relations is not None
    known = {
        "user": _known(joined.log, joined.users, "user_id"),
        "item": _known(joined.log, joined.items, "item_id"),
    }
    table = joined.relations.table
    kinds = engine.fetch(table.group_by("kind").aggregate(first=table[ORDER].min()))
    matches = []
    for kind in kinds.sort_by("first")["kind"].to_pylist():
        edges = table.filter(table.kind == kind)
        matched = edges
        user_ends = USER_ENDS.get(kind, ())
        for end in ("source_id", "target_id"):
            side = "user" if end in user_ends else "item" if kind == "item-item" else None
            if side:
                ends = matched.mutate(id=matched[end].cast("string"))
                matched = ends.semi_join(known[side], "id").drop("id")
        matches.append(RelationMatch(kind, _count(edges), _count(matched)))
    return matches


def _known(log: EventLog, frame: Frame | None, column: str) -> Any:
    ids = _distinct(log, column)
    return ids if frame is None else ids.union(_distinct(frame, column), distinct=True)
