"""Every task by itself, all tasks, and all but one: the network alone, on MovieLens-100K.

No counted memory; on the same split by time, with some items left out. For every task its own
figure and the ranking's, with the paired difference to all tasks together.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.demo import setting
from quintet.data.split import Part, global_time, hold_out_items
from quintet.metrics import log_loss_terms, paired_bootstrap
from quintet.nn.tasks.base import TASKS
from quintet.train.evaluate import evaluate_ranking, user_means
from quintet.train.evaluate_tasks import (
    interest_loss,
    interest_targets,
    like_figures,
    strategy_labels,
    strategy_loss,
)
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

#: each task's figure, and whether less is better
FIGURES = {
    "ranking": ("NDCG@10", False),
    "item": ("Recall@20 of new items", False),
    "interaction": ("log loss of rating 4+", True),
    "profile": ("log loss of interests", True),
    "strategy": ("log loss of strategy", True),
}
ALL = "all five"


def run(out: Path, workers: int, seeds: int) -> None:
    """Run all variants and print the table."""
    started = time.perf_counter()
    variants = list_variants()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        epochs = equal_epochs(variants, pool)
        jobs = {
            name: [pool.submit(measure, off, seed, epochs[name]) for seed in range(seeds)]
            for name, off in variants.items()
        }
        runs = {name: [job.result() for job in own] for name, own in jobs.items()}
    measured = {name: averaged([run.figures for run in own]) for name, own in runs.items()}
    spent = {
        name: {"epochs": epochs[name], "processor seconds": float(np.mean([r.cpu for r in own]))}
        for name, own in runs.items()
    }
    seconds = {"everything": time.perf_counter() - started}
    show_and_write(measured, spent, out, seeds, seconds)


def equal_epochs(variants: dict[str, list[str]], pool: ProcessPoolExecutor) -> dict[str, int]:
    """By variant, its epochs: a task alone may take the processor time of all five."""
    usual = setting.config(0).loop.epochs
    timed = {name: off for name, off in variants.items() if name == ALL or name.endswith("alone")}
    jobs = {name: pool.submit(measure, off, 0, usual) for name, off in timed.items()}
    cpu = {name: job.result().cpu for name, job in jobs.items()}
    return dict.fromkeys(variants, usual) | {
        name: max(usual, round(usual * cpu[ALL] / own)) for name, own in cpu.items()
    }


def list_variants() -> dict[str, list[str]]:
    """By name, the tasks that are off."""
    tasks = list(FIGURES)
    alone = {f"{task} alone": [other for other in tasks if other != task] for task in tasks}
    return {ALL: [], **alone, **{f"without {task}": [task] for task in tasks}}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        figures: by task that was on, [U] its figure for each user with test events.
        cpu: processor seconds that the training took.
    """

    figures: dict[str, np.ndarray]
    cpu: float


def measure(off: list[str], seed: int, epochs: int) -> Run:
    """Train without some tasks and take every other task's figure."""
    import torch

    torch.set_num_threads(1)
    encoded = setting.encoded(setting.TIE_SEEDS[0])
    held = hold_out_items(encoded.events, setting.COLD_SHARE, 0)
    split = global_time(held.events)
    settings = {**setting.SETTINGS, "memories": {}, "seed": seed}
    settings["model"] = {**settings["model"], "off": off}
    settings["loop"] = {**settings["loop"], "epochs": epochs}
    started = time.process_time()
    trained = train(encoded, split, TrainConfig.model_validate(settings)).trained
    cpu = time.process_time() - started
    scorer, events = trained.scorer, split.events
    rows = np.flatnonzero(split.part == Part.TEST)
    users, user_N = np.unique(events.group()[rows], return_inverse=True)
    n = len(users)
    figures: dict[str, np.ndarray] = {}
    on = set(TASKS.names()) - set(off)
    if "ranking" in on:
        figures["ranking"] = evaluate_ranking(scorer, split, ks=(10,)).per_user["ndcg@10"]
    if "item" in on:
        figures["item"] = _new_item_recall(scorer, held)
    if "interaction" in on:
        likes = like_figures(scorer, events, rows, setting.LIKE_AT)
        loss_N = log_loss_terms(likes.like_N, likes.probability_N)
        figures["interaction"] = user_means(loss_N, user_N, n)
    if "profile" in on:
        chosen, target_NC = interest_targets(scorer, events, rows)
        loss_N = interest_loss(scorer, events, chosen, target_NC).loss_N
        _, chosen_user_N = np.unique(events.group()[chosen], return_inverse=True)
        figures["profile"] = user_means(loss_N, chosen_user_N, int(chosen_user_N.max()) + 1)
    if "strategy" in on:
        label_E = strategy_labels(scorer, events)
        rows, user_N = rows[label_E[rows] >= 0], user_N[label_E[rows] >= 0]
        label_N = label_E[rows]
        loss_N = strategy_loss(scorer, events, rows, label_N).loss_N
        figures["strategy"] = user_means(loss_N, user_N, n)
    return Run(figures, cpu)


def _new_item_recall(scorer: Any, held: Any) -> np.ndarray:
    from benchmarks.demo.tasks import recall_of

    users = np.flatnonzero(np.bincount(held.held_out.user, minlength=held.events.n_users))
    lists = scorer.rank(held.events.users(users), 20, allowed_I=held.cold).items_BK
    return recall_of(lists, held.held_out.users(users))


def averaged(runs: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """By task, each user's mean over the seeds."""
    return {task: np.mean([run[task] for run in runs], axis=0) for task in runs[0]}


def show_and_write(
    measured: dict[str, dict[str, np.ndarray]],
    spent: dict[str, dict[str, float]],
    out: Path,
    seeds: int,
    seconds: dict[str, float],
) -> None:
    """A line a task and variant; differences are relative to all five, better is positive."""
    console = Console(width=110)
    table = Table(title="Interplay of the tasks: gain over all five together", title_justify="left")
    for heading in ("figure", "variant", "value", "all five", "gain (95%)"):
        table.add_column(heading, justify="left" if heading in ("figure", "variant") else "right")
    rows = []
    for task, (label, less) in FIGURES.items():
        others = [f"without {other}" for other in FIGURES if other != task]
        for variant in [f"{task} alone", *others]:
            row = _compare(measured, task, variant, less)
            rows.append({"task": task, "figure": label, "variant": variant, **row})
            span = f"{row['gain']:+.1%} [dim]{row['low']:+.1%} to {row['high']:+.1%}[/]"
            table.add_row(label, variant, f"{row['value']:.4f}", f"{row['all']:.4f}", span)
        table.add_section()
    console.print(table)
    results = {
        "dataset": "ml-100k",
        "protocol": "split by time, 5% of items left out, network alone, paired by user",
        "seeds": list(range(seeds)),
        "interplay": rows,
        "models": {
            name: {task: float(values.mean()) for task, values in own.items()}
            for name, own in measured.items()
        },
        "spent": spent,
        "seconds": seconds,
        "command": "python -m benchmarks.interplay " + " ".join(sys.argv[1:]),
        "versions": environment()["versions"],
    }
    write_results(out / "results.json", results)
    console.print(f"figures: {out / 'results.json'}")


def _compare(
    measured: dict[str, dict[str, np.ndarray]], task: str, variant: str, less: bool
) -> dict[str, float]:
    own, together = measured[variant][task], measured[ALL][task]
    pair = paired_bootstrap(own, together)
    sign = -1 if less else 1
    ends = sorted((sign * pair.relative_low, sign * pair.relative_high))
    return {
        "value": float(own.mean()),
        "all": float(together.mean()),
        "gain": sign * pair.relative,
        "low": ends[0],
        "high": ends[1],
    }
