"""Events through brokers: repeated, shuffled, and with consumers that die."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time

from benchmarks.faults.process import ENVIRONMENT, QUINTET, Serving, wait_for
from benchmarks.faults.scene import Scene
from benchmarks.faults.servers import NatsServer, RedisServer, running
from benchmarks.faults.tally import Tally
from quintet.store import Event, open_store

EVENTS, DUPLICATES, KILLS, IDLE = 20_000, 0.3, 10, 2
STREAM = {
    RedisServer: f"?stream=events&idle_seconds={IDLE}",
    NatsServer: f"?stream=EVENTS&subject=events&idle_seconds={IDLE}",
}
Kind = type[RedisServer] | type[NatsServer]


def through(kind: Kind, name: str, scene: Scene) -> Tally:
    """20,000 events, 30 % of them twice, in any order; the consumer is killed 10 times."""
    tally = Tally(f"events through {name}, consumer killed")
    if not kind.binary:
        tally.not_run = kind.missing
        return tally
    n = scene.rounds(EVENTS)
    messages = shuffled(scene, n)
    state = scene.folder / "state"
    with running(kind) as broker, Serving(scene.models.films.bundle, state, "--quiet") as server:
        asyncio.run(publish(kind, broker.url, messages))
        url, started = broker.url + STREAM[kind], time.monotonic()
        for number in range(1, KILLS + 1):
            consumer = consume(url, server)
            until = len(messages) * (number - scene.chance.random() / 2) / (KILLS + 2)
            wait_for(lambda until=until: sum(outcomes(server).values()) >= until)
            consumer.kill()
            consumer.wait()
        for _ in range(2):  # what the last one left comes again when it has been idle
            time.sleep(IDLE + 0.5)
            consume(url, server, "--until-quiet").wait(300)
        took = time.monotonic() - started
    with open_store(state / "journal") as journal:
        held = [entry.record.record_id for entry in journal.read(kinds=[Event.kind])]
    there = set(held)
    for number in range(n):
        tally.count(lost=f"e{number}" not in there)
    doubled, strange = len(held) - len(there), len(there) - n
    tally.survived -= doubled + max(strange, 0)
    figures = f"{len(messages):,} messages, {KILLS} kills, doubled {doubled}, {took:.0f} s"
    tally.notes.append(figures)
    return tally


def away(scene: Scene) -> Tally:
    """The broker dies under a consumer: lists go on, and no event is missing when it is back."""
    tally = Tally("broker gone and back")
    if not NatsServer.binary:
        tally.not_run = NatsServer.missing
        return tally
    state, rounds = scene.folder / "state", scene.rounds(5)
    with (
        running(NatsServer) as broker,
        Serving(scene.models.films.bundle, state, "--quiet") as server,
    ):
        url = broker.url + STREAM[NatsServer]
        consumer, sent = consume(url, server), 0
        for _ in range(rounds):
            asyncio.run(publish(NatsServer, broker.url, shuffled(scene, 200, first=sent)))
            sent += 200
            broker.kill()
            answers = [server.http.post("/v1/recommend", json={"user_id": "1"}) for _ in range(20)]
            good = all(one.status_code == 200 for one in answers)
            broker.start()
            try:
                wait_for(lambda sent=sent: outcomes(server)["new"] >= sent, 60, 0.2)
            except TimeoutError:
                good = False
            tally.count(sent - outcomes(server)["new"], ok=good and consumer.poll() is None)
        consumer.terminate()
        consumer.wait(30)
    return tally


def shuffled(scene: Scene, n: int, first: int = 0) -> list[bytes]:
    """Events as JSON, 30 % of them twice, in any order."""
    items = scene.models.films.ids("items")
    made = [
        json.dumps(
            {
                "event_id": f"e{number}",
                "user_id": f"streamed-{number % 500}",
                "item_id": items[number % len(items)],
                "timestamp": 1.6e9 + number,
            }
        ).encode()
        for number in range(first, first + n)
    ]
    made += scene.chance.sample(made, round(DUPLICATES * n))
    scene.chance.shuffle(made)
    return made


async def publish(kind: Kind, address: str, messages: list[bytes]) -> None:
    """Put messages into the stream."""
    if kind is RedisServer:
        from redis.asyncio import Redis

        async with Redis.from_url(address) as server, server.pipeline(transaction=False) as many:
            for message in messages:
                many.xadd("events", {"data": message})
            await many.execute()
        return
    import nats

    client = await nats.connect(address)
    stream = client.jetstream()
    await stream.add_stream(name="EVENTS", subjects=["events"])
    for first in range(0, len(messages), 500):
        page = messages[first : first + 500]
        await asyncio.gather(*(stream.publish("events", one, timeout=30) for one in page))
    await client.close()


def consume(url: str, server: Serving, *options: str) -> subprocess.Popen[bytes]:
    """``quintet consume`` in a process of its own."""
    words = [*QUINTET, "consume", url, "--into", server.url, "--batch", "100", *options]
    return subprocess.Popen(words, stderr=subprocess.DEVNULL, env=ENVIRONMENT)


def outcomes(server: Serving) -> dict[str, int]:
    """What became of the events that the service was sent."""
    text = server.http.get("/metrics").text
    found = re.findall(r'quintet_events_total\{outcome="(\w+)"\} ([\d.e+]+)', text)
    return {"new": 0, "duplicate": 0} | {name: round(float(value)) for name, value in found}
