"""A double of the parts of ``aiokafka`` that the adapter uses: there is no broker to test against.

It keeps what the client promises: a group has one place in a partition, reading goes on from the
committed one, and what a dead member did not commit is read again.
"""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any, ClassVar

import aiokafka
import pytest

REAL = {
    "AIOKafkaConsumer": aiokafka.AIOKafkaConsumer,
    "AIOKafkaProducer": aiokafka.AIOKafkaProducer,
}


class Cluster:
    """Topics of one partition, and the committed places of the groups."""

    topics: ClassVar[dict[str, list[bytes]]] = {}
    committed: ClassVar[dict[tuple[str, str], int]] = {}

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", Consumer)
        monkeypatch.setattr(aiokafka, "AIOKafkaProducer", Producer)


def as_the_client(name: str, method: str, *values: Any, **more: Any) -> None:
    """The call fits the signature of the client that is installed."""
    inspect.signature(getattr(REAL[name], method)).bind(None, *values, **more)


class Consumer:
    def __init__(self, topic: str, **settings: Any) -> None:
        as_the_client("AIOKafkaConsumer", "__init__", topic, **settings)
        assert settings["enable_auto_commit"] is False
        self.topic, self.group = topic, settings["group_id"]
        self.place = aiokafka.TopicPartition(topic, 0)

    async def start(self) -> None:
        self.next = Cluster.committed.get((self.group, self.topic), 0)

    async def stop(self) -> None:
        pass

    async def getmany(self, **settings: Any) -> dict[Any, list[Any]]:
        as_the_client("AIOKafkaConsumer", "getmany", **settings)
        held = Cluster.topics.get(self.topic, [])
        found = held[self.next : self.next + settings["max_records"]]
        if not found:
            await asyncio.sleep(settings["timeout_ms"] / 1000)
            return {}
        first, self.next = self.next, self.next + len(found)
        return {
            self.place: [
                SimpleNamespace(value=value, offset=first + index, timestamp=1_700_000_000_000)
                for index, value in enumerate(found)
            ]
        }

    async def commit(self, offsets: dict[Any, int]) -> None:
        as_the_client("AIOKafkaConsumer", "commit", offsets)
        Cluster.committed[self.group, self.topic] = offsets[self.place]


class Producer:
    def __init__(self, **settings: Any) -> None:
        as_the_client("AIOKafkaProducer", "__init__", **settings)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def send_and_wait(self, topic: str, value: bytes, **more: Any) -> None:
        as_the_client("AIOKafkaProducer", "send_and_wait", topic, value, **more)
        Cluster.topics.setdefault(topic, []).append(value)
