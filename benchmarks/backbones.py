"""``python -m benchmarks.backbones [DATASET]``: every backbone on one data set, one table.

The network alone (no counted memory, identity tower), as ``quintet train DATASET --backbone NAME``
trains it with the settings printed; only the name of the backbone changes, and the family for those
of transformers. Leave-one-out, strict, full catalogue, history masked. DATASET is ``ml-100k``, a
name of a folder in ``--data``, or a file of sequences. Leaves ``results.json`` and a plot in
``--out``. Processor time is that of the training thread, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import FOLDER, Asked, read
from benchmarks.accuracy.picture import draw
from quintet.config import apply_overrides
from quintet.data.encode import Encoded
from quintet.data.split import Split
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.nn.backbones.base import BACKBONES
from quintet.nn.model import QuintetModel
from quintet.nn.tower import Tower
from quintet.train.evaluate import RankingResult, evaluate_ranking
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, masks_history, train
from quintet.train.results import write_results

ADAPTER = "hugging_face"
FAMILIES = ("llama", "qwen3", "gpt2", "bert")
REFERENCE = "transformer"
SETTINGS = (
    'model.towers=["identity"]',
    "memories={}",
    "loop.learning_rate=3e-3",
    "loop.low_precision=true",
    "loop.validate_every=1",
)
SHOWN = ("ndcg@10", "hr@10")


def main() -> None:
    """Train and measure every backbone that is asked for."""
    arguments = parser().parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    encoded, split = read(Asked(arguments.dataset, folder=arguments.data))
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.backbones or every_backbone():
        rows[name] = measured(encoded, split, settings_of(name, arguments), arguments.seeds)
        console.print(f"{name}: {json.dumps(rows[name]['facts'])}")
        results = summary(rows, arguments)  # what is done is on disk, should the rest be cut off
        write_results(arguments.out / "results.json", results)
    draw(results, arguments.out / "ndcg.svg")
    console.print(table(results))
    console.print(f"figures: {arguments.out / 'results.json'}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.backbones")
    parser.add_argument("dataset", nargs="?", default="ml-100k")
    parser.add_argument(
        "--data", type=Path, default=Asked.folder, help=f"folder of names ({FOLDER})"
    )
    parser.add_argument("--backbones", nargs="*", default=[], help="only these")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each backbone")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("reports/backbones"))
    return parser


def every_backbone() -> list[str]:
    """All names; the adapter once for each family, written ``hugging_face:family``."""
    own = [name for name in BACKBONES.names() if name != ADAPTER]
    return [*own, *(f"{ADAPTER}:{family}" for family in FAMILIES)]


def settings_of(name: str, arguments: argparse.Namespace) -> list[str]:
    """The overrides of one row."""
    backbone, _, family = name.partition(":")
    named = [f'model.backbone="{backbone}"']
    if family:
        named.append(f'model.backbone_settings.family="{family}"')
    return [*SETTINGS, f"loop.epochs={arguments.epochs}", *arguments.set, *named]


def measured(encoded: Encoded, split: Split, settings: Sequence[str], seeds: int) -> dict[str, Any]:
    """Results by seed, and what the training took."""
    runs, facts = [], {}
    for seed in range(seeds):
        values = apply_overrides({}, [*settings, f"seed={seed}"])
        clock = _Clock()
        fitted = train(encoded, split, TrainConfig.model_validate(values), on_stage=clock.stage)
        masked = masks_history(split.train)
        runs.append(evaluate_ranking(fitted.trained.scorer, split, ks=(10,), mask_history=masked))
        epochs = len(fitted.outcome.curves["loss"])
        facts = {
            "parameters": parameters(fitted.trained.model),
            "epochs": epochs,
            "best epoch": fitted.outcome.best_epoch,
            "seconds an epoch": round(fitted.outcome.seconds / epochs, 1),
            "processor seconds an epoch": round(clock.spent["training"] / epochs, 1),
            "validation": round(fitted.outcome.best_score, 4),
        }
    return {"runs": runs, "facts": facts}


class _Clock:
    """Processor seconds between the stages of a training."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.current, self.since = "", time.process_time()

    def stage(self, name: str) -> None:
        """A stage begins."""
        now = time.process_time()
        self.spent[self.current] = now - self.since
        self.current, self.since = name, now


def parameters(model: QuintetModel) -> int:
    """Weights of the towers' backbones; item vectors and tasks are the same for all."""
    towers = [tower for tower in model.towers.values() if isinstance(tower, Tower)]
    return sum(weight.numel() for tower in towers for weight in tower.backbone.parameters())


def mean_over_seeds(runs: Sequence[RankingResult], metric: str) -> Any:
    """[U] each user's figure, averaged over the trainings."""
    return sum(run.per_user[metric] for run in runs) / len(runs)


def summary(rows: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``results.json`` holds."""
    figures = {
        name: {metric: mean_over_seeds(row["runs"], metric) for metric in SHOWN}
        for name, row in rows.items()
    }
    results: dict[str, Any] = {
        "dataset": arguments.dataset,
        "protocol": {
            "split": "leave-one-out, newest event of each user; full catalogue, history masked",
            "learned": "every backbone alone, strict",
            "settings": [*SETTINGS, f"loop.epochs={arguments.epochs}", *arguments.set],
        },
        "seeds": list(range(arguments.seeds)),
        "models": {
            name: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            for name, own in figures.items()
        },
        "backbones": {name: row["facts"] for name, row in rows.items()},
        **environment(),
        "command": "python -m benchmarks.backbones " + " ".join(sys.argv[1:]),
    }
    if REFERENCE in figures:
        results["over_transformer"] = {
            name: {
                metric: vars(paired_bootstrap(values, figures[REFERENCE][metric]))
                for metric, values in own.items()
            }
            for name, own in figures.items()
            if name != REFERENCE
        }
    return results


def table(results: dict[str, Any]) -> Table:
    """The table on the terminal."""
    shown = Table(title=f"Backbones on {results['dataset']}", title_justify="left")
    for heading in ("backbone", "NDCG@10", "95%", "HR@10", "s / epoch", "CPU s / epoch", "weights"):
        shown.add_column(heading, justify="left" if heading == "backbone" else "right")
    for name, own in sorted(results["models"].items(), key=lambda r: -r[1]["ndcg@10"]["mean"]):
        ndcg, facts = own["ndcg@10"], results["backbones"][name]
        shown.add_row(
            name,
            f"{ndcg['mean']:.4f}",
            f"{ndcg['low']:.4f} to {ndcg['high']:.4f}",
            f"{own['hr@10']['mean']:.4f}",
            f"{facts['seconds an epoch']}",
            f"{facts['processor seconds an epoch']}",
            f"{facts['parameters']:,}",
        )
    return shown


if __name__ == "__main__":
    main()
