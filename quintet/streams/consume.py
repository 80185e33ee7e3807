"""From a broker to a running service: read, send, and only then acknowledge.

The consumer is a client of the service like any other: the service checks, stores and acknowledges,
so that events of a stream and of HTTP are one. A consumer that dies in between sends its messages
again when it is back, and the journal knows them by their ids.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from quintet.client import AsyncClient
from quintet.errors import (
    InvalidRequestError,
    OverloadedError,
    RequestError,
    SourceError,
    TooLargeError,
    TooManyRequestsError,
)
from quintet.streams.base import Broker, Message
from quintet.web.fields import MOST_EVENTS
from quintet.web.models import EventIn
from quintet.web.strict import read_json

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0


@dataclass
class Tally:
    """What became of the messages of one consumer.

    Attributes:
        accepted: new events, on the service's disk.
        duplicates: events that it held already.
        refused: messages set aside.
        waits: times that broker or service could not be reached, or asked to wait.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    waits: int = 0


class Consumer:
    """Moves messages from a broker to a service until it is told to stop.

    Args:
        broker: where from.
        client: where to.
        batch: messages at once, 1 to 1,000.
        poll_seconds: that a quiet stream is waited for before looking whether to stop.
    """

    def __init__(
        self, broker: Broker, client: AsyncClient, *, batch: int = 500, poll_seconds: float = 1.0
    ) -> None:
        self.broker = broker
        self.client = client
        self.batch = min(max(batch, 1), MOST_EVENTS)
        self.poll_seconds = poll_seconds
        self.tally = Tally()
        self.stopping = asyncio.Event()

    async def run(self, *, until_quiet: bool = False) -> Tally:
        """Move messages; a message under way is dealt with before it returns.

        Args:
            until_quiet: end when the stream has nothing more to give for ``poll_seconds``.

        Raises:
            UnauthorizedError: the service does not know the key.
            ForbiddenError: the key may not write.
            MissingExtraError: the broker's client is not installed.
        """
        wait = FIRST_WAIT
        while not self.stopping.is_set():
            try:
                messages = await self.broker.fetch(self.batch, self.poll_seconds)
                if not messages and until_quiet:
                    break
                await self._deliver(messages)
                wait = FIRST_WAIT
            except SourceError:  # the broker is gone: what was not acknowledged comes again
                wait = await self._pause(wait)
        return self.tally

    async def _deliver(self, messages: Sequence[Message]) -> None:
        good: list[tuple[Message, EventIn]] = []
        for message in messages:
            try:
                good.append((message, read_event(message)))
            except InvalidRequestError as error:
                await self._refuse(message, str(error))
        if good:
            await self._send(good)

    async def _send(self, good: Sequence[tuple[Message, EventIn]]) -> None:
        """Store events; what the service refuses is halved until the culprit stands alone."""
        try:
            answer = await self._stored([event for _, event in good])
        except (InvalidRequestError, TooLargeError) as error:
            if len(good) == 1:
                await self._refuse(good[0][0], str(error))
                return
            middle = len(good) // 2
            await self._send(good[:middle])
            await self._send(good[middle:])
            return
        if answer is None:  # told to stop before the service was back: all of it comes again
            return
        done = []
        for (message, _), outcome in zip(good, answer, strict=True):
            if outcome == "conflict":
                await self._refuse(message, "another event with this id was stored before")
            else:
                done.append(message)
        await self.broker.acknowledge(done)
        self.tally.accepted += answer.count("new")
        self.tally.duplicates += answer.count("duplicate")

    async def _stored(self, events: Sequence[EventIn]) -> list[str] | None:
        """What became of each, in order; waits for a service that is away. None: told to stop."""
        import httpx  # quintet.client has said how to install it

        wait = FIRST_WAIT
        while not self.stopping.is_set():
            try:
                answer = await self.client.send(events)
            except (httpx.TransportError, OverloadedError, TooManyRequestsError) as error:
                asked = error.retry_after if isinstance(error, RequestError) else None
                wait = await self._pause(max(wait, asked or 0.0))
            else:
                return [one.outcome for one in answer.events]
        return None

    async def _refuse(self, message: Message, reason: str) -> None:
        await self.broker.set_aside(message, reason)
        self.tally.refused += 1

    async def _pause(self, seconds: float) -> float:
        """Wait, unless told to stop; gives the next wait."""
        self.tally.waits += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return min(2 * seconds, LONGEST_WAIT)


def read_event(message: Message) -> EventIn:
    """The event of a message; its id and its time are the broker's where it has none of its own.

    Raises:
        InvalidRequestError: it is no event; the reason does not repeat what was sent.
    """
    value = read_json(message.data)
    if not isinstance(value, dict):
        raise InvalidRequestError("a message must be one JSON object, an event")
    own = {"event_id": f"stream-{message.id}", "timestamp": message.seconds}
    try:
        told = {name: one for name, one in value.items() if one is not None or name not in own}
        return EventIn.model_validate({**own, **told})
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        known = [one for one in found if str(one["loc"][0]) in EventIn.model_fields]
        words = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in known)
        raise InvalidRequestError(words or "a field is not one of an event") from None
