"""What the commands write: results on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

#: columns of a table that is piped into a file, where there is no terminal to ask
PIPED_WIDTH = 160
BARS = "▁▂▃▄▅▆▇█"
#: columns of ids, which people copy
COPIED = ("user", "item", "user_id", "item_id")
#: cells that the space around a column takes
PADDING = 3

Rows = Sequence[Mapping[str, Any]]


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def out() -> Console:
    """Standard output."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=PIPED_WIDTH)
    return console


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def interactive() -> bool:
    """Whether somebody watches standard error."""
    return err().is_terminal


def say(message: str) -> None:
    """A message beside the results."""
    err().print(Text(message, style="dim"), soft_wrap=True)


def warn(message: str) -> None:
    """Something that the reader should know before trusting the result."""
    err().print(Text.assemble(("note: ", "yellow"), plain(message)), soft_wrap=True)


def fail(message: str) -> None:
    """An error: its first line says what, further ones say more."""
    first, *more = plain(message, keep="\n").split("\n")
    err().print(Text.assemble(("error: ", "bold red"), first), soft_wrap=True)
    for line in more:
        err().print(Text("       " + line), soft_wrap=True)


def plain(text: Any, keep: str = "") -> str:
    """``text`` without control characters: a title must not steer the terminal."""
    return "".join(c if c.isprintable() or c in keep else " " for c in str(text))


def emit(output: Format, rows: Rows, table: RenderableType | None = None, data: Any = None) -> None:
    """Write a result.

    Args:
        output: table, JSON or CSV.
        rows: what CSV holds, and JSON too where there is no ``data``.
        table: what people see; made of ``rows`` when absent.
        data: what JSON holds.
    """
    if output is Format.JSON:
        from quintet.files import jsonable

        value = jsonable(list(rows) if data is None else data)
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    elif output is Format.CSV:
        _write_csv(rows)
    else:
        show(grid("", rows) if table is None else table)


def show(*parts: RenderableType) -> None:
    """Tables on standard output, a blank line between them."""
    console = out()
    for index, part in enumerate(parts):
        if index:
            console.print()
        console.print(part)


def _write_csv(rows: Rows) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    nested = isinstance(value, list | tuple | dict)
    return json.dumps(value, ensure_ascii=False) if nested else value


def grid(title: str, rows: Rows, columns: Iterable[str] | None = None) -> Table:
    """A quiet table of rows: numbers to the right, text to the left."""
    names = (
        list(columns) if columns is not None else list(dict.fromkeys(n for r in rows for n in r))
    )
    table = Table(
        box=SIMPLE_HEAD,
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_edge=False,
        header_style="dim",
    )
    cells = {name: [_shown(row.get(name)) for row in rows] for name in names}
    widest = {name: max(map(len, own), default=0) for name, own in cells.items()}
    numeric = [n for n in names if any(isinstance(row.get(n), int | float) for row in rows)]
    # ids are what people copy, and half a number is none: other columns give way first
    kept = {names[0], *numeric, *COPIED} & set(names) if names else set()
    words = {name: plain(name.replace("_", " ")).split(" ") for name in names}
    broad = {name: max(widest[name], *map(len, words[name])) for name in names}
    fits = sum(broad[name] + PADDING for name in kept) <= out().width
    for name in names:
        table.add_column(
            # a heading takes lines rather than room
            (" " if len(" ".join(words[name])) <= broad[name] else "\n").join(words[name]),
            justify="right" if name in numeric else "left",
            no_wrap=name in kept and fits,
            min_width=widest[name] if name in numeric and fits else None,
            overflow="fold",
        )
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def facts(title: str, pairs: Mapping[str, Any]) -> Table:
    """Names and values, one pair a line."""
    table = Table.grid(padding=(0, 3))
    table.title, table.title_justify, table.title_style = title or None, "left", "bold"
    for name, value in pairs.items():
        table.add_row(Text(f"  {plain(name)}", style="dim"), Text(_shown(value), overflow="fold"))
    return table


def _shown(value: Any) -> str:
    """A cell for people; a tuple stands on lines of its own, a list on one."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list | tuple):
        return ("\n" if isinstance(value, tuple) else ", ").join(_shown(one) for one in value)
    return plain(value)


def sparkline(values: Sequence[float]) -> str:
    """Values as little bars, to see at a glance whether a curve falls."""
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def bar(share: float, width: int = 20) -> str:
    """A share from 0 to 1 as a bar."""
    return "━" * max(round(share * width), 1 if share > 0 else 0)
