"""NATS JetStream: one event a message, as JSON.

The stream is made where there is none. A publisher that sets ``Nats-Msg-Id`` to the event's id has
the broker itself drop repetitions within its window; the journal drops those beyond it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from quintet.errors import MissingExtraError, SourceError
from quintet.streams.base import Broker, Message

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext


class NatsJetStream(Broker):
    """A JetStream stream that a durable pull consumer reads.

    Messages that cannot be used are published to ``SUBJECT.refused`` of the stream
    ``STREAM_refused``, with the reason as a header.
    """

    name = "nats"
    summary = "NATS JetStream: nats://host:4222?stream=EVENTS&subject=events"

    class Config(Broker.Config):
        """Settings of a JetStream stream."""

        stream: str = Field(default="EVENTS", pattern=r"^[^\s.*>]+$", description="its name")
        subject: str = Field(default="events", pattern=r"^[^\s]+$", description="of the messages")

    def __init__(self, address: str, config: Config | None = None) -> None:
        super().__init__(address, config)
        self._client: Client | None = None
        self._pulling: JetStreamContext.PullSubscription | None = None

    async def fetch(self, limit: int, seconds: float) -> list[Message]:
        """See :meth:`Broker.fetch`."""
        from nats.errors import TimeoutError as NothingCame

        async with self._connected() as pulling:
            try:
                found = await pulling.fetch(limit, timeout=max(seconds, 0.05))
            except (NothingCame, TimeoutError):
                return []
        return [_message(one) for one in found]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See :meth:`Broker.acknowledge`."""
        if messages:
            async with self._connected():
                await asyncio.gather(*(message.handle.ack() for message in messages))
                assert self._client is not None
                await self._client.flush(5)

    async def set_aside(self, message: Message, reason: str) -> None:
        """See :meth:`Broker.set_aside`."""
        config = self.config
        async with self._connected():
            assert self._client is not None
            stream = self._client.jetstream()
            aside = f"{config.subject.replace('*', 'any').replace('>', 'all')}.refused"
            await _ensure(stream, f"{config.stream}_refused", aside)
            await stream.publish(
                aside,
                message.data,
                headers={"Nats-Msg-Id": message.id, "reason": reason},
            )
            await message.handle.term()
            await self._client.flush(5)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[JetStreamContext.PullSubscription]:
        try:
            from nats.errors import Error
        except ImportError:
            raise MissingExtraError("events from NATS JetStream", "streams") from None
        try:
            if self._pulling is None:
                self._pulling = await self._subscribe()
            yield self._pulling
        except (Error, OSError, TimeoutError) as error:
            await self.close()
            raise SourceError(f"NATS JetStream: {error or type(error).__name__}") from None

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        import nats
        from nats.js.api import AckPolicy, ConsumerConfig

        async def quiet(error: Exception) -> None:
            del error  # what matters is raised where it is awaited

        config = self.config
        client = self._client = await nats.connect(
            self.address, allow_reconnect=False, connect_timeout=5, error_cb=quiet
        )
        stream = client.jetstream()
        await _ensure(stream, config.stream, config.subject)
        settings = ConsumerConfig(
            durable_name=config.group,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=config.idle_seconds,
            max_ack_pending=100_000,
        )
        return await stream.pull_subscribe(
            config.subject, durable=config.group, stream=config.stream, config=settings
        )

    async def close(self) -> None:
        """See :meth:`Broker.close`."""
        client, self._client, self._pulling = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                await client.close()


async def _ensure(stream: JetStreamContext, name: str, subject: str) -> None:
    """The stream, made if there is none; what it looks like otherwise is its owner's affair."""
    from nats.js.errors import NotFoundError

    try:
        await stream.stream_info(name)
    except NotFoundError:
        await stream.add_stream(name=name, subjects=[subject])


def _message(found: Any) -> Message:
    place = found.metadata
    return Message(
        f"{place.stream}-{place.sequence.stream}", found.data, place.timestamp.timestamp(), found
    )
