"""Clients that are slow, and clients that are too many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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


@dataclass
class Flood:
    """Requests at a rate that does not wait for answers, over as many connections as that takes.

    Attributes:
        accepted: seconds of good answers.
        refused: seconds of 429 and 503.
        other: all else, and connections that broke.
    """

    port: int
    bodies: list[bytes]
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: int = 0
    _idle: list[Any] = field(default_factory=list)

    async def pour(self, rate: float, seconds: float) -> None:
        """Requests at even times."""
        started, tasks, sent = time.perf_counter(), [], 0
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * rate:
                tasks.append(asyncio.create_task(self._one(sent)))
                sent += 1
            await asyncio.sleep(0.004)
        await asyncio.gather(*tasks)

    async def drain(self, connections: int, seconds: float) -> float:
        """Answers a second when a few connections ask as fast as they are answered."""
        until, before = time.perf_counter() + seconds, len(self.accepted)

        async def ask(number: int) -> None:
            while time.perf_counter() < until:
                number += connections
                await self._one(number)

        await asyncio.gather(*(ask(number) for number in range(connections)))
        return (len(self.accepted) - before) / seconds

    async def _one(self, number: int) -> None:
        body = self.bodies[number % len(self.bodies)]
        head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        started = time.perf_counter()
        try:
            line = self._idle.pop() if self._idle else None
            reader, writer = line or await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            status = await _read(reader)
        except (OSError, asyncio.IncompleteReadError):
            self.other += 1
            return
        self._idle.append((reader, writer))
        took = time.perf_counter() - started
        if status == 200:
            self.accepted.append(took)
        elif status in (429, 503):
            self.refused.append(took)
        else:
            self.other += 1

    def forget(self) -> None:
        """Count anew."""
        self.accepted, self.refused, self.other = [], [], 0


def overload(scene: Scene) -> Tally:
    """Four times what it can do: the rest is refused at once, and it recovers when that ends."""
    tally = Tally("overload at 4 x capacity")
    users = scene.models.market.ids("users")
    bodies = [json.dumps({"user_id": user, "k": 10, "reasons": False}).encode() for user in users]
    state = scene.folder / "state"
    options = ["--quiet", "--waiting", 2 * CAPACITY_CONNECTIONS]
    with Serving(scene.models.market.bundle, state, *options) as server:
        for _ in range(scene.rounds(3)):
            figures, good = asyncio.run(_overload(Flood(server.port, bodies)))
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
