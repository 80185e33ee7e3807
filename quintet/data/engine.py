"""The embedded engine: one DuckDB connection a process, spoken to through ibis.

Tables that frames read live here, outside Python's memory; what does not fit in RAM is spilled to
the temporary directory. A table is dropped when nothing refers to it any more. The connection is
for one thread at a time.
"""

# ruff: noqa: S608  the SQL is made of quoted names

from __future__ import annotations

import functools
import itertools
import re
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quintet.errors import DataError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

_numbers = itertools.count(1)
#: DuckDB's types that ibis has no name for, and what stands for them
NAMED_TYPES = {"TIMESTAMPTZ_NS": "TIMESTAMPTZ", '"NULL"': "VARCHAR"}


@functools.cache
def backend() -> Any:
    """The ibis backend; times are UTC."""
    import ibis

    engine = ibis.duckdb.connect()
    spill = Path(tempfile.gettempdir()) / f"quintet-{id(engine):x}"
    engine.con.execute("SET TimeZone = 'UTC'")
    engine.con.execute("SET enable_progress_bar = false")
    engine.con.execute(f"SET temp_directory = {quote(str(spill))}")
    return engine


def quote(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def exactly(path: Path) -> str:
    """A path in which nothing stands for anything else: DuckDB reads any path as a pattern."""
    return re.sub(r"([\[?*])", r"[\1]", str(path))


def identifier(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def unique(prefix: str) -> str:
    """A table name not used before in this process."""
    return f"{prefix}_{next(_numbers)}"


def execute(sql: str) -> Any:
    """Run SQL on the engine's connection; gives DuckDB's result."""
    return backend().con.execute(sql)


def create(select: str) -> ir.Table:
    """Keep the result of an SQL query as a table of the engine, until nobody refers to it."""
    name = unique("quintet")
    execute(f"CREATE TEMP TABLE {identifier(name)} AS {_known_types(select)}")
    table = backend().table(name)
    finalizer = weakref.finalize(table.op(), _drop, name)
    finalizer.atexit = False  # the database goes with the process
    return table


def _known_types(select: str) -> str:
    """The query in types that ibis has a name for.

    Times in a zone come to the microsecond, and columns of nothing but nulls as text.
    """
    columns = execute(f"DESCRIBE {select}").fetchall()
    named = [
        (identifier(name), NAMED_TYPES[kind]) for name, kind, *_ in columns if kind in NAMED_TYPES
    ]
    if not named:
        return select
    casts = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in named)
    return f"SELECT * REPLACE ({casts}) FROM ({select})"


def _drop(name: str) -> None:
    execute(f"DROP TABLE IF EXISTS {identifier(name)}")


def materialise(expression: ir.Table) -> ir.Table:
    """Compute an ibis expression once and keep the result."""
    return create(to_sql(expression))


def to_sql(expression: ir.Table) -> str:
    """The expression as the engine's SQL."""
    import ibis

    return str(ibis.to_sql(expression, dialect="duckdb"))


def load(data: pa.Table | pa.RecordBatchReader, row_column: str | None = None) -> ir.Table:
    """Bring Arrow data into the engine; ``row_column`` numbers the rows from 1."""
    name = unique("arrow")
    backend().con.register(name, data)
    number = f"row_number() OVER () AS {identifier(row_column)}, " if row_column else ""
    try:
        return create(f"SELECT {number}* FROM {identifier(name)}")
    finally:
        backend().con.unregister(name)


def fetch(expression: ir.Table) -> pa.Table:
    """The expression's rows as Arrow."""
    return fetch_sql(to_sql(expression))


def fetch_sql(select: str) -> pa.Table:
    """The rows of an SQL query as Arrow."""
    return backend().con.sql(select).to_arrow_table()


def value(expression: Any) -> Any:
    """The expression's single value."""
    return fetch(expression.as_table()).column(0)[0].as_py()


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn the engine's and Arrow's errors into a :class:`DataError` that names the source."""
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (duckdb.Error, pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{where}: cannot be read: {reason}") from None
