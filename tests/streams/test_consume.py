"""From a real broker into a real service, with what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.servers import RedisServer, free_port
from quintet.client import AsyncClient
from quintet.errors import InvalidRequestError, UnauthorizedError
from quintet.store import Event
from quintet.streams.base import Message
from quintet.streams.consume import Consumer, Tally, read_event
from tests.streams.conftest import Stream
from tests.web.running import Running, keys_file


@pytest.fixture(scope="session")
def bundle(fitted, tmp_path_factory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("shelf") / "bundle")


@pytest.fixture
def running(bundle, tmp_path):
    with Running(bundle, tmp_path / "state") as server:
        yield server


@pytest.fixture
def redis(request) -> Stream:
    if not RedisServer.binary:
        pytest.skip(RedisServer.missing)
    return Stream("redis", request.getfixturevalue("servers")["redis"].url)


def event(number: int, item: Any, **more: Any) -> bytes:
    values = {"event_id": f"e{number}", "user_id": f"new{number % 3}", "item_id": item, **more}
    return json.dumps(values).encode()


async def consumed(stream: Stream, url: str, key: str | None = None, **settings: Any) -> Tally:
    async with stream.open() as broker, AsyncClient(url, key) as client:
        consumer = Consumer(broker, client, poll_seconds=0.3, **settings)
        return await consumer.run(until_quiet=True)


def held(server: Running) -> list[Event]:
    found = server.service.journal.read(kinds=[Event.kind])
    return [entry.record for entry in found]  # type: ignore[misc]


def test_every_event_is_stored_once_whatever_the_stream_repeats(running, redis) -> None:
    item = running.ids("items")[0]
    sent = [event(number % 20, item, timestamp=float(number % 20)) for number in range(50)]
    asyncio.run(redis.publish(*sent))
    tally = asyncio.run(consumed(redis, running.url, batch=7))
    assert (tally.accepted, tally.duplicates, tally.refused) == (20, 30, 0)
    assert sorted(one.event_id for one in held(running)) == sorted(f"e{n}" for n in range(20))
    assert running.post("/v1/recommend", {"user_id": "new1"})["basis"] == "personal"


def test_what_the_service_refuses_is_set_aside_and_the_rest_goes_on(running, redis) -> None:
    item = running.ids("items")[0]
    good = [event(number, item, timestamp=1.0) for number in range(6)]
    bad = [
        b"no json",
        b"[]",
        event(7, item, behaviour="flies"),
        event(8, item, secret=1),
        event(0, item, timestamp=2.0),  # another event under an id that is taken
    ]
    asyncio.run(redis.publish(*good[:3], *bad, *good[3:]))
    tally = asyncio.run(consumed(redis, running.url))
    assert (tally.accepted, tally.refused) == (6, len(bad))
    assert sorted(asyncio.run(redis.aside())) == sorted(bad)
    assert {one.timestamp for one in held(running)} == {1_000_000}


def test_a_service_that_is_away_is_waited_for(bundle, tmp_path, redis) -> None:
    async def story() -> Tally:
        item = "i1"
        await redis.publish(event(1, item))
        port = free_port()
        async with redis.open() as broker, AsyncClient(f"http://127.0.0.1:{port}") as client:
            consumer = Consumer(broker, client, poll_seconds=0.2)
            task = asyncio.create_task(consumer.run())
            await asyncio.sleep(0.5)
            consumer.stopping.set()
            await task
        with Running(bundle, tmp_path / "state") as server:
            return await asyncio.create_task(consumed(redis, server.url))

    tally = asyncio.run(story())
    assert tally.accepted == 1


def test_a_key_without_the_right_to_write_ends_it(bundle, tmp_path, redis) -> None:
    keys_file(tmp_path / "keys.json", reader=["read"])
    with Running(bundle, tmp_path / "state", keys=tmp_path / "keys.json") as server:
        asyncio.run(redis.publish(event(1, "i1")))
        with pytest.raises(UnauthorizedError):
            asyncio.run(consumed(redis, server.url, "qk_nobody"))


def test_ids_and_times_are_the_brokers_where_an_event_has_none() -> None:
    read = read_event(Message("7-1", b'{"user_id": "a", "item_id": 3}', 12.5))
    assert (read.event_id, read.timestamp) == ("stream-7-1", 12.5)
    own = read_event(Message("7-1", b'{"event_id": "x", "user_id": "a", "item_id": 3}', 12.5))
    assert own.event_id == "x"


@pytest.mark.parametrize("data", [b"", b"7", b'{"item_id": {"hush": 1}}', b'{"hush": 1}', b"\xff"])
def test_reasons_do_not_repeat_what_was_sent(data: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_event(Message("1", data))
    assert "hush" not in str(refused.value)


def test_an_id_or_a_time_of_null_is_none_of_its_own() -> None:
    data = b'{"event_id": null, "timestamp": null, "user_id": "a", "item_id": 3}'
    read = read_event(Message("7-1", data, 12.5))
    assert (read.event_id, read.timestamp) == ("stream-7-1", 12.5)


def test_a_batch_too_large_for_one_request_is_sent_in_parts(running, redis) -> None:
    many = [event(n, running.ids("items")[0], query="q" * 4000) for n in range(600)]
    asyncio.run(redis.publish(*many))
    tally = asyncio.run(consumed(redis, running.url, batch=600))
    assert (tally.accepted, tally.refused) == (600, 0)
