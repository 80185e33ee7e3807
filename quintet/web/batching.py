"""Many requests, one pass through the model: whoever waits while it is busy goes together next.

Nobody is made to wait for company: a lone request starts at once, and a batch is what has gathered
while the one before was computed. The model is used by one thread only; what a batch still waits
for after that (the disk) does not keep the next one from being computed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

In = TypeVar("In")
Made = TypeVar("Made")
Out = TypeVar("Out")
Taken = tuple[In, "asyncio.Future[Out]"]


class Batcher(Generic[In, Made, Out]):
    """Gathers requests for a function over several.

    Args:
        work: makes what answers several requests; runs in ``thread``.
        finish: what came of that, one result or exception for each request.
        thread: of the model.
        largest: of a batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[In]], Made],
        finish: Callable[[Made], Awaitable[Sequence[Out | Exception]]],
        thread: ThreadPoolExecutor,
        largest: int = 32,
    ) -> None:
        self._work = work
        self._finish = finish
        self._thread = thread
        self._largest = largest
        self._waiting: deque[Taken[In, Out]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._finishing: set[asyncio.Task[None]] = set()

    async def ask(self, request: In) -> Out:
        """The result for one request; raises what the work gave for it."""
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            # who gave up meanwhile costs nothing
            size = min(self._largest, len(self._waiting))
            gathered = (self._waiting.popleft() for _ in range(size))
            taken = [one for one in gathered if not one[1].done()]
            if not taken:
                continue
            requests = [request for request, _ in taken]
            try:
                made = await loop.run_in_executor(self._thread, self._work, requests)
            except Exception as error:
                _give(taken, [error] * len(taken))
                continue
            finishing = asyncio.create_task(self._hand_out(taken, made))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)

    async def _hand_out(self, taken: Sequence[Taken[In, Out]], made: Made) -> None:
        try:
            _give(taken, await self._finish(made))
        except Exception as error:
            _give(taken, [error] * len(taken))


def _give(taken: Sequence[Taken[In, Out]], results: Sequence[Out | Exception]) -> None:
    """To everyone who still waits, what came of it."""
    for (_, future), result in zip(taken, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
