"""Deadlines of many tasks with one timer: one for each costs more than most of what it would time.

A task that is late is cancelled, and finds out by :meth:`Deadlines.late` that this was why.
"""

from __future__ import annotations

import asyncio
from typing import Any

STEP = 0.05


class Deadlines:
    """The tasks under way, and when each must have ended; used by one event loop."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._watching = False

    def set(self, task: asyncio.Task[Any], seconds: float) -> None:
        """The task has so long from now on, give or take ``STEP``."""
        loop = task.get_loop()
        self._due[task] = loop.time() + seconds
        if not self._watching:
            self._watching = True
            loop.call_later(STEP, self._look, loop)

    def clear(self, task: asyncio.Task[Any]) -> None:
        """The task has ended what it was timed for."""
        self._due.pop(task, None)

    def late(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task was cancelled for being late; if so, it goes on as if it was not."""
        if task not in self._late:
            return False
        self._late.discard(task)
        task.uncancel()
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, end in self._due.items() if end <= now]:
            del self._due[task]
            self._late.add(task)
            task.cancel()
        self._watching = bool(self._due)
        if self._watching:
            loop.call_later(STEP, self._look, loop)
