"""Requests that wait go together; the disk does not keep the model waiting."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest

from quintet.web.batching import Batcher
from quintet.web.thinking import Thinker


async def as_it_is(made):
    return made


@pytest.fixture(params=["on a thread", "on the loop's"])
def run(request):
    def ran(ask):
        with closing(Thinker(here=request.param != "on a thread")) as thinker:

            async def known_to_be_quick():
                for _ in range(60):
                    await thinker.briefly(int)
                return await ask(thinker)

            return asyncio.run(known_to_be_quick())

    return ran


def test_who_waits_while_the_model_is_busy_goes_together(run) -> None:
    sizes = []

    def work(requests):
        sizes.append(len(requests))
        return [2 * one for one in requests]

    async def ask(thinker):
        batcher = Batcher(work, as_it_is, thinker, largest=8)
        return await asyncio.gather(*(batcher.ask(n) for n in range(20)))

    assert run(ask) == [2 * n for n in range(20)]
    assert sum(sizes) == 20
    assert max(sizes) <= 8
    assert len(sizes) < 20


def test_an_error_is_its_own_requests_or_the_whole_batchs(run) -> None:
    def work(requests):
        if "worst" in requests:
            raise RuntimeError("all")
        return [ValueError(one) if one == "bad" else one for one in requests]

    async def broken(made):
        if "unsaved" in made:
            raise OSError("disk")
        return made

    async def ask(thinker):
        batcher = Batcher(work, broken, thinker)
        return [
            await asyncio.gather(*map(batcher.ask, names), return_exceptions=True)
            for names in (["a", "bad"], ["b", "worst"], ["c", "unsaved"])
        ]

    first, second, third = run(ask)
    assert first[0] == "a"
    assert isinstance(first[1], ValueError)
    assert all(isinstance(one, RuntimeError) for one in second)
    assert all(isinstance(one, OSError) for one in third)


def test_the_next_batch_is_computed_while_the_one_before_is_written(run) -> None:
    written, second = asyncio.Event(), threading.Event()

    def work(requests):
        if requests == ["second"]:
            second.set()
        return requests

    async def write(made):
        if made == ["first"]:
            await written.wait()
        return made

    async def ask(thinker):
        batcher = Batcher(work, write, thinker)
        first = asyncio.create_task(batcher.ask("first"))
        await asyncio.sleep(0.05)
        assert await batcher.ask("second") == "second"
        assert second.is_set()
        assert not first.done()
        written.set()
        return await first

    assert run(ask) == "first"


def test_who_gives_up_costs_nothing(run) -> None:
    async def ask(thinker):
        seen = []

        def work(requests):
            seen.extend(requests)
            return requests

        batcher = Batcher(work, as_it_is, thinker)
        gone = asyncio.create_task(batcher.ask("gone"))
        stays = asyncio.create_task(batcher.ask("stays"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == "stays"
        with pytest.raises(asyncio.CancelledError):
            await gone
        return seen

    assert "stays" in run(ask)
