"""Attribute columns of catalogues and user tables: cells that say "nothing" become null.

Text files do not say what their cells are, so a column whose every cell is a number becomes one;
``007`` is no number, and what RecBole's header calls a token stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quintet.data import engine
from quintet.data.casts import is_missing

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from quintet.data.readers import Source

WHOLE = r"^-?(0|[1-9]\d{0,17})$"
DECIMAL = r"^[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?$"


def read_attributes(source: Source, table: ir.Table, names: Sequence[str]) -> dict[str, Any]:
    """Columns ``names`` of ``table`` as they are kept, by name."""
    untyped = [name for name in names if source.text and name not in source.atomic]
    numeric = _numeric_columns(table, untyped)
    kept: dict[str, Any] = {}
    for name in names:
        column = table[name]
        if name in source.atomic and column.type().is_string():
            kept[name] = _atomic(column, source.atomic[name])
        elif name in numeric:
            kept[name] = _or_null(column).strip().cast(numeric[name])
        elif column.type().is_json():
            kept[name] = column.cast("string")
        else:
            kept[name] = _or_null(column) if column.type().is_string() else column
    return kept


def _or_null(column: Any) -> Any:
    import ibis

    return is_missing(column).ifelse(ibis.null("string"), column)


def _atomic(column: Any, kind: str) -> Any:
    text = _or_null(column)
    if kind == "float":
        return text.try_cast("float64")
    if kind == "token":
        return text
    tokens = text.strip().re_split(r"\s+")
    return tokens if kind == "token_seq" else tokens.map(lambda token: token.try_cast("float64"))


def _numeric_columns(table: ir.Table, names: Sequence[str]) -> dict[str, str]:
    """The type of each column that holds nothing but numbers."""
    if not names:
        return {}
    counts: dict[str, Any] = {}
    for i, name in enumerate(names):
        text, given = table[name].strip(), ~is_missing(table[name])
        counts[f"given{i}"] = given.sum()
        counts[f"whole{i}"] = (given & text.re_search(WHOLE)).sum()
        decimal = text.re_search(DECIMAL) & text.try_cast("float64").notnull()
        counts[f"decimal{i}"] = (given & decimal).sum()
    found = engine.fetch(table.aggregate(**counts)).to_pylist()[0]
    types = {}
    for i, name in enumerate(names):
        given = found[f"given{i}"]
        if given and found[f"whole{i}"] == given:
            types[name] = "int64"
        elif given and found[f"decimal{i}"] == given:
            types[name] = "float64"
    return types
