"""``quintet journal``: back up, restore and check what a service has stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.cli.console import Format, emit, say
from quintet.cli.options import Output, examples

app = typer.Typer(help="The journal of a service: back up, restore, verify.", no_args_is_help=True)

Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="BUNDLE.state/journal, or a redis:// or postgresql:// url."
    ),
]
Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Of the backup.")]


@app.command(
    epilog=examples(
        "quintet journal backup bundle.state/journal --folder backup --keys safe/keys.bin",
        "quintet journal backup redis://localhost:6379/0 --folder backup --keys safe/keys.bin",
    )
)
def backup(
    store: Store,
    folder: Folder,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Copy the keys there; keep it apart. Erasures reach it too."
        ),
    ] = None,
) -> None:
    """Write a copy of all records, which nobody can read without the keys.

    A service that runs holds its embedded journal to itself: have it write the backup (POST
    /v1/backups), or stop it. One in Redis or PostgreSQL can be backed up while it is used.
    """
    from quintet.store import open_standing

    with open_standing(store) as journal:
        offset = journal.backup(folder, keys)
    say(f"{offset:,} records in {folder}" + ("" if keys is None else f", their keys in {keys}"))


@app.command(
    epilog=examples(
        "quintet journal restore bundle.state/journal --folder backup --keys safe/keys.bin"
    )
)
def restore(
    store: Store,
    folder: Folder,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The copy of the keys, where the journal's are lost."),
    ] = None,
) -> None:
    """Take the records of a backup into an empty journal; the erased stay erased."""
    from quintet.errors import StoreError
    from quintet.store import open_store
    from quintet.store.backup import MANIFEST

    if not (folder / MANIFEST).is_file():
        raise StoreError(f"no backup in {folder}: {MANIFEST} is missing")
    with open_store(store) as journal:
        offset = journal.restore(folder, keys)
    say(f"{offset:,} records restored to {store}")


@app.command(epilog=examples("quintet journal verify bundle.state/journal"))
def verify(store: Store, output: Output = Format.TABLE) -> None:
    """Read everything and compare with its checksums; exit 1 if something is wrong."""
    from quintet.store import open_standing

    with open_standing(store) as journal:
        found = journal.verify()
    rows = {
        "last offset": found.last_offset,
        "readable": found.readable,
        "erased": found.erased,
        "problems": "; ".join(found.problems) or "none",
    }
    emit(output, [rows])
    if found.problems:
        raise typer.Exit(1)
