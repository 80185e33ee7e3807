"""Where the model is used: on the event loop's own thread while that is quick, else beside it.

To hand a list of two milliseconds to another thread and back takes longer than to make it: the
threads of one interpreter wait for each other. What takes long would hold up whoever asks whether
the service is well, so it goes to a thread of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
#: seconds that the event loop may do nothing else
QUICK = 0.02
#: the longest of late, in seconds: what is remembered of a very long one, and of none at all
LONG = 0.2
#: what is left of it after each that was shorter
FADING = 0.9


class Thinker:
    """Runs what uses the model, one thing at a time.

    Args:
        here: whether anything may run on the event loop's thread; not where it may have to wait for
            a network.
    """

    def __init__(self, *, here: bool = True) -> None:
        self._here = here
        self._thread = ThreadPoolExecutor(1, "quintet-model")
        self._under_way = 0
        self._longest = LONG

    async def briefly(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what has been quick of late right here, else on the thread."""
        if self._here and not self._under_way and self._longest < QUICK:
            return self._timed(time.perf_counter, work, *arguments)
        # the processor's time: on a thread the clock also counts the turns of others
        return await self.aside(self._timed, time.thread_time, work, *arguments)

    async def aside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run on the thread, after what was begun before."""
        loop = asyncio.get_running_loop()
        self._under_way += 1
        future = self._thread.submit(work, *arguments)
        # its own end counts, not that of who waits for it: who gives up leaves it running
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the thread end what it has begun."""
        self._thread.shutdown()

    def _ended(self) -> None:
        self._under_way -= 1

    def _timed(self, clock: Callable[[], float], work: Callable[..., T], *arguments: Any) -> T:
        started = clock()
        try:
            return work(*arguments)
        finally:
            took = min(clock() - started, LONG)
            self._longest = max(took, FADING * self._longest)
