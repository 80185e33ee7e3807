"""What is quick runs on the event loop's thread; what is slow, or comes beside it, does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from quintet.web.thinking import QUICK, Thinker

MINE = threading.current_thread().name


def name() -> str:
    return threading.current_thread().name


def slowly(seconds: float) -> str:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return name()


def run(story: Callable[[Thinker], Coroutine[Any, Any, None]], **settings: bool) -> None:
    thinker = Thinker(**settings)
    asyncio.run(story(thinker))
    thinker.close()


async def until_here(thinker: Thinker) -> int:
    for turn in range(200):
        if await thinker.briefly(name) == MINE:
            return turn
    raise AssertionError("never on this thread")


def test_what_proves_quick_moves_to_the_loops_thread() -> None:
    async def story(thinker: Thinker) -> None:
        assert await thinker.briefly(name) != MINE  # nobody knows yet
        assert 5 < await until_here(thinker) < 100

    run(story)


def test_what_has_become_slow_leaves_it_again() -> None:
    async def story(thinker: Thinker) -> None:
        await until_here(thinker)
        assert await thinker.briefly(slowly, 2 * QUICK) == MINE  # nobody could know
        assert await thinker.briefly(name) != MINE
        await until_here(thinker)

    run(story)


def test_one_thing_at_a_time() -> None:
    async def story(thinker: Thinker) -> None:
        await until_here(thinker)
        gate, order = threading.Event(), []

        def first() -> None:
            gate.wait()
            order.append("first")

        waiting = asyncio.create_task(thinker.aside(first))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(thinker.briefly(lambda: order.append("second")))
        await asyncio.sleep(0.01)
        waiting.cancel()  # who asked gives up; the work goes on
        await asyncio.sleep(0.01)
        assert order == []
        gate.set()
        await second
        assert order == ["first", "second"]

    run(story)


def test_nothing_runs_there_where_a_network_may_have_to_be_waited_for() -> None:
    async def story(thinker: Thinker) -> None:
        assert MINE not in {await thinker.briefly(name) for _ in range(100)}

    run(story, here=False)
