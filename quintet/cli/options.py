"""Arguments and options that several commands share, each said once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quintet.cli.console import Format


class Device(StrEnum):
    """Where the network runs."""

    CPU = "cpu"
    CUDA = "cuda"


class Protocol(StrEnum):
    """What is held out for validation and test."""

    LEAVE_ONE_OUT = "leave-one-out"
    GLOBAL_TIME = "global-time"


def examples(*lines: str) -> str:
    """The examples below a command's help."""
    return "\n".join(["[bold]Examples[/bold]", *(line.replace("[", r"\[") for line in lines)])


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A log (CSV, TSV, JSON lines, Parquet), a data set's TOML file, or a source's name.",
    ),
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="KEY=VALUE", help="Setting of the source; may be repeated."),
]
Items = Annotated[
    Path | None, typer.Option("--items", metavar="PATH", help="Catalogue: item_id and attributes.")
]
Users = Annotated[
    Path | None, typer.Option("--users", metavar="PATH", help="Users: user_id and attributes.")
]
RelationsFile = Annotated[
    Path | None,
    typer.Option("--relations", metavar="PATH", help="Edges: source_id, target_id, kind."),
]
Bundle = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder that quintet train has written.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings, as TOML.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, such as loop.epochs=20; may be repeated. See quintet settings.",
    ),
]
Backbone = Annotated[
    str | None, typer.Option("--backbone", metavar="NAME", help="Short for --set model.backbone=.")
]
OnDevice = Annotated[
    Device, typer.Option("--device", metavar="cpu|cuda", help="Where the network runs.")
]
DeviceIfSaid = Annotated[
    Device | None, typer.Option("--device", metavar="cpu|cuda", help="Where the network runs.")
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="N", help="Of everything that is drawn at random."),
]
HowHeldOut = Annotated[
    Protocol,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="What is held out: leave-one-out (the newest of each user) or global-time.",
    ),
]
Output = Annotated[
    Format, typer.Option("--format", metavar="table|json|csv", help="How the result is written.")
]
K = Annotated[int, typer.Option("--k", min=1, metavar="N", help="How many items.")]
