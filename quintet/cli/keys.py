"""``quintet keys``: who may ask a service. A running one follows the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.cli.console import Format, emit, say
from quintet.cli.options import Output, examples

app = typer.Typer(help="Keys of a service: add, list, revoke.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Keys file.")]


@app.command(
    epilog=examples(
        "quintet keys add keys.json --name shop --scope read --scope write",
        "quintet keys add keys.json --name trial --scope read --rate 5 --daily 1000",
    )
)
def add(
    file: File,
    scope: Annotated[
        list[str], typer.Option(metavar="NAME", help="read, write or admin; may be repeated.")
    ],
    name: Annotated[str, typer.Option(metavar="TEXT", help="For people.")] = "",
    rate: Annotated[
        float, typer.Option(min=0.001, metavar="N", help="Requests a second; twice that at once.")
    ] = 1000.0,
    daily: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Requests a day; no limit if not said.")
    ] = None,
) -> None:
    """Make a key and print it, once: the file holds only its hash."""
    from quintet.web.security import SCOPES, new_key, read_keys, write_keys

    unknown = set(scope) - set(SCOPES)
    if unknown:
        raise typer.BadParameter(f"choose of: {', '.join(SCOPES)}", param_hint="--scope")
    held = read_keys(file) if file.exists() else {}
    key, record = new_key(name, scope, rate=rate, daily=daily)
    write_keys(file, [*held.values(), record])
    typer.echo(key)
    say("this is the only time that the key is shown")


@app.command("list", epilog=examples("quintet keys list keys.json --format json"))
def list_(file: File, output: Output = Format.TABLE) -> None:
    """The keys of a file: ids, names, scopes and limits."""
    from quintet.web.security import read_keys

    emit(output, [one.model_dump(exclude={"sha256"}) for one in read_keys(file).values()])


@app.command(epilog=examples("quintet keys revoke keys.json 1a2b3c4d"))
def revoke(
    file: File,
    key: Annotated[str, typer.Argument(metavar="ID", help="As quintet keys list shows it.")],
) -> None:
    """Take a key out; a running service refuses it within a second."""
    from quintet.errors import UnknownIdError
    from quintet.web.security import read_keys, write_keys

    held = read_keys(file)
    if key not in held:
        raise UnknownIdError("no key of this id is in the file")
    write_keys(file, [one for known, one in held.items() if known != key])
    say("revoked")
