"""``quintet pretrain``: what histories alone teach, from one or several logs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from quintet.cli.console import Format, emit, facts, say
from quintet.cli.opening import check_target, encode_clean, open_data, plain_values
from quintet.cli.options import (
    Backbone,
    ConfigFile,
    DeviceIfSaid,
    Output,
    Seed,
    Settings,
    examples,
)
from quintet.cli.train import progress

EXAMPLES = examples(
    "quintet pretrain shop.toml --out start",
    "quintet pretrain a.toml b.toml --out start --objective causal --objective contrast=0.2",
    "quintet pretrain shop.toml --out start --backbone bidirectional --objective masked",
)


def pretrain(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="Logs with catalogues: TOML files, or names of sources."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="BUNDLE", help="Folder to write what was learned to.")
    ],
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="NAME[=WEIGHT]",
            help="What is learned: causal, masked, contrast, alignment; may be repeated.",
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Settings = None,
    backbone: Backbone = None,
    device: DeviceIfSaid = None,
    seed: Seed = None,
    output: Output = Format.TABLE,
) -> None:
    """Learn from unlabelled histories what any catalogue with texts can start from.

    Every data set is a domain with a catalogue of its own; encoder and tower are shared.
    """
    from quintet.config import build
    from quintet.train.pretrain import PretrainConfig
    from quintet.train.pretrain import pretrain as run_pretraining

    values = plain_values(config, overrides, backbone=backbone, device=device, seed=seed)
    if objective:
        values["objectives"] = chosen_objectives(objective)
    chosen = build(PretrainConfig, values, "settings")
    check_target(out)
    domains = [encode_clean(open_data(one), chosen.seed) for one in data]
    with progress() as (on_step, _):
        made = run_pretraining(domains, chosen, on_step=on_step)
    made.run |= {"command": shlex.join(["quintet", *(context.find_root().obj or [])])}
    made.save(out)
    summary: dict[str, Any] = {
        "data sets": ", ".join(made.run["domains"]),
        "events": sum(made.run["domains"].values()),
        "objectives": ", ".join(made.run["objectives"]),
        "reads": ", ".join(made.encoder.modalities),
        **{name: points[-1][1] for name, points in made.run["curves"].items()},
        "seconds": round(made.run["seconds"], 1),
        "bundle": str(out),
    }
    rows = [{"fact": name, "value": value} for name, value in summary.items()]
    emit(output, rows, table=facts("pre-trained", summary), data=summary)
    if output is Format.TABLE:
        say(f"\nnext: quintet finetune {out} DATA --out bundle")


def chosen_objectives(given: list[str]) -> dict[str, dict[str, Any]]:
    """Settings of the named objectives.

    Raises:
        ConfigError: a weight is no number.
    """
    from quintet.errors import ConfigError

    chosen: dict[str, dict[str, Any]] = {}
    for one in given:
        name, equals, weight = one.partition("=")
        try:
            chosen[name] = {"weight": float(weight)} if equals else {}
        except ValueError:
            raise ConfigError(
                f"--objective {one}: {weight!r} is no number; give NAME or NAME=WEIGHT"
            ) from None
    return chosen
