"""Requests that wait go together; the disk does not keep the model waiting."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from quintet.web.batching import Batcher


async def as_it_is(made):
    return made


def run(ask):
    with ThreadPoolExecutor(1) as thread:
        return asyncio.run(ask(thread))


def test_who_waits_while_the_model_is_busy_goes_together() -> None:
    sizes = []

    def work(requests):
        sizes.append(len(requests))
        return [2 * one for one in requests]

    async def ask(thread):
        batcher = Batcher(work, as_it_is, thread, largest=8)
        return await asyncio.gather(*(batcher.ask(n) for n in range(20)))

    assert run(ask) == [2 * n for n in range(20)]
    assert sum(sizes) == 20
    assert max(sizes) <= 8
    assert len(sizes) < 20


def test_an_error_is_its_own_requests_or_the_whole_batchs() -> None:
    def work(requests):
        if "worst" in requests:
            raise RuntimeError("all")
        return [ValueError(one) if one == "bad" else one for one in requests]

    async def broken(made):
        if "unsaved" in made:
            raise OSError("disk")
        return made

    async def ask(thread):
        batcher = Batcher(work, broken, thread)
        return [
            await asyncio.gather(*map(batcher.ask, names), return_exceptions=True)
            for names in (["a", "bad"], ["b", "worst"], ["c", "unsaved"])
        ]

    first, second, third = run(ask)
    assert first[0] == "a"
    assert isinstance(first[1], ValueError)
    assert all(isinstance(one, RuntimeError) for one in second)
    assert all(isinstance(one, OSError) for one in third)


def test_the_next_batch_is_computed_while_the_one_before_is_written() -> None:
    written, second = asyncio.Event(), threading.Event()

    def work(requests):
        if requests == ["second"]:
            second.set()
        return requests

    async def write(made):
        if made == ["first"]:
            await written.wait()
        return made

    async def ask(thread):
        batcher = Batcher(work, write, thread)
        first = asyncio.create_task(batcher.ask("first"))
        await asyncio.sleep(0.05)
        assert await batcher.ask("second") == "second"
        assert second.is_set()
        assert not first.done()
        written.set()
        return await first

    assert run(ask) == "first"


def test_who_gives_up_costs_nothing() -> None:
    async def ask(thread):
        seen = []

        def work(requests):
            seen.extend(requests)
            return requests

        batcher = Batcher(work, as_it_is, thread)
        gone = asyncio.create_task(batcher.ask("gone"))
        stays = asyncio.create_task(batcher.ask("stays"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == "stays"
        with pytest.raises(asyncio.CancelledError):
            await gone
        return seen

    assert "stays" in run(ask)
