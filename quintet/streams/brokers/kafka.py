"""Kafka: one event a message, as JSON. **Not tested against a broker**, only against its client.

A group has one place in each partition. It moves on to the first message that is not dealt with
yet, so a consumer that dies has that one, and all behind it, read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from quintet.errors import MissingExtraError, SourceError
from quintet.streams.base import Broker, Message

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer


class Kafka(Broker):
    """A topic that a consumer group reads.

    Messages that cannot be used are sent to the topic ``TOPIC.refused``, with the reason as a
    header.
    """

    name = "kafka"
    summary = "Kafka (not tested against a broker): kafka://host:9092?topic=events"

    class Config(Broker.Config):
        """Settings of a topic; ``idle_seconds`` is the session's timeout."""

        topic: str = Field(default="events", min_length=1, description="its name")

    def __init__(self, address: str, config: Config | None = None) -> None:
        super().__init__(address, config)
        self._reading: AIOKafkaConsumer | None = None
        #: by partition, offsets that were fetched and are not dealt with
        self._open: dict[Any, set[int]] = {}

    @property
    def _servers(self) -> str:
        return self.address.removeprefix("kafka://").strip("/")

    async def fetch(self, limit: int, seconds: float) -> list[Message]:
        """See :meth:`Broker.fetch`."""
        async with self._connected() as reading:
            found = await reading.getmany(timeout_ms=round(seconds * 1000), max_records=limit)
        for place, records in found.items():
            self._open.setdefault(place, set()).update(one.offset for one in records)
        return [
            Message(
                f"{place.topic}-{place.partition}-{one.offset}",
                one.value or b"",
                one.timestamp / 1000,
                (place, one.offset),
            )
            for place, records in found.items()
            for one in records
        ]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See :meth:`Broker.acknowledge`."""
        if not messages:
            return
        newest: dict[Any, int] = {}
        for message in messages:
            place, offset = message.handle
            newest[place] = max(newest.get(place, 0), offset + 1)
            self._open.get(place, set()).discard(offset)
        places = {place: min(self._open.get(place) or [behind]) for place, behind in newest.items()}
        async with self._connected() as reading:
            await reading.commit(places)

    async def set_aside(self, message: Message, reason: str) -> None:
        """See :meth:`Broker.set_aside`."""
        async with self._connected():
            from aiokafka import AIOKafkaProducer

            writing = AIOKafkaProducer(bootstrap_servers=self._servers)
            await writing.start()
            try:
                headers = [("id", message.id.encode()), ("reason", reason.encode())]
                topic = f"{self.config.topic}.refused"
                await writing.send_and_wait(topic, message.data, headers=headers)
            finally:
                await writing.stop()
        await self.acknowledge([message])

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaConsumer]:
        try:
            from aiokafka import AIOKafkaConsumer
            from aiokafka.errors import KafkaError
        except ImportError:
            raise MissingExtraError("events from Kafka", "streams") from None
        try:
            if self._reading is None:
                self._reading = AIOKafkaConsumer(
                    self.config.topic,
                    bootstrap_servers=self._servers,
                    group_id=self.config.group,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    session_timeout_ms=round(self.config.idle_seconds * 1000),
                )
                await self._reading.start()
            yield self._reading
        except (KafkaError, OSError) as error:
            await self.close()
            raise SourceError(f"Kafka: {error}") from None

    async def close(self) -> None:
        """See :meth:`Broker.close`."""
        reading, self._reading = self._reading, None
        self._open.clear()
        if reading is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                await reading.stop()
