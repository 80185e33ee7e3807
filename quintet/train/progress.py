"""Progress for people: a bar with rate and remaining time, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quintet.nn.modalities.progress import console
from quintet.train.loop import OnStep

OnStage = Callable[[str], None]


@contextmanager
def progress_bar(visible: bool) -> Iterator[tuple[OnStep | None, OnStage | None]]:
    """Callbacks for :func:`quintet.train.pipeline.train`; silent ones when not visible."""
    if not visible:
        yield None, None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console(),
    )
    with bar:
        task = bar.add_task("preparing", total=None, rate="")

        def on_stage(name: str) -> None:
            bar.update(task, description=name)

        def on_step(step: int, total: int, loss: float) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:.1f} steps/s  loss {loss:.3f}" if speed else f"loss {loss:.3f}"
            bar.update(task, completed=step, total=total, rate=rate)

        yield on_step, on_stage
