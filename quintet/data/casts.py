"""From cells as given to canonical values: ids, times, numbers and labels, as ibis expressions.

Each function gives the new column and the rules under which a row is refused. Nothing is guessed
a row at a time: the unit of a time column is decided once, by the size of its middle value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.data import engine
from quintet.data.columns import ROW, Column
from quintet.data.rejects import Rule
from quintet.errors import ColumnError, ConfigError

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: texts that stand for "nothing here" in columns other than ids (case aside)
MISSING_TEXTS = ("", "na", "n/a", "nan", "null", "none", "\\n")
#: microseconds in one unit of time
TIME_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
#: whole numbers above this lose digits in a 64-bit float
EXACT_FLOAT = 2**53

#: a column, and what can be wrong with a cell: the problem and where it occurs
Cast = tuple[Any, dict[str, Any]]


def cast(
    table: ir.Table, source: str, target: Column, where: str, time_unit: str | None
) -> tuple[Any, list[Rule]]:
    """Column ``source`` of ``table`` as the canonical ``target``, and the rules to refuse rows by.

    Raises:
        ColumnError: the column as a whole cannot be what ``target`` asks for.
    """
    if target.kind == "time":
        column, problems = _time(table, source, where, time_unit)
    else:
        casts = {"id": _id, "label": _label, "number": _number}
        column, problems = casts[target.kind](table, source, where)
    if target.kind == "number":
        low, high = target.within
        problems["impossible"] = column.notnull() & ~column.between(low, high)
    return column, [
        Rule(f"{problem} {target.name}", target.name, broken, table[source])
        for problem, broken in problems.items()
    ]


def _id(table: ir.Table, source: str, where: str) -> Cast:
    import ibis

    column = table[source]
    dtype = column.type()
    if dtype.is_string():
        blank = column.strip() == ""
        null_byte = {"null byte in": column.contains(ibis.literal("\0"))}
        return blank.ifelse(ibis.null("string"), column), null_byte
    if dtype.is_uuid():
        return column.cast("string"), {}
    if dtype.is_integer():
        big = column.cast("decimal(38, 0)") > 2**63 - 1
        _refuse_any(table, source, big, where, "is too large for 64 bits; pass ids as text")
        return column.cast("int64"), {}
    if dtype.is_decimal():  # through a float, neighbours beyond 2^53 would fall together
        whole = column.try_cast("int64")
        uneven = column.notnull() & (whole.isnull() | (whole.cast(dtype) != column))
        _refuse_any(table, source, uneven, where, "is no whole number of 64 bits; pass ids as text")
        return whole, {}
    if dtype.is_floating():
        number = column.cast("float64")
        number = number.isnan().ifelse(ibis.null("float64"), number)
        whole = number.try_cast("int64")
        uneven = number.notnull() & (whole.isnull() | (whole != number))
        uneven |= number.abs() > EXACT_FLOAT
        _refuse_any(table, source, uneven, where, "is no whole number; pass ids as text")
        return number.cast("int64"), {}
    what = {"boolean": "true/false values", "json": "nested JSON"}.get(
        str(dtype), f"{dtype} values"
    )
    raise ColumnError(
        f"{where}: column {source!r} holds {what}{_first(table, source)}; ids must be text or "
        f"whole numbers: convert the column, or name another with columns="
    )


def _refuse_any(table: ir.Table, source: str, bad: Any, where: str, why: str) -> None:
    row = engine.value(table.filter(bad).aggregate(row=table[ROW].min())["row"].max())
    if row is not None:
        held = engine.value(table.filter(table[ROW] == row)[source].max())
        raise ColumnError(f"{where}: row {row}, column {source!r}: the id {held!r} {why}")


def _first(table: ir.Table, source: str) -> str:
    found = engine.fetch(table.filter(table[source].notnull()).select(ROW, source).limit(1))
    rows = found.to_pylist()
    return f" (row {rows[0][ROW]}: {rows[0][source]!r})" if rows else ""


def _label(table: ir.Table, source: str, where: str) -> Cast:
    import ibis

    column = table[source]
    dtype = column.type()
    if dtype.is_nested() or dtype.is_json():
        raise ColumnError(
            f"{where}: column {source!r} is nested{_first(table, source)}; flatten it to text, or "
            "leave it out with columns="
        )
    text = column.cast("string")
    return is_missing(text).ifelse(ibis.null("string"), text), {}


def _number(table: ir.Table, source: str, where: str) -> Cast:
    import ibis

    number, unreadable = _to_float(table, source, where)
    return number.isnan().ifelse(ibis.null("float64"), number), {"unreadable": unreadable}


def _to_float(table: ir.Table, source: str, where: str) -> tuple[Any, Any]:
    """The column as a float, and where text could not be read."""
    import ibis

    column = table[source]
    dtype = column.type()
    if dtype.is_string():
        number = column.strip().try_cast("float64")
        unreadable = number.isnull() & ~is_missing(column)
        _refuse_unreadable(table, source, unreadable, where, "numbers")
        return number, unreadable
    if dtype.is_numeric() or dtype.is_boolean():
        return column.cast("float64"), ibis.literal(False)
    raise ColumnError(
        f"{where}: column {source!r} holds {dtype} values; expected numbers: convert it, or leave "
        "it out with columns="
    )


def is_missing(column: Any) -> Any:
    """Where a text column says "nothing here"."""
    return column.isnull() | column.strip().lower().isin(MISSING_TEXTS)


def _refuse_unreadable(table: ir.Table, source: str, bad: Any, where: str, what: str) -> None:
    """One bad cell is a rejected row; a column of nothing else is a mistake to name."""
    counted = engine.fetch(
        table.aggregate(
            bad=bad.sum(), given=(~is_missing(table[source])).sum(), row=table[ROW].min(where=bad)
        )
    ).to_pylist()[0]
    if counted["bad"] and counted["bad"] == counted["given"]:
        held = engine.value(table.filter(table[ROW] == counted["row"])[source].max())
        raise ColumnError(
            f"{where}: column {source!r}: no value could be read as {what} (row {counted['row']}: "
            f"{held!r}); convert the column, or leave it out with columns="
        )


def _time(table: ir.Table, source: str, where: str, unit: str | None) -> Cast:
    import ibis

    if unit is not None and unit not in (*TIME_UNITS, "yyyymmdd"):
        valid = ", ".join((*TIME_UNITS, "yyyymmdd"))
        raise ConfigError(f"{where}: unknown time_unit {unit!r}; choose one of: {valid}")
    column = table[source]
    dtype = column.type()
    if dtype.is_timestamp() or dtype.is_date():
        return _micros(column.cast('timestamp("UTC")')), {}
    if unit == "yyyymmdd" or (unit is None and _all_compact_dates(table, column)):
        moment = _compact_date(column)
        unreadable = column.notnull() & moment.isnull()
        return _micros(moment), {"unreadable": unreadable}
    if dtype.is_string():
        number = column.strip().try_cast("float64")
        moment = column.strip().try_cast('timestamp("UTC")')
        readable = number.notnull() | moment.notnull()
        unreadable = ~readable & ~is_missing(column)
        _refuse_unreadable(table, source, unreadable, where, "times (numbers or ISO 8601)")
        iso = number.isnull().ifelse(_micros(moment), ibis.null("int64"))
    elif dtype.is_numeric():
        number, iso = column.cast("float64"), ibis.null("int64")
        unreadable = ibis.literal(False)
    else:
        raise ColumnError(
            f"{where}: column {source!r} holds {dtype} values; expected times as numbers, ISO 8601 "
            "text or timestamps"
        )
    micros = (number * TIME_UNITS[unit or _unit_of(table, number)]).try_cast("int64")
    beyond = number.notnull() & ~number.isnan() & micros.isnull()
    problems = {"unreadable": unreadable, "impossible": beyond}
    return ibis.coalesce(micros, iso), problems


def _micros(moment: Any) -> Any:
    import ibis

    epoch = ibis.timestamp("1970-01-01 00:00:00", timezone="UTC")
    return moment.cast('timestamp("UTC")').delta(epoch, unit="microsecond")


def _compact_date(column: Any) -> Any:
    text = column.cast("string").re_extract(r"^(\d{8})(\.0)?$", 1)
    dashed = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)
    return dashed.try_cast('timestamp("UTC")')


def _all_compact_dates(table: ir.Table, column: Any) -> bool:
    """Whether every value is a day such as 20240501; read as seconds, all would lie in 1970."""
    import ibis

    given = column.notnull()
    if column.type().is_string():
        given &= ~is_missing(column)
    dates = _compact_date(column).between(
        ibis.timestamp("1970-01-01", timezone="UTC"), ibis.timestamp("2100-12-31", timezone="UTC")
    )
    counted = table.aggregate(given=given.sum(), dates=dates.sum())
    found = engine.fetch(counted).to_pylist()[0]
    return bool(found["given"]) and found["given"] == found["dates"]


def _unit_of(table: ir.Table, number: Any) -> str:
    """The unit in which the middle value falls between 1973 and 5138."""
    finite = number.notnull() & ~number.isnan() & ~number.isinf()
    middle = engine.value(
        table.filter(finite).aggregate(middle=number.abs().median())["middle"].max()
    )
    if middle is None or middle < 1e11:
        return "s"
    if middle < 1e14:
        return "ms"
    return "us" if middle < 1e17 else "ns"
