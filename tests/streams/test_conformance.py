"""What every broker promises: nothing unacknowledged is lost, ids stay, bad messages are kept."""

from __future__ import annotations

import asyncio

import pytest

from quintet.errors import ConfigError, SourceError
from quintet.streams.base import BROKERS, Broker, Message, open_broker
from tests.streams.conftest import Stream

MESSAGES = tuple(f"m{number}".encode() for number in range(7))


async def drained(broker: Broker, n: int, limit: int = 3) -> list[Message]:
    """The next ``n`` messages, or what came in a second after the last."""
    found: list[Message] = []
    while len(found) < n:
        came = await broker.fetch(limit, 1.0)
        if not came:
            break
        found += came
    return found


def test_messages_come_once_acknowledged(stream: Stream) -> None:
    async def story() -> None:
        await stream.publish(*MESSAGES)
        async with stream.open() as broker:
            found = await drained(broker, 7)
            assert sorted(one.data for one in found) == sorted(MESSAGES)
            assert len({one.id for one in found}) == 7
            assert all(one.seconds is not None and one.seconds > 1.6e9 for one in found)
            await broker.acknowledge(found)
        await asyncio.sleep(0.7)
        async with stream.open() as again:
            assert await again.fetch(10, 0.3) == []

    asyncio.run(story())


def test_what_was_not_acknowledged_comes_again_under_the_same_id(stream: Stream) -> None:
    async def story() -> None:
        await stream.publish(*MESSAGES)
        async with stream.open() as broker:
            first = await drained(broker, 7)
            await broker.acknowledge(first[:2] + first[4:5])
        await asyncio.sleep(0.7)
        async with stream.open() as again:
            left = {one.id: one.data for one in await drained(again, 7)}
        wanted = {one.id: one.data for one in first[2:4] + first[5:]}
        # kafka reads on from the first that is left, with what came behind it
        assert wanted.items() <= left.items()
        assert not {one.id for one in first[:2]} & set(left)

    asyncio.run(story())


def test_another_consumer_takes_over_what_a_dead_one_left(stream: Stream) -> None:
    async def story() -> None:
        await stream.publish(*MESSAGES)
        dead = stream.open(**({"consumer": "dead"} if stream.kind == "redis" else {}))
        assert len(await drained(dead, 7)) == 7
        await asyncio.sleep(0.7)
        async with stream.open() as broker:
            found = await drained(broker, 7)
            assert sorted(one.data for one in found) == sorted(MESSAGES)
        await dead.close()

    asyncio.run(story())


def test_what_is_set_aside_is_kept_and_does_not_come_again(stream: Stream) -> None:
    async def story() -> None:
        await stream.publish(*MESSAGES[:3])
        async with stream.open() as broker:
            found = await drained(broker, 3)
            await broker.set_aside(found[1], "no event")
            await broker.acknowledge([found[0], found[2]])
        await asyncio.sleep(0.7)
        async with stream.open() as again:
            assert await again.fetch(10, 0.3) == []
        assert await stream.aside() == [found[1].data]

    asyncio.run(story())


def test_setting_aside_does_not_pass_what_came_before(stream: Stream) -> None:
    async def story() -> None:
        await stream.publish(*MESSAGES[:3])
        async with stream.open() as broker:
            found = await drained(broker, 3)
            await broker.set_aside(found[2], "no event")
        await asyncio.sleep(0.7)
        async with stream.open() as again:
            left = {one.data for one in await drained(again, 3)}
        assert {found[0].data, found[1].data} <= left

    asyncio.run(story())


def test_a_quiet_stream_gives_nothing_in_time(stream: Stream) -> None:
    async def story() -> None:
        await stream.publish()
        async with stream.open() as broker:
            assert await asyncio.wait_for(broker.fetch(5, 0.2), 5) == []
            await broker.acknowledge([])

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_a_broker_that_is_away_is_said_so(kind: str) -> None:
    async def story() -> None:
        async with open_broker(f"{kind}://127.0.0.1:1") as broker:
            with pytest.raises(SourceError):
                await broker.fetch(1, 0.1)

    asyncio.run(story())


def test_urls_are_strict() -> None:
    assert BROKERS.names() == ["kafka", "nats", "redis"]
    for url in ("rabbit://host", "redis:events", "events", "redis://host?streem=x"):
        with pytest.raises(ConfigError):
            open_broker(url)


@pytest.mark.parametrize("name", BROKERS.names())
def test_every_broker_says_what_it_is(name: str) -> None:
    part = BROKERS.get(name)
    assert f"{name}://" in part.summary
    assert all(field.description for field in part.Config.model_fields.values())
