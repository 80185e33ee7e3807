"""CSV, TSV and RecBole's atomic files: every cell is read as text, ill-formed rows are counted."""

# ruff: noqa: S608  the SQL is made of quoted names

from __future__ import annotations

import codecs
import csv
import gzip
import io
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from quintet.data import engine, rejects
from quintet.data.columns import ROW, check_names, split_atomic
from quintet.errors import DataError, EmptyDataError

if TYPE_CHECKING:
    import ibis.expr.types as ir

ATOMIC_SUFFIXES = (".inter", ".item", ".user", ".kg", ".link", ".net")
SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".dat", *ATOMIC_SUFFIXES)
REASONS = {
    "MISSING COLUMNS": "too few columns",
    "TOO MANY COLUMNS": "too many columns",
    "UNQUOTED VALUE": "unbalanced quotes",
    "INVALID ENCODING": "not UTF-8",
    "LINE SIZE OVER MAXIMUM": "line too long",
}


def read_delimited(path: Path) -> tuple[ir.Table, dict[str, str], pa.Table]:
    """Read a delimited text file, plain or gzipped.

    Returns:
        a table of text columns with the row number, RecBole's types by column, and the rejects.

    Raises:
        EmptyDataError: the file holds no rows.
        DataError: the file, or every row of it, is ill-formed.
    """
    header = _header(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    atomic = any(suffix in ATOMIC_SUFFIXES for suffix in suffixes)
    tabs = atomic or ".tsv" in suffixes
    delimiter = "\t" if tabs else max(",\t;|", key=header.count)
    try:
        given = next(csv.reader([header], delimiter=delimiter, strict=not atomic))
    except csv.Error as error:
        raise DataError(
            f"{path}: the header cannot be read ({error}): its quotes must close on its own line; "
            "rename the columns"
        ) from None
    named = [split_atomic(name.strip()) for name in given]
    check_names([name for name, _ in named if name], str(path))
    types = {name: kind for name, kind in named if kind}
    names = [name or f"__unnamed{i}" for i, (name, _) in enumerate(named)]
    table, refused = _scan(path, names, delimiter, "" if atomic else '"')
    if delimiter == "\t" and not atomic and "unbalanced quotes" in refused["reason"].to_pylist():
        table, refused = _scan(path, names, delimiter, "")  # tab files often hold bare quotes
    _refuse_swallowed(path, refused)
    kept = engine.value(table.count())
    if not kept and not len(refused):
        raise EmptyDataError(f"{path}: a header but no rows below it")
    if not kept:
        first = refused.slice(0, 1).to_pylist()[0]
        raise DataError(
            f"{path}: none of {len(refused)} rows could be read; row {first['row_number']}: "
            f"{first['reason']} (the header has {len(names)})"
        )
    return table.drop(*[name for name in names if name.startswith("__unnamed")]), types, refused


def unzipped(path: Path) -> IO[bytes]:
    """The file's own bytes, whether it is zipped or not."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def first_bytes(path: Path) -> bytes:
    """The start of a file, unzipped.

    Raises:
        DataError: the file is not what its ``.gz`` promises.
    """
    try:
        with unzipped(path) as file:
            return file.read(1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file: {error}; fetch it again") from None


def _header(path: Path) -> str:
    start = first_bytes(path).removeprefix(codecs.BOM_UTF8)
    if not start.strip():
        raise EmptyDataError(f"{path}: the file is empty")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: UTF-16 text; save the file as UTF-8")
    line = start.splitlines()[0]
    if b"\0" in line:
        raise DataError(f"{path}: the header holds null bytes; save the file as UTF-8 text")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the header is not UTF-8 ({error.reason}); convert it") from None


def _scan(path: Path, names: list[str], delimiter: str, quote: str) -> tuple[ir.Table, pa.Table]:
    with engine.reading(str(path)):
        try:
            return _scan_file(path, path, names, delimiter, quote)
        except Exception as error:
            if "state machine" not in str(error):
                raise
    # DuckDB wants one kind of line end: give it a copy in which they agree
    with tempfile.TemporaryDirectory() as folder, engine.reading(str(path)):
        copy = Path(folder) / "rows.csv"
        with (
            io.TextIOWrapper(unzipped(path), "utf-8", "surrogateescape") as source,
            copy.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        return _scan_file(copy, path, names, delimiter, quote)


def _scan_file(
    path: Path, shown: Path, names: list[str], delimiter: str, quote: str
) -> tuple[ir.Table, pa.Table]:
    errors, scans = engine.unique("errors"), engine.unique("scans")
    columns = ", ".join(f"{engine.quote(name)}: 'VARCHAR'" for name in names)
    options = ", ".join(
        [
            "header = true, auto_detect = false, store_rejects = true, rejects_limit = 0",
            f"delim = {engine.quote(delimiter)}, quote = '{quote}', escape = '{quote}'",
            f"rejects_table = '{errors}', rejects_scan = '{scans}', columns = {{{columns}}}",
        ]
    )
    try:
        table = engine.create(
            f"SELECT row_number() OVER () AS {ROW}, * "
            f"FROM read_csv({engine.quote(engine.exactly(path))}, {options})"
        )
        # a record can break in several places: its first error names it; line 1 is the header
        found = engine.fetch_sql(
            f"SELECT line - 1 AS row_number, arg_min(error_type, line_byte_position) AS error, "
            f"arg_min(column_name, line_byte_position) AS column, any_value(csv_line) AS value "
            f"FROM {errors} GROUP BY line ORDER BY line"
        )
    finally:
        engine.execute(f"DROP TABLE IF EXISTS {errors}")
        engine.execute(f"DROP TABLE IF EXISTS {scans}")
    reasons = [REASONS.get(error, error.lower()) for error in found["error"].to_pylist()]
    refused = pa.table(
        {
            "table": pa.array([shown.name] * len(found), pa.string()),
            "row_number": found["row_number"].cast(pa.int64()),
            "reason": pa.array(reasons, pa.string()),
            "column": found["column"].cast(pa.string()),
            "value": found["value"].cast(pa.string()),
        },
        rejects.REJECTS,
    )
    return _renumber(table, refused), refused


def _renumber(table: ir.Table, refused: pa.Table) -> ir.Table:
    """Let the row numbers of the rows that were read count the refused rows between them too."""
    if not len(refused):
        return table
    rows = refused["row_number"].to_numpy()
    gaps = engine.load(
        pa.table({"read_before": rows - 1 - range(len(rows)), "refused": range(1, len(rows) + 1)})
    )
    return engine.create(
        f"SELECT t.* REPLACE (t.{ROW} + coalesce(g.refused, 0) AS {ROW}) "
        f"FROM {table.get_name()} t ASOF LEFT JOIN "
        f"(SELECT read_before, max(refused) AS refused FROM {gaps.get_name()} GROUP BY ALL) g "
        f"ON t.{ROW} > g.read_before "
        f"ORDER BY t.{ROW}"
    )


def _refuse_swallowed(path: Path, refused: pa.Table) -> None:
    """A quote that is never closed would swallow the rest of the file as one bad row."""
    for row in refused.to_pylist():
        lines = (row["value"] or "").strip("\n").count("\n")
        if row["reason"] == "unbalanced quotes" and lines:
            raise DataError(
                f"{path}: row {row['row_number']}, column {row['column']!r}: a quote is opened and "
                f"not closed, which swallows the {lines} lines after it; close it or double it"
            )
