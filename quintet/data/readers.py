"""From whatever the caller has to a table of the engine: files by their suffix, frames, SQL."""

# ruff: noqa: S608  the SQL is made of quoted names

from __future__ import annotations

import codecs
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from quintet.data import delimited, engine, rejects
from quintet.data.columns import ROW, check_names, split_atomic
from quintet.errors import ColumnError, DataError, EmptyDataError

if TYPE_CHECKING:
    import ibis.expr.types as ir

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Source:
    """A source as it was given, in the engine.

    Attributes:
        name: what messages and rejects call it.
        table: its columns and the row number (from 1).
        atomic: RecBole's column types by column, where the header names them.
        rejects: rows that were ill-formed.
        text: whether every cell is text, so that numbers must be recognised.
    """

    name: str
    table: ir.Table
    atomic: dict[str, str] = field(default_factory=dict)
    rejects: pa.Table = field(default_factory=rejects.no_rejects)
    text: bool = False

    @property
    def columns(self) -> list[str]:
        """The source's own column names."""
        return [name for name in self.table.columns if name != ROW]


def read(source: Any, name: str) -> Source:
    """Read a path or a frame.

    Args:
        source: path of a CSV, TSV, RecBole, JSON Lines or Parquet file (``.gz`` too); an Arrow
            table or reader, a pandas, polars or ibis frame; a mapping of columns or list of rows.
        name: what to call a source that has no file name.

    Raises:
        DataError: the source does not exist, is not of a known kind or cannot be read.
    """
    if isinstance(source, str | Path):
        return _read_path(Path(source))
    data = _as_arrow(source, name)
    check_names(data.schema.names, name)
    with engine.reading(name):
        table = engine.load(data, row_column=ROW)
    return _typed(Source(name, table))


def query(sql: str, database: str | Path | None, name: str) -> Source:
    """Run a DuckDB query, in the embedded engine or in a database file (opened read-only).

    Raises:
        DataError: the database or a table does not exist, or the SQL is wrong.
    """
    import duckdb

    with engine.reading(name):
        connection = (
            engine.backend().con.cursor()
            if database is None
            else duckdb.connect(str(database), read_only=True)
        )
        try:
            result = connection.sql(sql)
            if result is None:
                raise DataError(f"{name}: the SQL gives no rows; expected a SELECT: {sql}")
            data = result.to_arrow_reader()
            check_names(data.schema.names, name)
            return _typed(Source(name, engine.load(data, row_column=ROW)))
        finally:
            connection.close()


def _read_path(path: Path) -> Source:
    globbed = "*" in str(path)
    if not globbed and not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        return _read_parquet(f"{engine.exactly(path)}/*.parquet", path)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind in PARQUET_SUFFIXES:
        return _read_parquet(engine.exactly(path) if path.exists() else str(path), path)
    if kind in JSON_SUFFIXES and not globbed:
        return _read_json(path)
    if kind in delimited.SUFFIXES and not globbed:
        table, atomic, refused = delimited.read_delimited(path)
        return Source(path.name, table, atomic, refused, text=True)
    known = ", ".join((*delimited.SUFFIXES, *JSON_SUFFIXES, *PARQUET_SUFFIXES))
    raise DataError(
        f"{path}: cannot tell the format from the name; known: {known} (.gz too; '*' for Parquet)"
    )


def _read_parquet(pattern: str, path: Path) -> Source:
    scan = f"read_parquet({engine.quote(pattern)}, union_by_name = true)"
    with engine.reading(str(path)):
        described = engine.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
        check_names([column[0] for column in described], str(path))
        table = engine.create(f"SELECT row_number() OVER () AS {ROW}, * FROM {scan}")
    return _typed(Source(path.name, table))


def _typed(source: Source) -> Source:
    """Take RecBole's types off the names, and refuse a source without rows."""
    named = {column: split_atomic(column) for column in source.columns}
    renames = {new: old for old, (new, kind) in named.items() if kind}
    check_names([new for new, _ in named.values()], source.name)
    if not engine.value(source.table.count()):
        raise EmptyDataError(f"{source.name}: no rows")
    atomic = {new: kind for new, kind in named.values() if kind}
    return Source(source.name, source.table.rename(renames), atomic, source.rejects)


def _read_json(path: Path) -> Source:
    with engine.reading(str(path)):
        lines = _json_lines(path)
        total = engine.value(lines.count())
        if not total:
            raise EmptyDataError(f"{path}: the file is empty")
        objects = lines.filter(lines["type"] == "OBJECT")
        structure = engine.execute(
            f"SELECT json_group_structure(json) FROM ({engine.to_sql(objects)})"
        ).fetchall()[0][0]
    refused = _json_rejects(lines, path.name)
    if len(refused) == total:
        raise DataError(f"{path}: no line is a JSON object; expected JSON Lines, one object a line")
    import json

    fields = json.loads(structure)
    check_names(fields, str(path))
    shape = engine.quote(json.dumps({name: _json_type(kind) for name, kind in fields.items()}))
    with engine.reading(str(path)):
        table = engine.create(
            f"SELECT {ROW}, unnest(from_json(json, {shape})) FROM ({engine.to_sql(objects)})"
        )
    typed = _typed(Source(path.name, table))
    return Source(path.name, typed.table, typed.atomic, refused)


def _json_lines(path: Path) -> ir.Table:
    start = delimited.first_bytes(path)
    if start.startswith(codecs.BOM_UTF8):  # DuckDB reads it as part of the first line
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "rows.json"
            with delimited.unzipped(path) as source, copy.open("wb") as target:
                source.read(len(codecs.BOM_UTF8))
                shutil.copyfileobj(source, target)
            return _json_lines(copy)
    start = start.lstrip()
    shape = "array" if start.startswith(b"[") else "newline_delimited"
    lines = "true" if shape == "newline_delimited" else "false"
    return engine.create(
        f"SELECT row_number() OVER () AS {ROW}, json, json_type(json) AS type "
        f"FROM read_json_objects({engine.quote(engine.exactly(path))}, format = '{shape}', "
        f"ignore_errors = {lines})"
    )


def _json_type(kind: Any) -> Any:
    """The type that a field is read as: text where kinds are mixed, JSON where nested."""
    if isinstance(kind, list):
        inner = _json_type(kind[0])
        return "JSON" if isinstance(inner, list) or inner == "JSON" else [inner]
    if isinstance(kind, Mapping):
        return "JSON"
    return "VARCHAR" if kind in {"JSON", "NULL"} else kind


def _json_rejects(lines: ir.Table, name: str) -> pa.Table:
    import ibis

    kinds = lines.mutate(**{"__table": ibis.literal(name)})
    rules = [
        rejects.Rule("ill-formed JSON", "json", kinds["json"].isnull()),
        rejects.Rule("not a JSON object", "json", kinds["type"] != "OBJECT"),
    ]
    return rejects.apply(kinds, rules)[1]


def _as_arrow(source: Any, name: str) -> pa.Table | pa.RecordBatchReader:
    module = type(source).__module__.partition(".")[0]
    try:
        if isinstance(source, pa.Table | pa.RecordBatchReader):
            return source
        if isinstance(source, pa.RecordBatch):
            return pa.Table.from_batches([source])
        if isinstance(source, Mapping):
            return pa.table(dict(source))
        if isinstance(source, list | tuple) and all(isinstance(row, Mapping) for row in source):
            return pa.Table.from_pylist(list(source))
        if module == "pandas":
            check_names([str(column) for column in source.columns], name)
            return pa.Table.from_pandas(source, preserve_index=False)
        if hasattr(source, "collect") and module == "polars":
            return pa.table(source.collect())
        if hasattr(source, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(source)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        reason = "; ".join(str(part) for part in error.args)
        raise ColumnError(
            f"{name}: a column holds values of several types: {reason}; give each column one type"
        ) from None
    raise DataError(
        f"{name}: cannot read a {type(source).__name__}; give a path, an Arrow, pandas or polars "
        "frame, a mapping of columns or a list of rows"
    )
