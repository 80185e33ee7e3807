"""A place for a stream of every kind; servers are real ones, or the tests say that none ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.faults.servers import NatsServer, RedisServer, running
from quintet.streams.base import Broker, open_broker
from tests.streams.kafka_client import Cluster


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Any]]:
    kinds = {"redis": RedisServer, "nats": NatsServer}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(kind)) for name, kind in kinds.items() if kind.binary
        }


class Stream:
    """One stream of a kind: ``open`` gives a consumer of it, ``publish`` puts messages in."""

    def __init__(self, kind: str, address: str) -> None:
        self.kind, self.address, self.name = kind, address, f"s{uuid4().hex}"

    def url(self, **settings: Any) -> str:
        own = {"redis": {"stream": self.name}, "kafka": {"topic": self.name}}
        own["nats"] = {"stream": self.name, "subject": f"{self.name}.in"}
        values = {"idle_seconds": 0.5, **own[self.kind], **settings}
        return f"{self.address}?" + "&".join(f"{name}={value}" for name, value in values.items())

    def open(self, **settings: Any) -> Broker:
        return open_broker(self.url(**settings))

    async def publish(self, *messages: bytes) -> None:
        await getattr(self, f"_{self.kind}")(messages)

    async def _redis(self, messages: tuple[bytes, ...]) -> None:
        from redis.asyncio import Redis

        async with Redis.from_url(self.address) as server:
            for message in messages:
                await server.xadd(self.name, {"data": message})

    async def _nats(self, messages: tuple[bytes, ...]) -> None:
        import nats

        client = await nats.connect(self.address)
        await client.jetstream().add_stream(name=self.name, subjects=[f"{self.name}.in"])
        for message in messages:
            await client.jetstream().publish(f"{self.name}.in", message)
        await client.close()

    async def _kafka(self, messages: tuple[bytes, ...]) -> None:
        Cluster.topics.setdefault(self.name, []).extend(messages)

    async def aside(self) -> list[bytes]:
        """What was set aside."""
        if self.kind == "kafka":
            return Cluster.topics.get(f"{self.name}.refused", [])
        if self.kind == "redis":
            from redis.asyncio import Redis

            async with Redis.from_url(self.address) as server:
                entries: Any = await server.xrange(f"{self.name}:refused")
                return [fields[b"data"] for _, fields in entries]
        import nats

        client = await nats.connect(self.address)
        pulling = await client.jetstream().pull_subscribe(
            f"{self.name}.in.refused", durable="reader", stream=f"{self.name}_refused"
        )
        found = await pulling.fetch(10, timeout=1)
        await client.close()
        return [one.data for one in found]


@pytest.fixture(params=["redis", "nats", "kafka"])
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stream:
    kind = request.param
    if kind == "kafka":
        Cluster.install(monkeypatch)
        return Stream(kind, "kafka://127.0.0.1:9092")
    server = {"redis": RedisServer, "nats": NatsServer}[kind]
    if not server.binary:
        pytest.skip(server.missing)
    return Stream(kind, request.getfixturevalue("servers")[kind].url)
