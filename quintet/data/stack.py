"""Several logs or tables as one: rows after each other, ids of one type."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from quintet.data import engine, rejects
from quintet.data.columns import INTERNAL, ORDER
from quintet.data.frames import Frame
from quintet.errors import ColumnError

if TYPE_CHECKING:
    import ibis.expr.types as ir

FrameT = TypeVar("FrameT", bound=Frame)
#: whole numbers as they are printed
CANONICAL = r"^(0|-?[1-9]\d{0,18})$"


def unify_ids(frames: Sequence[Frame], column: str) -> tuple[list[Frame], str | None]:
    """Give the id ``column`` one type in all ``frames``.

    Integers on one side and text on the other become integers where every text is one as it is
    printed (``5``, not ``05``), else text: two different ids never fall together.

    Returns:
        the frames, and a note where types differed.
    """
    is_text = [frame.table[column].type().is_string() for frame in frames]
    if len(set(is_text)) < 2:
        return list(frames), None
    texts = [frame for frame, text in zip(frames, is_text, strict=True) if text]
    target = "int64" if all(_all_whole(frame, column) for frame in texts) else "string"
    note = (
        f"{column} is text in {', '.join(frame.name for frame in texts)} and whole numbers "
        f"elsewhere: read as {'whole numbers' if target == 'int64' else 'text'}"
    )
    return [
        frame
        if frame.table[column].type().is_string() == (target == "string")
        else frame.with_table(
            engine.materialise(frame.table.mutate(**{column: frame.table[column].cast(target)}))
        )
        for frame in frames
    ], note


def _all_whole(frame: Frame, column: str) -> bool:
    ids = frame.table[column]
    whole = ids.re_search(CANONICAL) & ids.try_cast("int64").notnull()
    odd = frame.table.filter(ids.notnull() & ~whole)
    return not engine.value(odd.count())


def stack(frames: Sequence[FrameT]) -> FrameT:
    """The rows of all ``frames``, in the order given; columns that one lacks are null there.

    Raises:
        ColumnError: a column is a list in one frame and none in another.
    """
    if len(frames) == 1:
        return frames[0]
    names = [column.name for column in frames[0].known]
    names += [name for frame in frames for name in frame.columns if name not in names]
    present = list(dict.fromkeys(n for n in names if any(n in f.columns for f in frames)))
    types = {name: _common_type(frames, name) for name in present}
    parts = [_part(frame.table, types, index) for index, frame in enumerate(frames)]
    union = functools.reduce(lambda one, other: one.union(other, distinct=False), parts)
    return replace(
        frames[0],
        table=engine.materialise(_reordered(union)),
        name="+".join(frame.name for frame in frames),
        rejects=rejects.concat([frame.rejects for frame in frames]),
        ignored=tuple(dict.fromkeys(name for frame in frames for name in frame.ignored)),
        doubts=tuple(dict.fromkeys(doubt for frame in frames for doubt in frame.doubts)),
    )


def _part(table: ir.Table, types: dict[str, Any], index: int) -> ir.Table:
    import ibis

    columns = {
        name: table[name].cast(dtype) if name in table.columns else ibis.null(dtype)
        for name, dtype in types.items()
    }
    return table.select(**columns, **{name: table[name] for name in INTERNAL}, __part=index)


def _reordered(union: ir.Table) -> ir.Table:
    import ibis

    place = ibis.row_number().over(order_by=[union["__part"], union[ORDER]])
    return union.mutate(**{ORDER: place}).drop("__part")


def _common_type(frames: Sequence[Frame], name: str) -> Any:
    types = {frame.table[name].type() for frame in frames if name in frame.columns}
    if len(types) == 1:
        return types.pop()
    if all(dtype.is_numeric() for dtype in types):
        return "float64"
    if any(dtype.is_nested() for dtype in types):
        tables = ", ".join(frame.name for frame in frames if name in frame.columns)
        raise ColumnError(f"column {name!r} has kinds of its own in each of {tables}; rename one")
    return "string"


def one_row_each(frame: FrameT, column: str) -> FrameT:
    """One row an id, at its first place: the first value that is not null, column by column."""
    import ibis

    table = frame.table
    nameless = table[column].isnull().ifelse(table[ORDER], ibis.literal(-1, "int64"))
    others = [name for name in table.columns if name not in (column, ORDER)]
    merged = table.group_by(**{column: table[column], "__nameless": nameless}).aggregate(
        **{name: table[name].first(order_by=table[ORDER]) for name in others},
        **{ORDER: table[ORDER].min()},
    )
    return frame.with_table(engine.materialise(merged.select(*table.columns)))
