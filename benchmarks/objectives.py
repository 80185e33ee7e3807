"""``python -m benchmarks.objectives``: what each pre-training objective is worth, and a mixture.

Pre-trains on the training events of a log without their labels, by one objective at a time and by
mixtures; then fine-tunes on the labels of a share of the users, ranking and interaction together.
Two figures, on the newest event of every user: NDCG@10 over the full catalogue, and the log loss of
a rating of at least ``--like-at`` (no ratings: ranking alone). The row ``none`` starts from nothing
and learns from the same labels. Leaves ``results.json`` and a plot in ``--out``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import FOLDER
from benchmarks.transfer.data import read_texts, some_targets
from quintet.data.encode import Encoded
from quintet.data.interactions import Floats
from quintet.data.split import Part, Split, few_labels
from quintet.files import atomic_path
from quintet.metrics import bootstrap_mean, log_loss_terms, paired_bootstrap
from quintet.train.evaluate import evaluate_ranking
from quintet.train.evaluate_tasks import like_figures
from quintet.train.finetune import FinetuneConfig, Mode, finetune
from quintet.train.measure import environment
from quintet.train.pretrain import PretrainConfig, pretrain
from quintet.train.pretrained import Pretrained
from quintet.train.results import write_results

#: rows: what is learned before, by which backbone
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "none": ("transformer", ()),
    "causal": ("transformer", ("causal",)),
    "contrast": ("transformer", ("contrast",)),
    "alignment": ("transformer", ("alignment",)),
    "mixture": ("transformer", ("causal", "contrast", "alignment")),
    "none, both ways": ("bidirectional", ()),
    "masked": ("bidirectional", ("masked",)),
    "mixture with masked": ("bidirectional", ("causal", "masked", "contrast", "alignment")),
}
NDCG, LOSS = "ndcg@10", "log_loss of liking"
NETWORK: dict[str, Any] = {"width": 64, "longest": 50}


def main() -> None:
    """Pre-train, fine-tune, measure and write."""
    arguments = parser().parse_args()
    torch.set_num_threads(1)
    console, started = Console(), time.perf_counter()
    encoded, split = read_texts(arguments.dataset, arguments.data, tuple(arguments.text))
    split = some_targets(split, arguments.users)
    unlabelled = replace(encoded, events=split.train)
    measured: dict[str, dict[str, Floats]] = {}
    for row in arguments.rows:
        backbone, objectives = ROWS[row]
        start = pretrained_by(unlabelled, backbone, objectives, arguments.source_epochs)
        mode: Mode = "full" if objectives else "scratch"
        runs = [
            figures(encoded, few_labels(split, arguments.share, draw), start, mode, draw, arguments)
            for draw in range(arguments.draws)
        ]
        measured[row] = {m: np.mean([run[m] for run in runs], axis=0) for m in runs[0]}
        said = {m: round(float(values.mean()), 4) for m, values in measured[row].items()}
        console.print(f"{row}: {said}, {time.perf_counter() - started:.0f} s")
        results = summary(measured, arguments, time.perf_counter() - started)
        write_results(arguments.out / "results.json", results)
    draw_picture(results, arguments.out / "objectives.svg")
    console.print(table(results))
    console.print(f"figures: {arguments.out / 'results.json'}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.objectives",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", nargs="?", default="ml-100k", help="a name, or sequences")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get(FOLDER, "data")))
    parser.add_argument("--text", nargs="*", default=[], help="columns that are the items' text")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--share", type=float, default=0.05, help="of the users with labels")
    parser.add_argument("--draws", type=int, default=3, help="of those users")
    parser.add_argument("--users", type=int, help="test users measured; all when absent")
    parser.add_argument("--source-epochs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=16, help="of fine-tuning, at most")
    parser.add_argument("--like-at", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=Path("reports/objectives"))
    return parser


def pretrained_by(
    unlabelled: Encoded, backbone: str, objectives: Sequence[str], epochs: int
) -> Pretrained:
    """What the objectives teach; first weights where there is none of them."""
    config = PretrainConfig.model_validate(
        {
            "model": NETWORK | {"backbone": backbone},
            "objectives": {name: {} for name in objectives or ("causal",)},
            "loop": {"epochs": epochs if objectives else 0, "learning_rate": 2e-3},
        }
    )
    return pretrain([unlabelled], config)


def figures(
    encoded: Encoded, split: Split, start: Pretrained, mode: Mode, draw: int, arguments: Any
) -> dict[str, Floats]:
    """By metric, [U] the figure of every test user after one fine-tuning."""
    config = FinetuneConfig.model_validate(
        {
            "train": {
                "model": NETWORK
                | {
                    "backbone": start.config.backbone,
                    "towers": ["content"],
                    "off": ["item", "profile", "strategy"],
                },
                "loop": {
                    "epochs": arguments.epochs,
                    "tokens_per_batch": 800,
                    "validate_every": 2,
                    "patience": 3,
                    "tie_orders": 1,
                    "warmup_steps": 10,
                },
                "memories": {"transitions": {}, "last_item": {}},
                "seed": draw,
            },
            "rates": {},
        }
    )
    trained = finetune(start, encoded, split, config, mode).trained
    found = {NDCG: evaluate_ranking(trained.scorer, split, ks=(10,)).per_user[NDCG]}
    rows = np.flatnonzero(split.part == Part.TEST)
    if trained.model.shape.n_levels and not np.isnan(split.events.value[rows]).any():
        likes = like_figures(trained.scorer, split.events, rows, arguments.like_at)
        found[LOSS] = log_loss_terms(likes.like_N, likes.probability_N)
    return found


def summary(
    measured: Mapping[str, Mapping[str, Floats]], arguments: Any, seconds: float
) -> dict[str, Any]:
    """Everything in the format of results files."""
    return {
        "dataset": arguments.dataset,
        "protocol": {
            "split": f"leave_one_out, labels of {arguments.share:.0%} of the users",
            "unlabelled": "the training events of all users, ratings not read",
            "catalogue": "full",
            "history": "masked",
            "test users": arguments.users or "all",
        },
        "seeds": list(range(arguments.draws)),
        "models": {
            row: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            for row, own in measured.items()
        },
        "paired": {
            row: {
                metric: vars(paired_bootstrap(values, measured[nothing(row)][metric]))
                for metric, values in own.items()
            }
            for row, own in measured.items()
            if nothing(row) in measured and row != nothing(row)
        },
        "seconds": {"everything": seconds},
        **environment(),
        "command": "python -m benchmarks.objectives " + " ".join(sys.argv[1:]),
    }


def nothing(row: str) -> str:
    """The row of the same backbone that starts from nothing."""
    return "none" if ROWS[row][0] == "transformer" else "none, both ways"


def table(results: dict[str, Any]) -> Table:
    """The figures for a terminal; less is better for the log loss."""
    shown = Table(title=f"{results['dataset']}: {results['protocol']['split']}")
    metrics = [m for m in (NDCG, LOSS) if all(m in own for own in results["models"].values())]
    for heading in ("pre-trained by", *(h for m in metrics for h in (m, "change"))):
        shown.add_column(heading, justify="left" if heading == "pre-trained by" else "right")
    for row, own in results["models"].items():
        cells = []
        for metric in metrics:
            pair = results["paired"].get(row, {}).get(metric)
            cells.append(f"{own[metric]['mean']:.4f}")
            ends = ("_low", "", "_high")
            low, middle, high = (
                (f"{pair[f'relative{end}']:+.1%}" for end in ends) if pair else ("", "", "")
            )
            cells.append(f"{middle} [dim]{low} to {high}[/]" if pair else "")
        shown.add_row(row, *cells)
    return shown


def draw_picture(results: dict[str, Any], path: Path) -> Path:
    """Write an SVG with both figures of every row; returns the path."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = list(results["models"])[::-1]
    metrics = [m for m in (NDCG, LOSS) if all(m in own for own in results["models"].values())]
    figure = Figure(figsize=(4 * len(metrics), 0.8 + 0.3 * len(rows)), layout="constrained")
    FigureCanvasSVG(figure)
    for place, metric in enumerate(metrics, 1):
        axes = figure.add_subplot(1, len(metrics), place)
        own = [results["models"][row][metric] for row in rows]
        middle = [bounds["mean"] for bounds in own]
        spans = [[b["mean"] - b["low"] for b in own], [b["high"] - b["mean"] for b in own]]
        axes.errorbar(middle, range(len(rows)), xerr=spans, fmt="o", color="#1f6feb")
        axes.set_yticks(range(len(rows)), rows if place == 1 else [""] * len(rows))
        axes.set_xlabel(metric)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path


if __name__ == "__main__":
    main()
