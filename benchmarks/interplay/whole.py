"""Ranking by the whole model: all five tasks in one checkpoint beside one that only ranks.

Towers, memories, gates and refitting are those of ``benchmarks.accuracy``: strict, and refitted on
the validation events, which is the checkpoint that is delivered. The model that only ranks takes as
many epochs as take the processor time of all five tasks, in both; validation says which counts.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.accuracy.data import Asked, read
from quintet.data.split import Split
from quintet.metrics import paired_bootstrap
from quintet.nn.tasks.base import TASKS
from quintet.serve.trained import Trained
from quintet.train.evaluate import evaluate_ranking
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, masks_history, train
from quintet.train.refit import refit, with_validation
from quintet.train.results import write_results

CONFIG = Path(__file__).parents[1] / "config.toml"
FIVE, ALONE = NAMES = "all five", "ranking alone"
STRICT, REFITTED = "strict", "refitted"
METRICS = ("ndcg@10", "hr@10")
STAGE = "training"
#: by metric, [U] of each user
Figures = dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        figures: by protocol.
        cpu: processor seconds of the towers' training, strict.
    """

    figures: dict[str, Figures]
    cpu: float


def run(asked: Asked, out: Path, workers: int, seeds: int) -> None:
    """Train both with every seed, and write what is known after each."""
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        probes = {name: pool.submit(measure, asked, name, 0, {"epochs": 2}) for name in NAMES}
        cpu = {name: probe.result().cpu for name, probe in probes.items()}
        epochs = {FIVE: usual_epochs(1.0), ALONE: usual_epochs(max(1.0, cpu[FIVE] / cpu[ALONE]))}
        jobs = [
            {name: pool.submit(measure, asked, name, seed, n) for name, n in epochs.items()}
            for seed in range(seeds)
        ]
        runs: list[dict[str, Run]] = []
        for own in jobs:
            runs.append({name: job.result() for name, job in own.items()})
            write(runs, epochs, asked, out, time.perf_counter() - started)


def settings(name: str, seed: int) -> dict[str, object]:
    """Of the accuracy benchmark, with all tasks or with ranking alone."""
    given = tomllib.loads(CONFIG.read_text(encoding="utf8")) | {"seed": seed}
    off = [] if name == FIVE else [task for task in TASKS.names() if task != "ranking"]
    return given | {"model": given["model"] | {"off": off}}


def usual_epochs(times: float) -> dict[str, int]:
    """Epochs of the accuracy benchmark, so many times as long."""
    usual = TrainConfig.model_validate(settings(FIVE, 0))
    return {
        "epochs": round(usual.loop.epochs * times),
        "refit_epochs": round(usual.refit_epochs * times),
    }


def measure(asked: Asked, name: str, seed: int, epochs: dict[str, int]) -> Run:
    """Train and rank the test, refit and rank it again; without epochs for a refit, train alone."""
    import torch

    torch.set_num_threads(1)
    encoded, split = read(asked)
    config = TrainConfig.model_validate(settings(name, seed))
    loop = config.loop.model_copy(update={"epochs": epochs["epochs"]})
    refit_epochs = epochs.get("refit_epochs", 0)
    config = config.model_copy(update={"loop": loop, "refit_epochs": refit_epochs})
    marks: list[tuple[str, float]] = []
    fitted = train(
        encoded, split, config, on_stage=lambda stage: marks.append((stage, time.process_time()))
    )
    (spent,) = (end - start for (stage, start), (_, end) in pairwise(marks) if stage == STAGE)
    if not refit_epochs:
        return Run({}, spent)
    known = with_validation(split)
    figures = {
        STRICT: ranked(fitted.trained, split),
        REFITTED: ranked(refit(fitted, encoded, split, config).trained, known),
    }
    return Run(figures, spent)


def ranked(trained: Trained, split: Split) -> Figures:
    """Figures of every user on the test."""
    masked = masks_history(split.train)
    found = evaluate_ranking(trained.scorer, split, ks=(10,), mask_history=masked)
    return {metric: found.per_user[metric] for metric in METRICS}


def write(
    runs: list[dict[str, Run]],
    epochs: dict[str, dict[str, int]],
    asked: Asked,
    out: Path,
    seconds: float,
) -> None:
    """Means over the seeds, and the paired difference by user."""
    results = {
        "dataset": Path(asked.dataset).name,
        "protocol": "leave one out, whole model, paired by user",
        "seeds": list(range(len(runs))),
        "spent": {
            name: own | {"processor seconds": float(np.mean([run[name].cpu for run in runs]))}
            for name, own in epochs.items()
        },
        **{protocol: compared(runs, protocol) for protocol in (STRICT, REFITTED)},
        "seconds": {"everything": seconds},
        "command": f"python -m benchmarks.interplay {' '.join(sys.argv[1:])}",
        "versions": environment()["versions"],
    }
    write_results(out / "results.json", results)
    for protocol in (STRICT, REFITTED):
        pair = results[protocol]["gain of all five"]["ndcg@10"]
        five, alone = (results[protocol]["models"][name]["ndcg@10"] for name in NAMES)
        span = f"[{pair['relative_low']:+.1%}, {pair['relative_high']:+.1%}]"
        Console().print(
            f"{len(runs)} trainings each, {protocol}: NDCG@10 {FIVE} {five:.4f}, "
            f"{ALONE} {alone:.4f}: {pair['relative']:+.1%} {span}",
            markup=False,
        )


def compared(runs: list[dict[str, Run]], protocol: str) -> dict[str, Any]:
    """Both models of one protocol: means, every seed, the difference with its interval."""
    figures = [{name: run[name].figures[protocol] for name in NAMES} for run in runs]
    mean = {
        name: {m: np.mean([own[name][m] for own in figures], 0) for m in METRICS} for name in NAMES
    }
    return {
        "models": {name: means(own) for name, own in mean.items()},
        "by seed": [{name: means(own) for name, own in run.items()} for run in figures],
        "gain of all five": {
            metric: vars(paired_bootstrap(mean[FIVE][metric], mean[ALONE][metric]))
            for metric in METRICS
        },
    }


def means(figures: Figures) -> dict[str, float]:
    """Over the users."""
    return {metric: float(values.mean()) for metric, values in figures.items()}
