"""Many requests, one pass through the model: who has come while it was busy goes together next.

Nobody is made to wait for company: a batch is who stands there once the loop has read what has
come. What a batch still waits for after the model (the disk) does not keep the next one from being
computed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from quintet.web.thinking import Thinker

In = TypeVar("In")
Made = TypeVar("Made")
Out = TypeVar("Out")
Taken = tuple[In, "asyncio.Future[Out]"]
#: turns of the loop without a newcomer, after which all that has come is read: a request takes one
#: to be read, and one to get as far as here
CALM = 2


class Batcher(Generic[In, Made, Out]):
    """Gathers requests for a function over several.

    Args:
        work: makes what answers several requests; run by ``thinker``.
        finish: what came of that, one result or exception for each request.
        thinker: of the model.
        largest: of a batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[In]], Made],
        finish: Callable[[Made], Awaitable[Sequence[Out | Exception]]],
        thinker: Thinker,
        largest: int = 32,
    ) -> None:
        self._work = work
        self._finish = finish
        self._thinker = thinker
        self._largest = largest
        self._waiting: deque[Taken[In, Out]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._finishing: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return self._runner is None or self._runner.done()

    async def ask(self, request: In) -> Out:
        """The result for one request; raises what the work gave for it."""
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self.idle:
            self._runner = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            await self._gather()
            # who gave up meanwhile costs nothing
            size = min(self._largest, len(self._waiting))
            gathered = (self._waiting.popleft() for _ in range(size))
            taken = [one for one in gathered if not one[1].done()]
            if not taken:
                continue
            try:
                made = await self._thinker.briefly(self._work, [request for request, _ in taken])
            except Exception as error:
                _give(taken, [error] * len(taken))
                continue
            finishing = asyncio.create_task(self._hand_out(taken, made))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)

    async def _gather(self) -> None:
        """Let the loop read what has come while the model was busy."""
        calm = 0
        while calm < CALM and len(self._waiting) < self._largest:
            before = len(self._waiting)
            await asyncio.sleep(0)
            calm = calm + 1 if len(self._waiting) == before else 0

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
