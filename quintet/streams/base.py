"""What every broker gives, and the one door to them: :func:`open_broker`.

**At least once**: a message that was fetched and not acknowledged comes again, to this consumer or
to another, also after a crash of either.

**Together**: :meth:`Broker.set_aside` keeps a message that cannot be used, with the reason, where
somebody can look at it, and acknowledges it.

**Named once**: :attr:`Message.id` is the same each time that a message comes, and no other message
of the stream has it.

The journal stores an event once by its id, so at least once here is exactly once in its effect. The
conformance kit (``tests/streams/test_conformance.py``) holds every broker to these three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from quintet.config import Config as BaseConfig
from quintet.config import build
from quintet.errors import ConfigError
from quintet.registry import Registry


@dataclass(frozen=True)
class Message:
    """One message on its way.

    Attributes:
        id: of the message in its stream.
        data: what was sent, as bytes.
        seconds: when the broker took it, since 1970 UTC; None where it does not say.
        handle: what the broker needs to acknowledge it.
    """

    id: str
    data: bytes
    seconds: float | None = None
    handle: Any = None


class Broker(ABC):
    """A stream of messages, read by a group of consumers; used by one task at a time.

    Subclasses give ``name`` (the scheme of their urls), a nested ``Config`` and the methods. All
    methods but :meth:`close` raise :class:`~quintet.errors.SourceError` where the broker cannot be
    reached; calling them again connects again.

    Args:
        address: url without settings.
        config: settings.
    """

    name: ClassVar[str]
    #: one line for listings
    summary: ClassVar[str] = ""

    class Config(BaseConfig):
        """Settings, given as ``?name=value`` behind the url."""

        group: str = Field(default="quintet", min_length=1, description="consumers that share work")
        idle_seconds: float = Field(
            default=30.0, gt=0, description="then a message of a dead consumer comes again"
        )

    def __init__(self, address: str, config: Config | None = None) -> None:
        self.address = address
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    async def fetch(self, limit: int, seconds: float) -> list[Message]:
        """At most ``limit`` messages; none if ``seconds`` pass without one."""

    @abstractmethod
    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """These are dealt with and need not come again."""

    @abstractmethod
    async def set_aside(self, message: Message, reason: str) -> None:
        """Keep a message that cannot be used beside the stream, then acknowledge it."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection; a second call does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


BROKERS: Registry[Broker] = Registry("quintet.streams.brokers", Broker, "broker")  # type: ignore[type-abstract]


def open_broker(url: str) -> Broker:
    """The broker at ``url``; nothing is connected before the first call.

    Args:
        url: ``redis://host:port/db?stream=events``, ``nats://host:port?stream=EVENTS`` or
            ``kafka://host:port?topic=events``; further settings are those of the broker's
            ``Config``.

    Raises:
        ConfigError: the url names no known broker, or a setting is unknown.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        raise ConfigError(f"give a broker as {'://, '.join(BROKERS.names())}://HOST:PORT?...")
    part = BROKERS.get(parts.scheme.lower())
    settings = build(part.Config, dict(parse_qsl(parts.query)), where=part.name)
    return part(parts._replace(query="").geturl(), settings)
