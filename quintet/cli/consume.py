"""``quintet consume``: events from a broker into a running service."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.cli.console import say
from quintet.cli.options import examples

if TYPE_CHECKING:
    from quintet.streams.consume import Tally

EXAMPLES = examples(
    "quintet consume redis://localhost:6379/0?stream=events",
    "quintet consume nats://localhost:4222?stream=EVENTS --into http://shop:8080",
)
KEY = "QUINTET_KEY"


def consume(
    broker: Annotated[
        str, typer.Argument(metavar="URL", help="redis://, nats:// or kafka:// with ?settings.")
    ],
    into: Annotated[
        str, typer.Option(metavar="URL", help="The service that stores the events.")
    ] = "http://127.0.0.1:8080",
    batch: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Messages at once.")
    ] = 500,
    until_quiet: Annotated[
        bool, typer.Option("--until-quiet", metavar="", help="End when nothing more comes.")
    ] = False,
) -> None:
    """Move events from Redis Streams, NATS JetStream or Kafka into a running service.

    A message is one event as JSON. It is acknowledged when the service has it on disk, so nothing
    is lost when either side dies, and stored once by its event_id. What the service refuses is set
    aside beside the stream. A key is read from QUINTET_KEY. Kafka is untested against a broker.
    """
    tally = asyncio.run(_run(broker, into, batch, until_quiet))
    say(
        f"{tally.accepted:,} stored, {tally.duplicates:,} held already, "
        f"{tally.refused:,} set aside, {tally.waits:,} waits"
    )


async def _run(url: str, into: str, batch: int, until_quiet: bool) -> Tally:
    from quintet.client import AsyncClient
    from quintet.streams.base import open_broker
    from quintet.streams.consume import Consumer

    async with (
        open_broker(url) as broker,
        AsyncClient(into, os.environ.get(KEY) or None, timeout=30) as client,
    ):
        consumer = Consumer(broker, client, batch=batch)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, consumer.stopping.set)
        return await consumer.run(until_quiet=until_quiet)
