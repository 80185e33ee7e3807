"""The four frames that everything starts from: events, items, users and relations.

A frame holds a table of the embedded engine with canonical column names (see
:mod:`quintet.data.columns`), read once and kept outside Python's memory, and the rows that could
not be read. Ids stay the caller's own: text is kept letter by letter, integers stay integers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa

from quintet.data import columns as vocabulary
from quintet.data import engine, readers, rejects
from quintet.data.attributes import read_attributes
from quintet.data.casts import cast
from quintet.data.columns import INTERNAL, ORDER, ROW, TABLE, Column, resolve
from quintet.errors import ColumnError

if TYPE_CHECKING:
    import ibis.expr.types as ir

RELATION_KINDS = ("user-user", "item-item", "user-group", "identity")


@dataclass(frozen=True, eq=False)
class Frame:
    """A table with canonical columns.

    Attributes:
        table: ibis table; besides the columns it holds the global order of the rows, the source
            that each came from and its row number there (from 1).
        name: what messages and rejects call it.
        rejects: rows refused so far (see :data:`quintet.data.rejects.REJECTS`).
        ignored: source columns that were left out.
        doubts: which of those look like a misspelt one that is missing, each as a sentence.
    """

    known: ClassVar[tuple[Column, ...]]
    keeps_attributes: ClassVar[bool] = False

    table: ir.Table
    name: str
    rejects: pa.Table = field(default_factory=rejects.no_rejects)
    ignored: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @functools.cached_property
    def _length(self) -> int:
        return int(engine.value(self.table.count()))

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} rows: {', '.join(self.columns)})"

    @property
    def columns(self) -> list[str]:
        """Canonical columns present, attributes after them."""
        return [name for name in self.table.columns if name not in INTERNAL]

    def to_arrow(self) -> pa.Table:
        """All rows, in order."""
        return engine.fetch(self.table.order_by(ORDER).select(*self.columns))

    def with_table(self, table: ir.Table, refused: pa.Table | None = None) -> Self:
        """This frame with other rows, and with ``refused`` added to its rejects."""
        added = [self.rejects] if refused is None else [self.rejects, refused]
        return replace(self, table=table, rejects=rejects.concat(added))

    @classmethod
    def _build(
        cls,
        source: readers.Source,
        given: Mapping[str, str] | None,
        constants: Mapping[str, str | None],
        time_unit: str | None = None,
    ) -> Self:
        import ibis

        found = resolve(source.columns, cls.known, given, source.name)
        table = source.table.mutate(**{TABLE: ibis.literal(source.name), ORDER: source.table[ROW]})
        rules: list[rejects.Rule] = []
        casts: dict[str, Any] = {}
        for column in cls.known:
            if column.name in found:
                casts[column.name], broken = cast(
                    table, found[column.name], column, source.name, time_unit
                )
                rules += broken
        for name, constant in constants.items():
            if constant is not None and name not in found:
                casts[name] = ibis.literal(constant)
        ordered = {column.name: casts[column.name] for column in cls.known if column.name in casts}
        others = [name for name in source.columns if name not in found.values()]
        if cls.keeps_attributes:
            ordered |= read_attributes(source, table, others)
        kept, refused = rejects.apply(table, rules)
        frame = engine.materialise(kept.select(**ordered, **{n: kept[n] for n in INTERNAL}))
        left_out = () if cls.keeps_attributes else tuple(others)
        absent = [one for one in cls.known if one.name not in {*found, *(given or {}), *casts}]
        doubts = tuple(
            f"{source.name}: column {name!r} is not read; if it is the {meant}, rename it or say "
            f"columns={{{meant!r}: {name!r}}}"
            for name, meant in vocabulary.resembling(left_out, absent).items()
        )
        return cls(frame, source.name, rejects.concat([source.rejects, refused]), left_out, doubts)


class EventLog(Frame):
    """What people did: one row an event; only ``user_id`` and ``item_id`` are required.

    ``timestamp`` is in microseconds since 1970 UTC, null where missing.
    """

    known = vocabulary.EVENTS

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        columns: Mapping[str, str] | None = None,
        time_unit: str | None = None,
        behaviour: str | None = None,
        scenario: str | None = None,
        name: str = "events",
    ) -> Self:
        """Read a log from a file or a frame.

        Args:
            source: a path, a frame (see :func:`quintet.data.readers.read`) or another log.
            columns: canonical name -> source column, where the names are not recognised.
            time_unit: ``s``, ``ms``, ``us``, ``ns`` or ``yyyymmdd``; decided by size if not given.
            behaviour: of all events, where the source has no such column.
            scenario: of all events, where the source has no such column.
            name: what to call a frame that has no file name.

        Raises:
            ColumnError: a column is missing, doubled, ambiguous or of a wrong type.
            DataError: the source cannot be read.
            EmptyDataError: the source holds no rows.
        """
        constants = {"behaviour": behaviour, "scenario": scenario}
        if isinstance(source, cls):
            return source._with_constants(constants)
        return cls._build(readers.read(source, name), columns, constants, time_unit)

    def _with_constants(self, constants: Mapping[str, str | None]) -> Self:
        """This log with labels for all events, where it has no such column."""
        import ibis

        missing = {
            name: ibis.literal(label)
            for name, label in constants.items()
            if label is not None and name not in self.columns
        }
        return self.with_table(self.table.mutate(**missing)) if missing else self

    @classmethod
    def query(
        cls,
        sql: str,
        database: str | Path | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        time_unit: str | None = None,
        name: str = "query",
    ) -> Self:
        """Read a log from a DuckDB query, which may itself read files or a database file."""
        return cls._build(readers.query(sql, database, name), columns, {}, time_unit)


class _Attributes(Frame):
    """A table of entities: an id, and attributes under their own names."""

    keeps_attributes = True

    @classmethod
    def read(
        cls, source: Any, *, columns: Mapping[str, str] | None = None, name: str | None = None
    ) -> Self:
        """Read the table from a file or a frame; errors as for :meth:`EventLog.read`."""
        if isinstance(source, cls):
            return source
        return cls._build(readers.read(source, name or cls.__name__.lower()), columns, {})

    @classmethod
    def query(
        cls,
        sql: str,
        database: str | Path | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        name: str = "query",
    ) -> Self:
        """Read the table from a DuckDB query."""
        return cls._build(readers.query(sql, database, name), columns, {})


class Catalogue(_Attributes):
    """Items and their attributes; ``item_id`` is required."""

    known = vocabulary.CATALOGUE


class Users(_Attributes):
    """Users and their attributes; ``user_id`` is required."""

    known = vocabulary.USERS


class Relations(Frame):
    """Edges between users, items and groups: ``source_id``, ``target_id``, ``kind``, ``weight``.

    ``identity`` edges say that two user ids are one person's.
    """

    known = vocabulary.RELATIONS

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        columns: Mapping[str, str] | None = None,
        kind: str | None = None,
        name: str = "relations",
    ) -> Self:
        """Read edges from a file or a frame.

        Args:
            source: a path, a frame or other relations.
            columns: canonical name -> source column, where the names are not recognised.
            kind: of all edges, where the source has no such column.
            name: what to call a frame that has no file name.

        Raises:
            ColumnError: a column is missing or of a wrong type, or no kind is given.
        """
        if isinstance(source, cls):
            return source
        return cls._edges(readers.read(source, name), columns, kind)

    @classmethod
    def query(
        cls,
        sql: str,
        database: str | Path | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        kind: str | None = None,
        name: str = "query",
    ) -> Self:
        """Read edges from a DuckDB query."""
        return cls._edges(readers.query(sql, database, name), columns, kind)

    @classmethod
    def _edges(
        cls, source: readers.Source, given: Mapping[str, str] | None, kind: str | None
    ) -> Self:
        import ibis

        valid = ", ".join(RELATION_KINDS)
        if kind is not None and kind not in RELATION_KINDS:
            raise ColumnError(f"{source.name}: unknown kind {kind!r}; choose one of: {valid}")
        chosen = {**(given or {}), **({"kind": ""} if kind else {})}
        frame = cls._build(source, chosen, {"kind": kind})
        if "kind" not in frame.columns:
            raise ColumnError(f"{source.name}: no column for kind; say kind= one of: {valid}")
        table = frame.table.mutate(kind=frame.table.kind.strip().lower().re_replace("[_ ]", "-"))
        given_weight = table.weight if "weight" in frame.columns else ibis.null("float64")
        table = table.mutate(weight=ibis.coalesce(given_weight, ibis.literal(1.0, "float64")))
        unknown = ~table.kind.isin(RELATION_KINDS) | table.kind.isnull()
        kept, refused = rejects.apply(table, [rejects.Rule("unknown kind", "kind", unknown)])
        edges = kept.select("source_id", "target_id", "kind", "weight", *INTERNAL)
        return frame.with_table(engine.materialise(edges), refused)
