"""Ranking by the whole model: all five tasks in one checkpoint beside one that only ranks.

Towers, memories, gates and refitting are those of ``benchmarks.accuracy``, strict. The model that
only ranks takes as many epochs as take the processor time of all five tasks; validation says in
both cases which epoch counts.
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

import numpy as np
from rich.console import Console

from benchmarks.accuracy.data import Asked, read
from quintet.metrics import paired_bootstrap
from quintet.nn.tasks.base import TASKS
from quintet.train.evaluate import evaluate_ranking
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, masks_history, train
from quintet.train.results import write_results

CONFIG = Path(__file__).parents[1] / "config.toml"
FIVE, ALONE = "all five", "ranking alone"
METRICS = ("ndcg@10", "hr@10")
STAGE = "training"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        figures: [U] by metric, of each user.
        cpu: processor seconds of the towers' training.
    """

    figures: dict[str, np.ndarray]
    cpu: float


def run(asked: Asked, out: Path, workers: int, seeds: int) -> None:
    """Train both with every seed, and write what is known after each."""
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    usual = TrainConfig.model_validate(settings(FIVE, 0)).loop.epochs
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        probes = {name: pool.submit(measure, asked, name, 0, 1) for name in (FIVE, ALONE)}
        cpu = {name: probe.result().cpu for name, probe in probes.items()}
        epochs = {FIVE: usual, ALONE: max(usual, round(usual * cpu[FIVE] / cpu[ALONE]))}
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


def measure(asked: Asked, name: str, seed: int, epochs: int) -> Run:
    """Train and rank the test."""
    import torch

    torch.set_num_threads(1)
    encoded, split = read(asked)
    config = TrainConfig.model_validate(settings(name, seed))
    config = config.model_copy(update={"loop": config.loop.model_copy(update={"epochs": epochs})})
    marks: list[tuple[str, float]] = []
    fitted = train(
        encoded, split, config, on_stage=lambda stage: marks.append((stage, time.process_time()))
    )
    (spent,) = (end - start for (stage, start), (_, end) in pairwise(marks) if stage == STAGE)
    masked = masks_history(split.train)
    found = evaluate_ranking(fitted.trained.scorer, split, ks=(10,), mask_history=masked)
    return Run({metric: found.per_user[metric] for metric in METRICS}, spent)


def write(
    runs: list[dict[str, Run]], epochs: dict[str, int], asked: Asked, out: Path, seconds: float
) -> None:
    """Means over the seeds, and the paired difference by user."""
    mean = {
        name: {
            metric: np.mean([run[name].figures[metric] for run in runs], 0) for metric in METRICS
        }
        for name in (FIVE, ALONE)
    }
    paired = {
        metric: vars(paired_bootstrap(mean[FIVE][metric], mean[ALONE][metric]))
        for metric in METRICS
    }
    models = {
        name: {metric: float(values.mean()) for metric, values in own.items()}
        for name, own in mean.items()
    }
    results = {
        "dataset": Path(asked.dataset).name,
        "protocol": "leave one out, strict, whole model, paired by user",
        "seeds": list(range(len(runs))),
        "spent": {
            name: {
                "epochs": epochs[name],
                "processor seconds": float(np.mean([run[name].cpu for run in runs])),
            }
            for name in epochs
        },
        "models": models,
        "by seed": [
            {
                name: {m: float(v.mean()) for m, v in own.figures.items()}
                for name, own in run.items()
            }
            for run in runs
        ],
        "gain of all five": paired,
        "seconds": {"everything": seconds},
        "command": f"python -m benchmarks.interplay {' '.join(sys.argv[1:])}",
        "versions": environment()["versions"],
    }
    write_results(out / "results.json", results)
    pair = paired["ndcg@10"]
    five, alone = (models[name]["ndcg@10"] for name in (FIVE, ALONE))
    span = f"[{pair['relative_low']:+.1%}, {pair['relative_high']:+.1%}]"
    Console().print(
        f"{len(runs)} trainings each: NDCG@10 {FIVE} {five:.4f}, {ALONE} {alone:.4f}: "
        f"{pair['relative']:+.1%} {span}",
        markup=False,
    )
