"""``quintet train``: from a data set to a bundle."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit, facts, interactive, say, sparkline, warn
from quintet.cli.opening import (
    build_config,
    check_target,
    data_words,
    encode_clean,
    open_data,
    overriding,
    setting_values,
    split_by,
)
from quintet.cli.options import (
    Backbone,
    ConfigFile,
    Data,
    DataSettings,
    DeviceIfSaid,
    HowHeldOut,
    Items,
    Output,
    Protocol,
    RelationsFile,
    Seed,
    Settings,
    Users,
    examples,
)

if TYPE_CHECKING:
    from quintet.data.encode import Encoded
    from quintet.data.split import Split
    from quintet.train.loop import OnStep
    from quintet.train.pipeline import Fitted, TrainConfig
    from quintet.train.progress import OnStage
    from quintet.train.refit import Scope

EXAMPLES = examples(
    "quintet train events.csv --items products.csv --out bundle",
    "quintet train ml-100k --out bundle --set loop.epochs=20 --set model.width=128",
    "quintet train shop.toml --out bundle --config best.toml --resume",
    "quintet train shop.toml --out bundle --refit full",
    "quintet train shop.toml --from-journal bundle.state/journal --out bundle-2",
)


class Refit(StrEnum):
    """What learns from the validation events in the end."""

    NONE = "none"
    COUNTS = "counts"
    FULL = "full"


def train(
    context: typer.Context,
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", metavar="BUNDLE", help="Folder to write the model to.")
    ],
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
    settings: DataSettings = None,
    from_journal: Annotated[
        str,
        typer.Option(
            metavar="STORE", help="Add the events that a service has stored; DATA as it stands."
        ),
    ] = "",
    config: ConfigFile = None,
    overrides: Settings = None,
    backbone: Backbone = None,
    protocol: HowHeldOut = Protocol.LEAVE_ONE_OUT,
    refit: Annotated[
        Refit,
        typer.Option(
            "--refit",
            metavar="WHAT",
            help="What learns from the validation events too, once all is chosen: none, counts "
            "(memories and popularity), or full (the towers as well, for refit_epochs).",
        ),
    ] = Refit.NONE,
    device: DeviceIfSaid = None,
    seed: Seed = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep a checkpoint there after every epoch."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Go on from the checkpoint in DIR (BUNDLE.checkpoints if not said) if there is "
            "one, and keep checkpoints there.",
        ),
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Train a model and write it as a bundle.

    Validation and test events are held out: training stops by the former and never sees the latter.
    With --refit the former are learned too, in the end.
    """
    from quintet.train.pipeline import train as run_training
    from quintet.train.refit import refit as fit_again

    values = setting_values(config, overrides, backbone=backbone, device=device, seed=seed)
    chosen = build_config(values)
    folder = _checkpoint_folder(out, checkpoints, resume)
    check_target(out)
    offset = 0
    if from_journal:
        own = overriding(settings, items=items, users=users, relations=relations)
        items = users = relations = None
        data, settings, offset = _with_journal(data, own, from_journal)
    dataset = open_data(data, settings, items=items, users=users, relations=relations)
    for note in dataset.report.notes:
        warn(note)
    encoded = encode_clean(dataset, chosen.seed)
    split = split_by(encoded, protocol)
    warn_of_leaks(encoded, split)
    with progress() as (on_step, on_stage):
        fitted = run_training(
            encoded, split, chosen, checkpoints=folder, on_step=on_step, on_stage=on_stage
        )
        if refit is not Refit.NONE:
            told: Any = {"on_step": on_step, "on_stage": on_stage}
            scope: Scope = "counts" if refit is Refit.COUNTS else "full"
            fitted = fit_again(fitted, encoded, split, chosen, scope, **told)
    command = shlex.join(["quintet", *(context.find_root().obj or [])])
    fitted.trained.run["command"] = command
    if offset:  # what a service has stored behind it is news to this model
        fitted.trained.run["journal_offset"] = offset
    fitted.trained.save(out)
    summary = _summary(encoded, split, fitted, chosen, out, folder)
    rows = [{"fact": name, "value": value} for name, value in summary.items()]
    emit(output, rows, table=facts("trained", _shown(summary, fitted)), data=summary)
    if output is Format.TABLE:
        words = data_words(data, settings, items=items, users=users, relations=relations)
        evaluating = f"quintet evaluate {out} {words}   or   " if len(split.test) else ""
        say(f"\nnext: {evaluating}quintet recommend {out} USER")


def _with_journal(data: str, settings: list[str], store: str) -> tuple[str, list[str], int]:
    """The source that joins a data set with a journal, up to the newest record of now.

    Raises:
        StoreError: there is no journal, or it cannot be read.
    """
    from quintet.store import open_standing

    with open_standing(store) as journal:
        offset = journal.last_offset
    found = {"url": store, "also": data, "also_settings": settings, "until": offset}
    return "journal", [f"{name}={json.dumps(value)}" for name, value in found.items()], offset


def _checkpoint_folder(out: Path, checkpoints: Path | None, resume: bool) -> Path | None:
    """Where checkpoints are kept.

    Raises:
        CheckpointError: a former run's checkpoint lies there, and nobody asked to go on from it.
    """
    from quintet.errors import CheckpointError
    from quintet.train.checkpoint import FILE_NAME

    if checkpoints is None:
        return out.with_name(f"{out.name}.checkpoints") if resume else None
    if not resume and (checkpoints / FILE_NAME).exists():
        raise CheckpointError(
            f"{checkpoints}: holds the checkpoint of a former run; "
            "add --resume to go on from it, or name an empty folder"
        )
    return checkpoints


def warn_of_leaks(encoded: Encoded, split: Split) -> None:
    """Say what the audit finds grave; it never stops the training."""
    from quintet.data.audit import audit

    report = audit(
        encoded.events,
        split,
        item_names=[str(one) for one in encoded.items.values.to_pylist()],
        behaviours=encoded.behaviours,
    )
    for finding in report.findings:
        if finding.severity == "danger":
            warn(f"{finding.name.replace('_', ' ')}: {finding.message}")
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    if warnings:
        say(f"the audit has {warnings} warning(s); see: quintet data audit")


@contextmanager
def progress() -> Iterator[tuple[OnStep | None, OnStage | None]]:
    """A bar where somebody watches, else one line a stage."""
    from quintet.train.progress import progress_bar

    if interactive():
        with progress_bar(True) as callbacks:
            yield callbacks
    else:
        yield None, say


def _summary(
    encoded: Encoded,
    split: Split,
    fitted: Fitted,
    config: TrainConfig,
    out: Path,
    checkpoints: Path | None,
) -> dict[str, Any]:
    run = fitted.trained.run
    summary: dict[str, Any] = {
        "data set": encoded.name,
        "events": len(encoded.events),
        "users": len(encoded.users),
        "items": len(encoded.items),
        "split": split.name,
        **({"refit": run["refit"]} if "refit" in run else {}),
        "backbone": config.model.backbone,
        "seed": config.seed,
        "epochs": len(run["curves"].get("loss", [])),
        **(_validated(run) if len(split.valid) else {"validation": "nothing was held out"}),
        "seconds": round(fitted.outcome.seconds, 1),
        "bundle": str(out),
        "curves": str(out / "run.json"),
        "card": str(out / "card.md"),
    }
    return summary | ({"checkpoints": str(checkpoints)} if checkpoints else {})


def _validated(run: dict[str, Any]) -> dict[str, Any]:
    figures = {f"validation {name}": value for name, value in run["validation"].items()}
    return {"best epoch": run["best_epoch"], **figures}


def _shown(summary: dict[str, Any], fitted: Fitted) -> dict[str, Any]:
    """The summary for people: grouped numbers, and the curves as little bars."""
    shown = {n: f"{v:,}" if isinstance(v, int) else v for n, v in summary.items()}
    for name, points in fitted.trained.run["curves"].items():
        values = [value for _, value in points]
        if len(values) > 1:
            shown[f"{name} by epoch"] = f"{values[0]:.4f} {sparkline(values)} {values[-1]:.4f}"
    shown["seconds"] = f"{summary['seconds']:,}"
    return shown
