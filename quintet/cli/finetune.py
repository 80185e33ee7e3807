"""``quintet finetune``: from what was pre-trained to a bundle, with a guard."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit, facts, say
from quintet.cli.opening import (
    check_target,
    data_words,
    encode_clean,
    open_data,
    setting_values,
    split_by,
)
from quintet.cli.options import (
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
from quintet.cli.train import progress, warn_of_leaks

if TYPE_CHECKING:
    from quintet.train.finetune import Verdict

EXAMPLES = examples(
    "quintet finetune start events.csv --items products.csv --out bundle",
    "quintet finetune start shop.toml --mode adapter --label-share 0.1 --out bundle",
    "quintet finetune other-bundle events.csv --items products.csv --mode frozen --out bundle",
)


class How(StrEnum):
    """What may change of what was pre-trained."""

    AUTO = "auto"
    FROZEN = "frozen"
    ADAPTER = "adapter"
    FULL = "full"
    SCRATCH = "scratch"


def finetune(
    context: typer.Context,
    start: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="Folder that quintet pretrain or train has written."),
    ],
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", metavar="BUNDLE", help="Folder to write the model to.")
    ],
    mode: Annotated[
        How,
        typer.Option(
            "--mode",
            metavar="NAME",
            help="frozen (heads only), adapter (low-rank), full, scratch, or auto: all of them, "
            "compared on validation, the best kept.",
        ),
    ] = How.AUTO,
    label_share: Annotated[
        float,
        typer.Option(
            "--label-share",
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Share of the users that is learned from.",
        ),
    ] = 1.0,
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
    settings: DataSettings = None,
    config: ConfigFile = None,
    overrides: Settings = None,
    protocol: HowHeldOut = Protocol.LEAVE_ONE_OUT,
    device: DeviceIfSaid = None,
    seed: Seed = None,
    output: Output = Format.TABLE,
) -> None:
    """Teach a data set to what was pre-trained; refuse a transfer that hurts.

    The content tower starts from BUNDLE; memories, tasks and gates are learned anew.
    """
    from quintet.cli.opening import build_config
    from quintet.data.split import few_labels
    from quintet.train.finetune import FinetuneConfig, by_mode
    from quintet.train.pretrained import Pretrained

    chosen = build_config(setting_values(config, overrides, device=device, seed=seed))
    check_target(out)
    pretrained = Pretrained.load(start)
    dataset = open_data(data, settings, items=items, users=users, relations=relations)
    encoded = encode_clean(dataset, chosen.seed)
    split = split_by(encoded, protocol)
    warn_of_leaks(encoded, split)
    if label_share < 1:
        split = few_labels(split, label_share, chosen.seed)
    tuned = FinetuneConfig(train=chosen)
    with progress() as (on_step, on_stage):
        fitted, verdict = by_mode(
            pretrained, encoded, split, tuned, mode.value, on_step=on_step, on_stage=on_stage
        )
    command = shlex.join(["quintet", *(context.find_root().obj or [])])
    fitted.trained.run |= {"command": command, "label_share": label_share}
    fitted.trained.save(out)
    summary: dict[str, Any] = {
        "data set": encoded.name,
        "split": split.name,
        "mode": verdict.kept if verdict is not None else mode.value,
        "best epoch": fitted.outcome.best_epoch,
        "bundle": str(out),
    }
    if verdict is not None:
        summary |= {"verdict": verdict.message, "targets": verdict.targets, **shown(verdict)}
    rows = [{"fact": name, "value": value} for name, value in summary.items()]
    emit(output, rows, table=facts("fine-tuned", summary), data=summary)
    if output is Format.TABLE:
        words = data_words(data, settings, items=items, users=users, relations=relations)
        say(f"\nnext: quintet evaluate {out} {words}   or   quintet recommend {out} USER")


def shown(verdict: Verdict) -> dict[str, str]:
    """A line a mode: its figure, its gain over scratch, its time."""
    lines = {}
    for mode, own in verdict.modes.items():
        figure, gain = own["ndcg@10"]["mean"], own["gain"]
        span = f"{gain['difference']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        compared = "" if mode == "scratch" else f", {span} over scratch"
        lines[f"ndcg@10, {mode}"] = f"{figure:.4f}{compared}, {own['seconds']:.0f} s"
    return lines
