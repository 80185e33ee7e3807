"""States made before they are asked for.

To read a history anew takes the model longer than to make a list of what it makes of it. Who did
something since their last list is likely to ask for the next one, so their history is read as soon
as the event is acknowledged and nobody waits for the model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from quintet.errors import QuintetError
from quintet.store import Owner
from quintet.web.known import Known
from quintet.web.live import Holder
from quintet.web.thinking import Thinker

#: people of one call; more of them are no people at their screens, but a log that is handed in. And
#: histories read in one go: each way in which somebody asks is one
MOST_AT_ONCE = 8


class Ahead:
    """Reads the histories of those who were shown a list before, as that list had asked for them.

    It takes at most half of the time, and nobody else's. Who was read ahead is not read again
    before a list was made of that: events of which no list follows must not slow down the others.

    Args:
        holder: of the models.
        known: of the people.
        thinker: of the model.
        idle: whether nobody waits for a list.
    """

    def __init__(
        self, holder: Holder, known: Known, thinker: Thinker, idle: Callable[[], bool]
    ) -> None:
        self._holder, self._known, self._thinker, self._idle = holder, known, thinker, idle
        self._task: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def of(self, owners: Collection[Owner]) -> None:
        """These did something, and it is on disk; what is sent to them goes out before any work."""
        at_work = self._task is not None and not self._task.done()
        if at_work or len(owners) > MOST_AT_ONCE or time.perf_counter() < self._not_before:
            return
        self._task = asyncio.create_task(self._read_soon(owners))

    async def _read_soon(self, owners: Collection[Owner]) -> None:
        if self._idle():
            await self._thinker.briefly(self._read, owners)

    def _read(self, owners: Collection[Owner]) -> None:
        """On the model's thread."""
        started, live = time.perf_counter(), self._holder.live
        before = {owner: self._known.held(owner, live) for owner in owners}
        with suppress(QuintetError):  # who asks is told what is wrong
            self._known.follow()
            people = [
                again
                for owner, old in before.items()
                if old is not None
                for again in self._known.of(owner, live, old.row).asked_like(old)
            ]
            if people:
                live.ranker.states(people[:MOST_AT_ONCE])
        ended = time.perf_counter()
        self._not_before = ended + (ended - started)
