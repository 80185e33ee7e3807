"""Lists of many users into a Parquet file, a block of users at a time: memory stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quintet.cli.console import err
from quintet.cli.recommend import as_row
from quintet.files import atomic_path

if TYPE_CHECKING:
    from quintet.serve.recommender import Recommender

BLOCK = 512


def write_lists(
    recommender: Recommender, users: list[Any] | None, path: Path, k: int, **options: Any
) -> int:
    """Recommend to ``users`` (all known ones if None) and write the lists, whole or not at all.

    Columns: user_id, item_id, score, rank, basis, strategy, and reasons if asked for.

    Returns:
        The number of rows.
    """
    from rich.progress import track

    total = len(recommender.trained.users) if users is None else len(users)
    schema = _schema(recommender, users, bool(options.get("reasons")))
    written = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        blocks = _blocks(recommender, users, total)
        n_blocks = -(-total // BLOCK)
        console = err()
        quiet = not console.is_terminal
        for block in track(blocks, "recommending", n_blocks, console=console, disable=quiet):
            answers = recommender.recommend(block, k, **options)
            rows = [as_row(one, bool(options.get("reasons"))) for one in answers]
            writer.write_table(pa.Table.from_pylist([_typed(r, schema) for r in rows], schema))
            written += len(rows)
    return written


def _blocks(recommender: Recommender, users: list[Any] | None, total: int) -> Iterator[list[Any]]:
    for start in range(0, total, BLOCK):
        stop = min(start + BLOCK, total)
        if users is None:
            yield recommender.trained.users.ids(np.arange(start, stop))
        else:
            yield users[start:stop]


def _schema(recommender: Recommender, users: list[Any] | None, reasons: bool) -> pa.Schema:
    trained = recommender.trained
    all_known = users is None or all(not isinstance(user, str) for user in users)
    fields = [
        ("user_id", trained.users.values.type if all_known else pa.string()),
        ("item_id", trained.items.values.type),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("basis", pa.string()),
        ("strategy", pa.string()),
    ]
    why = pa.struct(
        [
            ("evidence", pa.string()),
            ("text", pa.string()),
            ("contribution", pa.float32()),
            ("because", pa.list_(trained.items.values.type)),
        ]
    )
    return pa.schema([*fields, ("reasons", pa.list_(why))] if reasons else fields)


def _typed(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """The row, with its user id as text where the column holds text."""
    if pa.types.is_string(schema.field("user_id").type):
        return row | {"user_id": str(row["user_id"])}
    return row
