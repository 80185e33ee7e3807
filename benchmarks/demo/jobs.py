"""Everything that the demo trains and tunes, in processes side by side."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.demo import ranking, setting, tasks
from quintet.memory.base import MEMORIES


def run_all(
    console: Console, out: Path, workers: int, cold_draws: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """All trainings and baselines, one thread a process.

    Two small runs side by side go faster than one on two threads.
    """
    context = multiprocessing.get_context("spawn")
    answers: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    columns = (
        TextColumn("[bold]{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool,
        Progress(*columns, console=console, transient=True) as bar,
    ):
        jobs: dict[Future[Any], str] = {}
        for name in MEMORIES.names():
            if name not in setting.NOT_BASELINES:
                jobs[pool.submit(_timed, ranking.baseline_on_all, name)] = f"baseline {name}"
        jobs[pool.submit(_timed, tasks.over_time)] = "over time"
        for draw in range(cold_draws):
            jobs[pool.submit(_timed, tasks.cold_items, draw)] = f"cold items {draw}"
        for tie_seed in setting.TIE_SEEDS:
            jobs[pool.submit(_timed, ranking.quintet_on, tie_seed, out)] = f"quintet {tie_seed}"
        task = bar.add_task("training and tuning", total=len(jobs))
        for future in as_completed(jobs):
            name = jobs[future]
            answers[name], seconds[name] = future.result()
            bar.update(task, advance=1, description=f"done: {name}")
    return answers, seconds


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _timed(job: Any, *arguments: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    return job(*arguments), time.perf_counter() - started
