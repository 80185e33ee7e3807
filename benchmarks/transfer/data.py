"""Data sets of the transfer benchmark: catalogues with one text field, the same on all sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.accuracy.data import Asked, read
from quintet.data.encode import Encoded
from quintet.data.interactions import seeded_hash
from quintet.data.split import Part, Split
from quintet.errors import DataError

TEXT = "text"
#: the columns that stand for an item's text, the first that is there
TEXTS = (("keywords_idgenrec",), ("title", "genres"), ("title",), ("text",))


def read_texts(name: str, folder: Path, columns: tuple[str, ...] = ()) -> tuple[Encoded, Split]:
    """A data set whose catalogue has one column, its text.

    Args:
        name: of a folder in ``folder``, a file of sequences, or ``ml-100k``.
        folder: where named data sets lie.
        columns: joined into the text; those of :data:`TEXTS` when empty.

    Raises:
        DataError: the catalogue has none of the columns.
    """
    encoded, split = read(Asked(name, folder=folder))
    there = set(encoded.item_table.column_names)
    wanted = next((c for c in ((columns,) if columns else TEXTS) if set(c) <= there), None)
    if wanted is None:
        raise DataError(f"{name}: no text among {', '.join(sorted(there))}; name some by --text")
    table = pa.table(
        {
            "item_id": encoded.item_table["item_id"],
            TEXT: [words(row) for row in encoded.item_table.select(wanted).to_pylist()],
        }
    )
    schema = encoded.schema.model_copy(update={"items": {TEXT: "text"}})
    return replace(encoded, item_table=table, schema=schema), split


def words(row: dict[str, Any]) -> str:
    """The values of a row in one string; lists are read out."""
    parts: list[str] = []
    for value in row.values():
        listed = value if isinstance(value, list) else [value]
        parts.extend(str(one) for one in listed if one is not None)
    return " ".join(parts)


def some_targets(split: Split, most: int | None) -> Split:
    """The split with at most ``most`` of its test targets, drawn; the others are not measured."""
    rows = np.flatnonzero(split.part == Part.TEST)
    if most is None or len(rows) <= most:
        return split
    left = rows[np.argsort(seeded_hash(rows, 0), kind="stable")[most:]]
    kept = np.ones(len(split.events), np.bool_)
    kept[left] = False
    return Split(split.name, split.events.select(kept), split.part[kept], split.cuts)
