"""``python -m benchmarks.accuracy DATASET``: next-item accuracy, quintet and tuned baselines.

DATASET is ``ml-100k``, a name of a folder in ``--data``, or any file with one user a line,
``user item item ...`` in time order; ``--items`` names a table with ``item_id`` and any columns.
Leave-one-out, full catalogue, history masked (unless people return to items). *strict*: trained
on training events alone. *refit*: what was chosen on validation stays, and validation events are
learned too; the row ``quintet`` is then the full refit, with the counts-only refit and the strict
figures beside it. Leaves ``results.json``, a plot, ``predictions-seed*.tsv`` (user, tab, 20 items
best first) and the bundles in ``--out``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import Asked, add_data_options, read
from benchmarks.accuracy.picture import draw
from benchmarks.accuracy.rows import (
    STRICT,
    Job,
    Measured,
    measure_alone,
    measure_baselines,
    measure_quintet,
)
from quintet.config import apply_overrides
from quintet.data.encode import Encoded
from quintet.data.split import Split
from quintet.data.states import repeat_share
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, masks_history
from quintet.train.progress import progress_bar
from quintet.train.results import write_results

CONFIG = Path(__file__).parents[1] / "config.toml"
SHOWN = ("ndcg@10", "hr@10", "ndcg@20", "hr@20")


def main() -> None:
    """Read the data set, then :func:`measure` it."""
    options = parser()
    arguments = options.parse_args()
    asked = Asked(
        arguments.dataset,
        arguments.items,
        arguments.data,
        tuple(arguments.leave_out),
        arguments.tie_column,
        arguments.tie_seed,
    )
    measure(*read(asked), arguments, options.prog)


def measure(encoded: Encoded, split: Split, arguments: argparse.Namespace, prog: str) -> None:
    """Train, rank and write.

    Args:
        encoded: the data set.
        split: its parts.
        arguments: the options of :func:`add_training_options`.
        prog: the command, for the record.
    """
    console, started = Console(), time.perf_counter()
    settings = tomllib.loads(arguments.config.read_text(encoding="utf8"))
    config = TrainConfig.model_validate(apply_overrides(settings, arguments.set))
    job = Job(
        encoded,
        split,
        config,
        arguments.protocol == "refit",
        arguments.ablate,
        masks_history(split.train),
        arguments.out,
    )
    command = f"{prog} {' '.join(sys.argv[1:])}"

    def write() -> dict[str, Any]:
        seconds = time.perf_counter() - started
        results = summary(measured, job, arguments, seconds) | {"command": command}
        write_results(arguments.out / "results.json", results)
        draw(results, arguments.out / "ndcg.svg")
        return results

    measured = Measured()
    for found in trainings(job, arguments, console):
        measured.merge(found)
        results = write()  # a training takes long: what is measured is kept
    if arguments.trials:
        measure_baselines(job, arguments.trials, arguments.targets, measured)
        results = write()
    console.print(table(results))
    console.print(f"figures: {arguments.out / 'results.json'}")


def trainings(job: Job, arguments: Any, console: Console) -> Iterator[Measured]:
    """One training a seed, one after the other or in processes side by side."""
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if arguments.jobs > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
            yield from pool.map(measure_alone, [job] * len(seeds), seeds)
        return
    for seed in seeds:
        with progress_bar(console.is_terminal) as (on_step, on_stage):
            yield measure_quintet(job, seed, {"on_step": on_step, "on_stage": on_stage})


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.accuracy",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="ml-100k, a name, or a file of sequences")
    add_data_options(parser)
    parser.add_argument("--leave-out", nargs="*", default=[], help="columns not read")
    parser.add_argument("--tie-column", default="asin", help="column that sorts one day's events")
    parser.add_argument("--tie-seed", type=int, help="shuffle runs of ascending --tie-column first")
    add_training_options(parser)
    parser.add_argument("--out", type=Path, default=Path("reports/accuracy"))
    return parser


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark that trains quintet and tunes baselines."""
    parser.add_argument("--protocol", choices=["strict", "refit"], default="strict")
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--trials", type=int, default=8, help="settings tried of each baseline")
    parser.add_argument("--targets", type=int, default=3000, help="validation targets of a trial")
    parser.add_argument("--ablate", action="store_true", help="rows without a part of the model")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", action="append", default=[], help="setting=value, as in train")


def summary(
    measured: Measured, job: Job, arguments: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """Figures over users, each user averaged over the seeds first."""
    per_user = {
        row: {m: np.mean([run.per_user[m] for run in own], axis=0) for m in own[0].per_user}
        for row, own in measured.runs.items()
    }
    compared = {row: own for row, own in per_user.items() if row != "quintet"}
    trained = len(measured.runs["quintet"])
    seeds = list(range(arguments.first_seed, arguments.first_seed + trained))
    return {
        "dataset": job.encoded.name,
        "protocol": {
            "split": job.split.name,
            "learned": arguments.protocol,
            "catalogue": "full",
            "history": "masked" if job.masked else "not masked",
            "training events that repeat": round(repeat_share(job.split.train), 4),
            "ties shuffled": arguments.tie_seed,
            "left out": arguments.leave_out,
            "settings": job.config.model_dump(mode="json"),
            "baselines": measured.chosen,
        },
        "seeds": seeds,
        "models": {
            row: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            | measured.runs[row][0].beyond
            for row, own in per_user.items()
        },
        "paired": {
            row: {
                metric: vars(paired_bootstrap(per_user[beside(row)][metric], own[metric]))
                for metric in ("ndcg@10", "hr@10")
            }
            for row, own in compared.items()
        },
        "slices": by_seed(measured) | ({} if job.masked else by_repeat(measured, job.split)),
        "curves": measured.curves,
        "seconds": {stage: float(np.mean(own)) for stage, own in measured.seconds.items()}
        | {"everything": seconds},
        **environment(),
    }


def beside(row: str) -> str:
    """The row of quintet that learned from the same events as ``row``."""
    return STRICT if row.endswith(", strict") and row != STRICT else "quintet"


def by_seed(measured: Measured) -> dict[str, Any]:
    """Figures of every single training."""
    found: dict[str, Any] = {}
    for row, runs in measured.runs.items():
        if row.startswith("quintet"):
            for number, run in enumerate(runs):
                means = {m: float(run.per_user[m].mean()) for m in SHOWN}
                found.setdefault(f"training {number}", {})[row] = means
    return found


def by_repeat(measured: Measured, split: Split) -> dict[str, Any]:
    """Figures of users whose targets all stand in their own history, and of the others."""
    found: dict[str, Any] = {}
    for row, runs in measured.runs.items():
        result = runs[0]
        histories = split.events.before(result.targets)
        again = histories.item == split.events.item[result.targets][histories.group()]
        met_N = np.bincount(histories.group()[again], minlength=len(result.targets)) > 0
        unmet_U = np.bincount(result.user_of_target, ~met_N)
        for name, members in {"met": unmet_U == 0, "not met": unmet_U > 0}.items():
            means = {
                m: float(np.mean([r.per_user[m][members].mean() for r in runs])) for m in SHOWN
            }
            found.setdefault(f"target {name} before ({int(members.sum())} users)", {})[row] = means
    return found


def table(results: dict[str, Any]) -> Table:
    """The figures for a terminal."""
    shown = Table(title=f"{results['dataset']}: {results['protocol']['learned']}")
    shown.add_column("model")
    for metric in SHOWN:
        shown.add_column(metric, justify="right")
    shown.add_column("quintet's ndcg@10 over it, as far learned", justify="right")
    for row, own in results["models"].items():
        pair = results["paired"].get(row, {}).get("ndcg@10")
        gain = ""
        if pair and own["ndcg@10"]["mean"]:
            low, gained, high = (pair[f"relative{end}"] for end in ("_low", "", "_high"))
            gain = f"{gained:+.1%} [{low:+.1%}, {high:+.1%}]"
        shown.add_row(row, *(f"{own[metric]['mean']:.4f}" for metric in SHOWN), gain)
    return shown


if __name__ == "__main__":
    main()
