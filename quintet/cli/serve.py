"""``quintet serve``: the model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.cli.console import warn
from quintet.cli.options import Bundle, examples

EXAMPLES = examples(
    "quintet serve bundle",
    "quintet serve bundle --host 0.0.0.0 --keys keys.json --state /var/lib/quintet",
    "quintet serve bundle --workers 2 --store redis://localhost:6379/0",
)


def serve(
    bundle: Bundle,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Listen there; others than this machine need keys."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Listen there; 0 takes a free one.")
    ] = 8080,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keys that may ask; make it with quintet keys add."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Journal and experiments; by default BUNDLE.state."),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Journal elsewhere: sqlite:///, redis:// or postgresql://."
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Processes; several need a --store.")
    ] = 1,
    waiting: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Requests at once in a worker; more get a fast 503."),
    ] = 256,
    drain: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="For requests under way at SIGTERM.")
    ] = 30,
    recount: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Count again what all people did so often; 0: never."
        ),
    ] = 60.0,
    backup: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For POST /v1/backups; by default STATE/backup."),
    ] = None,
    backup_keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Copy the keys there with each backup; keep it apart."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", metavar="", help="No line in the log for every request.")
    ] = False,
) -> None:
    """Serve a bundle over HTTP: events in, recommendations out.

    Events are on disk before they are acknowledged, and the next answer reflects them. SIGTERM lets
    requests under way finish; SIGHUP reads the bundle again. The log is JSON lines on standard
    error. Routes are described at /openapi.json.
    """
    from quintet.web.server import Options
    from quintet.web.server import serve as run

    options = Options(
        bundle=str(bundle),
        state=str(state if state is not None else bundle.absolute().with_suffix(".state")),
        store=store,
        host=host,
        port=port,
        keys=str(keys) if keys is not None else "",
        workers=workers,
        waiting=waiting,
        drain_seconds=drain,
        access_log=not quiet,
        recount_seconds=recount,
        backup=str(backup.absolute()) if backup is not None else "",
        backup_keys=str(backup_keys.absolute()) if backup_keys is not None else "",
    )
    options.check()
    if keys is None:
        warn("no keys: whoever is on this machine may ask, and nobody else")
    run(options)
