"""A place for a journal of every kind; servers are real ones, or the tests say that none ran."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.faults.servers import PostgresServer, RedisServer, running
from quintet.store import Event, Exposure, Journal, open_store

_numbers = itertools.count()


def event(number: int, user: str | int | None = "ann", **more: object) -> Event:
    values = {"event_id": f"event-{number}", "item_id": f"item-{number % 5}", "timestamp": number}
    return Event(**{**values, "user_id": user, **more})


def exposure(number: int, user: str | int | None = "ann", **more: object) -> Exposure:
    values = {
        "request_id": f"request-{number}",
        "timestamp": number,
        "model": "m1",
        "items": ("item-1", "item-2"),
        "propensities": (0.5, 0.25),
        "candidates": ("item-1", "item-2", "item-3"),
    }
    return Exposure(**{**values, "user_id": user, **more})


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    if not RedisServer.binary:
        pytest.skip(RedisServer.missing)
    with running(RedisServer) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if not PostgresServer.binary:
        pytest.skip(PostgresServer.missing)
    with running(PostgresServer) as server:
        yield server


class Place:
    """Where a journal lives: ``open`` opens the same again, ``open_other`` another."""

    def __init__(self, kind: str, url: Callable[[int], str], folder: Path) -> None:
        self.kind = kind
        self._url, self._number, self._folder = url, next(_numbers), folder
        self._opened: list[Journal] = []
        self._other = self._number

    def open(self, **settings: object) -> Journal:
        return self._keep(open_store(self._url(self._number), **settings))

    def open_other(self, again: bool = False, **settings: object) -> Journal:
        self._other = self._other if again else next(_numbers)
        return self._keep(open_store(self._url(self._other), **settings))

    def _keep(self, journal: Journal) -> Journal:
        self._opened.append(journal)
        return journal

    def bytes_at_rest(self) -> bytes:
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        assert files
        return b"".join(path.read_bytes() for path in files)

    def close(self) -> None:
        for journal in self._opened:
            journal.close()


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = request.param
    if kind == "sqlite":
        home = tmp_path / "stores"
        found = Place(kind, lambda number: str(home / f"journal-{number}"), home)
    else:
        server = request.getfixturevalue(f"{kind}_server")
        setting = {"redis": "prefix", "postgres": "db_schema"}[kind]
        found = Place(kind, lambda number: f"{server.url}?{setting}=j{number}", server.folder)
    yield found
    found.close()
