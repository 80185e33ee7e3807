"""Redis Streams: one event a message, as JSON in the field ``data``.

A consumer that starts again under its name first gets what it left unacknowledged; what another
left for ``idle_seconds`` is taken over (``XAUTOCLAIM``).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from quintet.errors import MissingExtraError, SourceError
from quintet.streams.base import Broker, Message

if TYPE_CHECKING:
    from redis.asyncio import Redis

FIELD = b"data"


class RedisStreams(Broker):
    """A stream of a Redis server (or Valkey) that a consumer group reads.

    Messages that cannot be used are put into the stream ``STREAM:refused``, with the reason.
    """

    name = "redis"
    summary = "Redis Streams: redis://host:6379/0?stream=events"

    class Config(Broker.Config):
        """Settings of a stream in Redis."""

        stream: str = Field(default="events", min_length=1, description="key of the stream")
        consumer: str = Field(
            default="", description="name in the group, one a running consumer; the host's if empty"
        )

    def __init__(self, address: str, config: Config | None = None) -> None:
        super().__init__(address, config)
        self._consumer = self.config.consumer or socket.gethostname()
        self._server: Redis | None = None
        #: how far what this consumer left behind was read; None when all of it was
        self._own_after: str | None = "0"
        self._claim_at = 0.0

    async def fetch(self, limit: int, seconds: float) -> list[Message]:
        """See :meth:`Broker.fetch`."""
        async with self._connected() as server:
            left = await self._left_behind(server, limit)
            return left or await self._read(server, ">", limit, max(1, round(seconds * 1000)))

    async def _left_behind(self, server: Redis, limit: int) -> list[Message]:
        """What this consumer's former life, or a dead one, fetched and never acknowledged."""
        if self._own_after is not None:
            own = await self._read(server, self._own_after, limit, None)
            self._own_after = own[-1].handle if own else None
            if own:
                return own
        if time.monotonic() < self._claim_at:
            return []
        idle = self.config.idle_seconds
        claimed: Any = await server.xautoclaim(
            self.config.stream,
            self.config.group,
            self._consumer,
            min_idle_time=round(idle * 1000),
            count=limit,
        )
        messages = [self._message(*entry) for entry in claimed[1]]
        self._claim_at = 0.0 if messages else time.monotonic() + idle / 2
        return messages

    async def _read(
        self, server: Redis, after: str, limit: int, block: int | None
    ) -> list[Message]:
        config = self.config
        streams: dict[Any, Any] = {config.stream: after}
        found: Any = await server.xreadgroup(
            config.group, self._consumer, streams, count=limit, block=block
        )
        return [self._message(*entry) for _, entries in found or [] for entry in entries]

    def _message(self, entry: bytes, fields: dict[bytes, bytes] | None) -> Message:
        # a message that was deleted from the stream after it was fetched comes without fields;
        # two streams may give the same number, and events of both go into one journal
        return Message(
            f"{self.config.stream}-{entry.decode()}",
            (fields or {}).get(FIELD, b""),
            int(entry.partition(b"-")[0]) / 1000,
            entry,
        )

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See :meth:`Broker.acknowledge`."""
        if messages:
            async with self._connected() as server:
                handles = [message.handle for message in messages]
                await server.xack(self.config.stream, self.config.group, *handles)

    async def set_aside(self, message: Message, reason: str) -> None:
        """See :meth:`Broker.set_aside`."""
        config = self.config
        async with self._connected() as server, server.pipeline(transaction=True) as both:
            both.xadd(
                f"{config.stream}:refused",
                {FIELD: message.data, "id": message.id, "reason": reason},
            )
            both.xack(config.stream, config.group, message.handle)
            await both.execute()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Redis]:
        try:
            from redis import RedisError
            from redis.asyncio import Redis
        except ImportError:
            raise MissingExtraError("events from Redis Streams", "streams") from None
        try:
            if self._server is None:
                server = Redis.from_url(self.address, socket_connect_timeout=5)
                self._server = server
                await self._make_group(server)
            yield self._server
        except (RedisError, OSError) as error:
            await self.close()
            raise SourceError(f"Redis Streams: {error}") from None

    async def _make_group(self, server: Redis) -> None:
        """From the stream's beginning; an empty stream is made where there is none."""
        from redis import ResponseError

        try:
            await server.xgroup_create(self.config.stream, self.config.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def close(self) -> None:
        """See :meth:`Broker.close`."""
        server, self._server = self._server, None
        self._own_after = "0"
        if server is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                await server.aclose()
