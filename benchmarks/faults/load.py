"""Clients that are slow, and clients that are too many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import uvloop

from benchmarks.faults.process import Serving
from benchmarks.faults.scene import Scene
from benchmarks.faults.tally import Tally

SLOW, DEADLINE, HEALTH_P99 = 200, 10.0, 0.050
CAPACITY_CONNECTIONS, FACTOR = 16, 4.0
REFUSED_P99, ACCEPTED_P99, RECOVERY = 0.25, 1.0, 5.0


def slow_clients(scene: Scene) -> Tally:
    """200 clients dribble headers, dribble bodies or read nothing: closed by the deadline."""
    tally = Tally("slow clients closed, health p99 <= 50 ms")
    with Serving(scene.models.films.bundle, scene.folder / "state", "--quiet") as server:
        closed, health = asyncio.run(_slow(server.port, scene.rounds(SLOW)))
    p99 = float(np.quantile(health, 0.99))
    for seconds in closed:
        tally.count(ok=seconds <= DEADLINE + 3, trouble="a connection was left open")
    tally.count(ok=p99 <= HEALTH_P99, trouble="health was slow")
    tally.notes.append(
        f"closed after {min(closed):.1f} to {max(closed):.1f} s, health p99 {p99 * 1000:.1f} ms "
        f"of {len(health)}"
    )
    return tally


async def _slow(port: int, n: int) -> tuple[list[float], list[float]]:
    done = asyncio.Event()
    health = asyncio.create_task(_health(port, done))
    await asyncio.sleep(0.5)
    closed = await asyncio.gather(*(_dribble(port, number) for number in range(n)))
    done.set()
    return closed, await health


async def _dribble(port: int, number: int) -> float:
    """Seconds until the server ends a connection that sends a byte now and then, or nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    kind = number % 3
    writer.write(b"" if kind == 0 else head[:30] if kind == 1 else head + b"content-length: 9\r\n")
    if kind == 2:
        writer.write(b'\r\n{"')
    started = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - started < DEADLINE + 5:
            try:
                if not await asyncio.wait_for(reader.read(4096), 0.7):
                    break
            except TimeoutError:
                writer.write({0: b"", 1: b"x", 2: b" "}[kind])
    took = time.monotonic() - started
    writer.close()
    return took


async def _health(port: int, done: asyncio.Event) -> list[float]:
    took = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not done.is_set():
        started = time.perf_counter()
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        await _read(reader)
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.01)
    writer.close()
    return took


async def _read(reader: asyncio.StreamReader) -> int:
    """The status of one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


# ---------------------------------------------------------------- too many


class Line(asyncio.Protocol):
    """A kept-alive connection that asks once at a time, with as little work as can be.

    A driver that is slow itself would count its own delay as the service's.
    """

    def __init__(self, flood: Flood) -> None:
        self.flood = flood
        self.asked, self.busy = 0.0, False
        self._came = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, asked: float) -> None:
        """Send a request; ``asked`` is when it was due to be sent."""
        assert self._transport is not None
        self.asked, self.busy = asked, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._came, self.busy = b"", False
            self.flood.answered(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        del exc
        self.flood.lost(self)


@dataclass
class Flood:
    """Requests at a rate that does not wait for answers, over as many connections as that takes.

    Attributes:
        port: of the service.
        requests: asked in turn.
        accepted: seconds of good answers.
        refused: seconds of 429 and 503.
        other: all else, and connections that broke.
    """

    port: int
    requests: list[bytes]
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: int = 0
    _idle: list[Line] = field(default_factory=list)
    _under_way: int = 0
    _sent: int = 0
    _until: float = 0.0

    async def pour(self, rate: float, seconds: float) -> None:
        """Requests at even times."""
        started, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * rate:
                await self._one()
                sent += 1
            await asyncio.sleep(0.002)
        await self._end()

    async def drain(self, connections: int, seconds: float) -> float:
        """Answers a second when a few connections ask as fast as they are answered."""
        before = len(self.accepted)
        self._until = time.perf_counter() + seconds
        for _ in range(connections):
            await self._one()
        await asyncio.sleep(seconds)
        done = len(self.accepted) - before
        await self._end()
        return done / seconds

    async def _one(self) -> None:
        asked = time.perf_counter()
        self._under_way += 1
        if not self._idle:
            await self._connect()
        self._ask(self._idle.pop(), asked)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self.port)
        self._idle.append(line)

    def _ask(self, line: Line, asked: float) -> None:
        line.ask(self.requests[self._sent % len(self.requests)], asked)
        self._sent += 1

    async def _end(self) -> None:
        """Wait for the answers that are still to come."""
        while self._under_way:
            await asyncio.sleep(0.002)

    def answered(self, line: Line, status: int) -> None:
        """Count an answer; ask again at once while :meth:`drain` lasts."""
        now = time.perf_counter()
        took = now - line.asked
        if status == 200:
            self.accepted.append(took)
        elif status in (429, 503):
            self.refused.append(took)
        else:
            self.other += 1
        if now < self._until:
            self._ask(line, now)
        else:
            self._under_way -= 1
            self._idle.append(line)

    def lost(self, line: Line) -> None:
        """A connection ended; what it was asked has no answer."""
        if line.busy:
            self.other += 1
            self._under_way -= 1
        elif line in self._idle:
            self._idle.remove(line)

    def forget(self) -> None:
        """Count anew."""
        self.accepted, self.refused, self.other = [], [], 0


def _request(user: str | int) -> bytes:
    body = json.dumps({"user_id": user, "k": 10, "reasons": False}).encode()
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def overload(scene: Scene) -> Tally:
    """Four times what it can do: the rest is refused at once, and it recovers when that ends."""
    tally = Tally("overload at 4 x capacity")
    requests = [_request(user) for user in scene.models.market.ids("users")]
    state = scene.folder / "state"
    options = ["--quiet", "--waiting", 2 * CAPACITY_CONNECTIONS]
    with Serving(scene.models.market.bundle, state, *options) as server:
        for _ in range(scene.rounds(3)):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures, good = runner.run(_overload(Flood(server.port, requests)))
            tally.count(ok=good, trouble="out of budget")
            tally.notes.append(figures)
    return tally


async def _overload(flood: Flood) -> tuple[str, bool]:
    await flood.drain(CAPACITY_CONNECTIONS, 1.0)
    capacity = await flood.drain(CAPACITY_CONNECTIONS, 3.0)
    flood.forget()
    await flood.pour(FACTOR * capacity, 5.0)
    accepted, refused, other = flood.accepted, flood.refused, flood.other
    flood.forget()
    ended, recovery = time.perf_counter(), 99.0
    while time.perf_counter() - ended < 2 * RECOVERY:
        flood.forget()
        await flood.pour(capacity / 2, 0.5)
        calm = not flood.refused and not flood.other
        if calm and np.quantile(flood.accepted, 0.99) <= ACCEPTED_P99:
            recovery = time.perf_counter() - ended
            break
    fast = float(np.quantile(refused, 0.99)) if refused else 0.0
    slow = float(np.quantile(accepted, 0.99)) if accepted else 99.0
    figures = (
        f"{capacity:.0f}/s, {len(accepted)} accepted p99 {slow * 1000:.0f} ms, "
        f"{len(refused)} refused p99 {fast * 1000:.0f} ms, {other} broken, "
        f"recovered in {recovery:.1f} s"
    )
    good = bool(refused) and not other and fast <= REFUSED_P99
    return figures, good and slow <= ACCEPTED_P99 and recovery <= RECOVERY
