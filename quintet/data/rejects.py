"""Rows that were refused: why, where they stood and what they held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from quintet.data import engine
from quintet.data.columns import ROW, TABLE

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: one row a refused row; row numbers count data rows of the source from 1
REJECTS = pa.schema(
    [
        ("table", pa.string()),
        ("row_number", pa.int64()),
        ("reason", pa.string()),
        ("column", pa.string()),
        ("value", pa.string()),
    ]
)


@dataclass(frozen=True)
class Rule:
    """Refuse the rows where ``broken`` holds.

    Attributes:
        reason: short name under which such rows are counted.
        column: the column at fault.
        broken: boolean ibis expression.
        value: what the row holds there, as an ibis expression; the column itself by default.
    """

    reason: str
    column: str
    broken: Any
    value: Any = None


def no_rejects() -> pa.Table:
    """An empty table of rejects."""
    return REJECTS.empty_table()


def concat(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables of rejects, one after the other."""
    return pa.concat_tables([no_rejects(), *tables])


def counts(rejects: pa.Table) -> dict[str, dict[str, int]]:
    """Rejected rows by table and reason, in order of first appearance."""
    grouped = rejects.group_by(["table", "reason"], use_threads=False)
    result: dict[str, dict[str, int]] = {}
    for row in grouped.aggregate([([], "count_all")]).to_pylist():
        result.setdefault(row["table"], {})[row["reason"]] = row["count_all"]
    return result


def described(rejects: pa.Table) -> dict[str, str]:
    """By table, how many rows were refused for what, with the first of each to look at."""
    first: dict[tuple[str, str], str] = {}
    for row in rejects.to_pylist():
        where = f"row {row['row_number']}, column {row['column']}: {row['value']!r}"
        first.setdefault((row["table"], row["reason"]), where)
    return {
        table: ", ".join(
            f"{count:,} {reason} ({first[table, reason]})" for reason, count in reasons.items()
        )
        for table, reasons in counts(rejects).items()
    }


def write(rejects: pa.Table, path: str | Path) -> None:
    """Write rejects as Parquet."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rejects, path)


def apply(table: ir.Table, rules: Sequence[Rule]) -> tuple[ir.Table, pa.Table]:
    """Split ``table`` by ``rules``; the first broken rule names a row's reason.

    Args:
        table: has the internal columns for source and row.
        rules: in order of precedence.

    Returns:
        the rows that break no rule, and the rejects.
    """
    import ibis

    if not rules:
        return table, no_rejects()
    first = [(rule.broken.fill_null(False), index) for index, rule in enumerate(rules)]
    held = [table[rule.column] if rule.value is None else rule.value for rule in rules]
    shown = [(broken, value.cast("string")) for (broken, _), value in zip(first, held, strict=True)]
    # marked before filtering: a rule may look at other rows too
    marked = table.mutate(__rule=ibis.cases(*first), __value=ibis.cases(*shown))
    refused = marked.filter(marked["__rule"].notnull()).order_by(TABLE, ROW)
    found = engine.fetch(refused.select(TABLE, ROW, "__rule", "__value"))
    if not len(found):
        return table, no_rejects()
    broken = found["__rule"].cast(pa.int64())
    columns = {
        "table": found[TABLE].cast(pa.string()),
        "row_number": found[ROW],
        "reason": pa.array([rule.reason for rule in rules], pa.string()).take(broken),
        "column": pa.array([rule.column for rule in rules], pa.string()).take(broken),
        "value": found["__value"].cast(pa.string()),
    }
    kept = marked.filter(marked["__rule"].isnull()).drop("__rule", "__value")
    return kept, pa.table(columns, REJECTS)
