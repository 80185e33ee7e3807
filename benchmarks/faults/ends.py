"""Processes that end: a worker by SIGKILL, a server by SIGTERM, a store under a running service."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time

from benchmarks.faults.process import Serving, wait_for
from benchmarks.faults.scene import Scene
from benchmarks.faults.servers import PostgresServer, RedisServer, running
from benchmarks.faults.swaps import Askers
from benchmarks.faults.tally import Tally

BACK_SECONDS = 3.0


def worker_killed(scene: Scene) -> Tally:
    """One of two workers is killed: another takes its place in 3 s, the other answers meanwhile."""
    tally = Tally("worker killed, back in 3 s")
    if not RedisServer.binary:
        tally.not_run = RedisServer.missing
        return tally
    took, users = [], scene.models.films.ids("users")
    with running(RedisServer) as store:
        options = ["--quiet", "--workers", 2, "--store", store.url]
        with Serving(scene.models.films.bundle, scene.folder / "state", *options) as server:
            wait_for(lambda: len(server.lines("ready")) == 2)
            for number in range(scene.rounds(5)):
                victim = server.lines("ready")[-1]["process"]
                with Askers(server, users) as askers:
                    os.kill(victim, signal.SIGKILL)
                    try:
                        took.append(
                            wait_for(lambda n=number: len(server.lines("ready")) == n + 3, 20)
                        )
                    except TimeoutError:
                        took.append(20.0)
                # what the dead worker was answering is gone with it, at most one a client
                rest = {s: n for s, n in askers.statuses.items() if s not in (0, 200)}
                good = took[-1] <= BACK_SECONDS and not rest and askers.broken <= 4
                tally.count(ok=good, trouble=f"{took[-1]:.1f} s, {askers.statuses}")
    tally.notes.append(f"slowest {max(took):.2f} s")
    return tally


def sigterm(scene: Scene) -> Tally:
    """SIGTERM under load: whatever was read is answered in full, and the exit code is 0."""
    tally = Tally("SIGTERM under load")
    users, answered = scene.models.films.ids("users"), 0
    for number in range(scene.rounds(5)):
        with Serving(scene.models.films.bundle, scene.folder / f"state{number}") as server:
            clients = [OneByOne(server.port, users, n) for n in range(6)]
            wait_for(lambda clients=clients: sum(one.answers for one in clients) > 30)
            code = server.stop()
            for client in clients:
                client.join()
            read = sum(line["route"] == "POST /v1/recommend" for line in server.lines("request"))
            whole = sum(one.answers for one in clients)
            torn = sum(one.torn for one in clients)
            answered += whole
            tally.count(read - whole + torn, ok=code == 0, trouble=f"exit code {code}")
    tally.notes.append(f"{answered:,} answers")
    return tally


class OneByOne(threading.Thread):
    """Asks over a connection a request until no new one is taken.

    Attributes:
        answers: whole ones.
        torn: answers that broke off.
    """

    def __init__(self, port: int, users: list[object], number: int) -> None:
        super().__init__()
        self.answers = self.torn = 0
        self._port, self._users, self._number = port, users, number
        self.start()

    def run(self) -> None:
        """Ask."""
        while True:
            self._number += 6
            user = self._users[self._number % len(self._users)]
            body = json.dumps({"user_id": user, "k": 50}).encode()
            head = (
                "POST /v1/recommend HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            try:
                with socket.create_connection(("127.0.0.1", self._port), 30) as line:
                    line.sendall(head.encode() + body)
                    got = b"".join(iter(lambda line=line: line.recv(65536), b""))
            except OSError:
                return
            if not got:  # it was never read: the door closed first
                return
            head_part, _, rest = got.partition(b"\r\n\r\n")
            length = int(head_part.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            whole = got.startswith(b"HTTP/1.1 200") and len(rest) == length
            self.answers += whole
            self.torn += not whole


def store_gone(scene: Scene) -> list[Tally]:
    """Redis and PostgreSQL die under a running service, and come back."""
    return [
        _store_gone(scene, kind, name)
        for kind, name in ((RedisServer, "Redis"), (PostgresServer, "PostgreSQL"))
    ]


def _store_gone(scene: Scene, kind: type[RedisServer] | type[PostgresServer], name: str) -> Tally:
    tally = Tally(f"store gone ({name}): lists answered, marked")
    if not kind.binary:
        tally.not_run = kind.missing
        return tally
    users, slowest, back = scene.models.films.ids("users"), 0.0, []
    with running(kind) as store:
        options = ["--quiet", "--store", store.url]
        state = scene.folder / name
        with Serving(scene.models.films.bundle, state, *options) as server:
            for _ in range(scene.rounds(3)):
                store.kill()
                for user in [*users[:30], *(f"new-{n}" for n in range(10))]:
                    started = time.perf_counter()
                    answer = server.http.post("/v1/recommend", json={"user_id": user})
                    slowest = max(slowest, time.perf_counter() - started)
                    told = answer.json()
                    marked = told.get("fallback") and told.get("exposure") == "failed"
                    lost = answer.status_code != 200 or not told.get("items")
                    tally.count(lost, ok=bool(marked), trouble=f"{answer.status_code} {told}"[:150])
                event = {"user_id": "u", "item_id": users[0]}
                refused = server.http.post("/v1/events", json=event).status_code == 503
                store.start()
                back.append(wait_for(lambda: _durable(server), 30))
                tally.count(ok=refused, trouble="an event was acknowledged without a store")
    tally.notes.append(f"slowest {slowest * 1000:.0f} ms, whole again after {max(back):.1f} s")
    return tally


def _durable(server: Serving) -> bool:
    answer = server.http.post("/v1/recommend", json={"user_id": "1"}).json()
    return bool(answer.get("exposure") == "durable")
