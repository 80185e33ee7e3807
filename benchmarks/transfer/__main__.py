"""``python -m benchmarks.transfer``: is the second data set cheaper than the first?

Pre-trains on each source (``a+b`` is both at once) with the text of the items as the bridge, then
fine-tunes on the target with the training data of a share of its users, in every mode, for several
draws of those users. Test users are the same throughout, with their own histories as input. Scratch
has the same memories, text vectors, gates and choice of learning rates. Leaves ``results.json`` and
a plot in ``--out``; finished shares are kept in it, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import FOLDER
from benchmarks.transfer.data import read_texts, some_targets
from benchmarks.transfer.few_labels import (
    METRIC,
    REACHED,
    REACHED_DRAWS,
    Cell,
    measure,
    tuned_rates,
)
from benchmarks.transfer.picture import draw
from quintet.train.loop import LoopConfig
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig
from quintet.train.pretrain import PretrainConfig, pretrain
from quintet.train.pretrained import Pretrained
from quintet.train.results import write_results

#: what an item is read by on every side: a frozen encoder that knows no catalogue
READ_BY = ("sentence",)
#: the target's network in every mode: the content tower beside counted memories, ranking alone
TARGET: dict[str, Any] = {
    "model": {
        "towers": ["content"],
        "modalities": list(READ_BY),
        "off": ["item", "interaction", "profile", "strategy"],
    },
    "memories": {
        "transitions": {},
        "last_item": {},
        "item_cosine": {"half_life": 5.0, "weighting": "bm25"},
        "content_neighbours": {},
    },
}


def main() -> None:
    """Pre-train, fine-tune, measure and write."""
    arguments = parser().parse_args()
    torch.set_num_threads(1)
    console, started = Console(), time.perf_counter()
    arguments.out.mkdir(parents=True, exist_ok=True)
    encoded, split = read_texts(arguments.target, arguments.data, tuple(arguments.text))
    split = some_targets(split, arguments.users)
    sources = {name: pretrained_on(name, arguments, console) for name in arguments.sources}
    shares: dict[str, Any] = {}
    path = arguments.out / "results.json"
    if path.exists() and not arguments.afresh:
        shares = json.loads(path.read_text(encoding="utf8")).get("shares", {})
    for share in arguments.shares:
        if f"{share:.0%}" in shares:
            continue
        base = target_config(share)
        rates = tuned_rates(encoded, split, share, base, sources, arguments.jobs)
        draws = range(arguments.draws)
        cell = measure(encoded, split, share, draws, base, sources, rates, arguments.jobs)
        shares[f"{share:.0%}"] = as_share(cell, len(draws))
        results = summary(shares, sources, split.name, arguments, time.perf_counter() - started)
        write_results(path, results)
        draw(results, arguments.out / "transfer.svg")
    for share, own in shares.items():
        console.print(table(share, own))
    console.print(f"figures: {path}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.transfer",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", default="sports", help="a name, or a file of sequences")
    parser.add_argument("--sources", nargs="+", default=["beauty", "beauty+ml-100k"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get(FOLDER, "data")))
    parser.add_argument("--text", nargs="*", default=[], help="columns that are the items' text")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.01, 0.1, 1.0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--users", type=int, help="test users measured; all when absent")
    parser.add_argument("--source-epochs", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="draws side by side")
    parser.add_argument("--afresh", action="store_true", help="measure finished shares again")
    parser.add_argument("--out", type=Path, default=Path("reports/transfer"))
    return parser


def target_config(share: float) -> TrainConfig:
    """Few labels want small steps and many epochs; validation says when to stop."""
    tokens = 400 if share < 0.05 else 800 if share < 0.5 else 1600
    epochs = {400: 40, 800: 16, 1600: 10}[tokens]
    loop = {
        "epochs": epochs,
        "tokens_per_batch": tokens,
        "validate_every": max(1, epochs // 8),
        "patience": 2,
        "warmup_steps": 10,
    }
    return TrainConfig.model_validate(TARGET | {"loop": loop})


def pretrained_on(name: str, arguments: Any, console: Console) -> Pretrained:
    """Pre-trained on the data sets of ``a+b``; kept beside the results."""
    folder = arguments.out / f"pretrained-{name}"
    if folder.is_dir() and not arguments.afresh:
        return Pretrained.load(folder)
    domains = [read_texts(one, arguments.data)[0] for one in name.split("+")]
    loop = LoopConfig(
        epochs=arguments.source_epochs, tokens_per_batch=1600, learning_rate=1.5e-3, patience=2
    )
    made = pretrain(domains, PretrainConfig(modalities=READ_BY, loop=loop))
    console.print(f"pre-trained on {name}: {made.run['curves']}, {made.run['seconds']:.0f} s")
    made.save(folder)
    return made


def as_share(cell: Cell, draws: int) -> dict[str, Any]:
    """A share's part of the results."""
    return {"rows": cell.summary(), "guard": cell.guard, "draws": draws}


def summary(
    shares: dict[str, Any],
    sources: dict[str, Pretrained],
    protocol: str,
    arguments: Any,
    seconds: float,
) -> dict[str, Any]:
    """Everything in the format of results files."""
    return {
        "dataset": f"{arguments.target} from {', '.join(sources)}",
        "protocol": {
            "split": protocol,
            "catalogue": "full",
            "history": "masked; the test users' own, whoever was learned from",
            "test users": arguments.users or "all",
            "read of an item": list(READ_BY),
            "target": TARGET,
        },
        "seeds": list(range(arguments.draws)),
        "shares": shares,
        "models": {
            f"{share}: {row}": {METRIC: own[METRIC]}
            for share, part in shares.items()
            for row, own in part["rows"].items()
        },
        "pre-training": {name: made.run for name, made in sources.items()},
        "seconds": {"everything": seconds},
        **environment(),
        "command": "python -m benchmarks.transfer " + " ".join(sys.argv[1:]),
    }


def table(share: str, own: dict[str, Any]) -> Table:
    """One share for a terminal."""
    shown = Table(title=f"{share} of the users, {own['draws']} draws", title_justify="left")
    for heading in ("row", METRIC, "over scratch", "training s", "s to scratch's best"):
        shown.add_column(heading, justify="left" if heading == "row" else "right")
    for row, figures in own["rows"].items():
        gain, value = figures["over scratch"], figures[METRIC]
        low, middle, high = (f"{gain[f'relative{end}']:+.1%}" for end in ("_low", "", "_high"))
        reached, how_often = figures[REACHED], figures[REACHED_DRAWS]
        shown.add_row(
            row,
            f"{value['mean']:.4f} [dim]{value['low']:.4f} to {value['high']:.4f}[/]",
            f"{middle} [dim]{low} to {high}[/]",
            f"{figures['training seconds']:.0f}",
            "never" if reached is None else f"{reached:.0f} ({how_often} draws)",
        )
    return shown


if __name__ == "__main__":
    main()
