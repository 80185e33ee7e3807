"""``quintet update``: learn from a journal, pass the gate, go live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit, facts, say, warn
from quintet.cli.options import Bundle, Output, examples

if TYPE_CHECKING:
    from quintet.serve.trained import Trained
    from quintet.store import Journal
    from quintet.web.promotion import Verdict

EXAMPLES = examples(
    "quintet update bundle --out bundle-2 --store postgresql://quintet@localhost/journal",
    "quintet update bundle --out bundle-2 --backup bundle.state/backup --keys keys.bin "
    "--into http://127.0.0.1:8080",
)
KEY = "QUINTET_KEY"
REFUSED = 1


def update(
    bundle: Bundle,
    out: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="Folder of the new model.")],
    store: Annotated[
        str, typer.Option(metavar="URL", help="The journal; or give --backup and --keys.")
    ] = "",
    backup: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A backup of the journal.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The copy of the keys made with it.")
    ] = None,
    into: Annotated[
        str,
        typer.Option(metavar="URL", help="A service to put it into; key: QUINTET_KEY."),
    ] = "",
    held_back: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.9, metavar="SHARE", help="Newest of the new records, for the gate alone."
        ),
    ] = 0.3,
    epochs: Annotated[
        int, typer.Option(min=0, metavar="N", help="Passes of the fine-tuning; 0 only counts.")
    ] = 2,
    least_events: Annotated[
        int, typer.Option(min=1, metavar="N", help="Do nothing when fewer are new.")
    ] = 1,
    tolerance: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Of the value, that it may lose."),
    ] = 0.05,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Serve it whatever the gate says.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Fine-tune a bundle on new events, compare both on what was explored, and serve the better.

    The gate reads lists that were drawn with exploration and that neither model learned from. A
    candidate that may be worse, overall or for new people, seldom items or a scenario, is kept but
    not served: exit 1. With --into, what is updated is the bundle beside BUNDLE that the service
    serves now; it is kept for a rollback.
    """
    from quintet.serve.trained import Trained
    from quintet.train.update import UpdateConfig, read_news, updated
    from quintet.web.promotion import Bar, explored, judge

    live = Trained.load(_served(bundle, into) if into else bundle)
    with _journal(store, backup, keys) as journal:
        cut = _cut(journal, live, held_back)
        config = UpdateConfig(epochs=epochs, least_events=least_events)
        candidate = updated(live, read_news(journal, live, cut), config)
        candidate.save(out)
        verdict = judge(live, candidate, journal, explored(journal, cut), Bar(tolerance=tolerance))
    _tell(output, out, candidate, verdict)
    if not (verdict.promoted or force):
        raise typer.Exit(REFUSED)
    if into:
        _serve(into, out)


@contextmanager
def _journal(store: str, backup: Path | None, keys: Path | None) -> Iterator[Journal]:
    """The journal itself, or a backup restored for the time being.

    Raises:
        ConfigError: neither or both are given.
    """
    from quintet.errors import ConfigError
    from quintet.store import open_standing, open_store

    if bool(store) == bool(backup) or bool(backup) != bool(keys):
        raise ConfigError("give --store, or --backup with the --keys that belong to it")
    if store:
        with open_standing(store) as journal:
            yield journal
        return
    assert backup is not None
    with (
        TemporaryDirectory(prefix="quintet-update-") as folder,
        open_store(Path(folder) / "journal") as journal,
    ):
        journal.restore(backup, keys)
        yield journal


def _served(bundle: Path, into: str) -> Path:
    """The bundle that a service serves now, on the shelf where ``bundle`` lies.

    Raises:
        BundleError: it is not there: this is another machine, or another shelf.
    """
    from quintet.client import Client
    from quintet.errors import BundleError

    with Client(into, os.environ.get(KEY) or None, timeout=120) as client:
        found = bundle.absolute().parent / client.model().bundle
    if not found.is_dir():
        raise BundleError(f"{found}: the service serves it, and it is not beside {bundle}")
    return found


def _cut(journal: Journal, live: Trained, held_back: float) -> int:
    """The offset up to which the candidate learns; what is behind it judges."""
    base = int(live.run.get("journal_offset", 0))
    return base + round((journal.last_offset - base) * (1 - held_back))


def _tell(output: Format, out: Path, candidate: Trained, verdict: Verdict) -> None:
    made: dict[str, Any] = dict(candidate.run["update"])
    rows: dict[str, Any] = {"bundle": str(out), **made, "promoted": verdict.promoted}
    for one in verdict.slices:
        found = one.difference
        rows[f"{one.name}: against {one.live:.4f} a place"] = (
            f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
        )
    data = {"bundle": str(out), "update": made, "verdict": verdict.summary()}
    shown = [{"fact": name, "value": value} for name, value in rows.items()]
    emit(output, shown, table=facts("updated", rows), data=data)
    for reason in verdict.reasons:
        warn(f"refused: {reason}")


def _serve(into: str, out: Path) -> None:
    from quintet.client import Client

    with Client(into, os.environ.get(KEY) or None, timeout=120) as client:
        answer = client.swap_model(out.name)
    say(f"live: {answer.bundle}, before it: {answer.previous}; back with POST /v1/model rollback")
