"""``quintet export-vectors``: the items as vectors, for an index or another model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.cli.console import say
from quintet.cli.options import Bundle, Device, OnDevice, examples

EXAMPLES = examples(
    "quintet export-vectors bundle --out items.parquet",
    "quintet export-vectors bundle --out items.parquet --kind content",
)


def export_vectors(
    bundle: Bundle,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Parquet file to write.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="joint (identity and content together), identity (how an item is used) or "
            "content (what it is).",
        ),
    ] = "joint",
    device: OnDevice = Device.CPU,
) -> None:
    """Write one vector an item; items that are alike have a cosine near 1.

    Columns: item_id, events (in training; 0 for an item that only its content speaks for), vector.
    """
    import pyarrow.parquet as pq

    from quintet.files import atomic_path
    from quintet.serve.alike import vector_table
    from quintet.serve.trained import Trained

    if out.suffix.lower() != ".parquet":
        raise typer.BadParameter(f"{out}: the file must end in .parquet", param_hint="--out")
    table = vector_table(Trained.load(bundle, device), kind)
    with atomic_path(out) as temporary:
        pq.write_table(table, temporary)
    say(f"written: {out}, {len(table):,} items, {table['vector'].type.list_size} dimensions")
