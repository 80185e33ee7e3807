"""Who may write at once, and what is left for later."""

from __future__ import annotations

import threading

import pytest

from quintet.errors import StoreError
from quintet.store import group_commit
from quintet.store.base import Appended, Outcome
from quintet.store.group_commit import LATELY, MANY, Writer
from tests.store.conftest import event

RECORDS = [(event(1), b"{}")]


class Disk:
    """Says which thread wrote each group, and takes as long as it is told to."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.slow = threading.Event()
        self.slow.set()

    def commit(self, batches):
        self.slow.wait()
        self.threads.append(threading.current_thread().name)
        return [[Appended(1, Outcome.NEW) for _ in batch.records] for batch in batches]


def quick_writer(disk: Disk) -> Writer:
    writer = Writer(disk.commit, 100, 100)
    for _ in range(LATELY):
        writer.submit(RECORDS).result()
    assert set(disk.threads) == {"quintet-journal"}
    disk.threads.clear()
    return writer


def test_a_quick_disk_is_written_by_who_asks() -> None:
    disk = Disk()
    writer = quick_writer(disk)
    done = writer.submit(RECORDS, at_once=True)
    assert done.done()
    assert done.result() == [Appended(1, Outcome.NEW)]
    assert disk.threads == [threading.current_thread().name]
    writer.submit(RECORDS).result()
    assert disk.threads[1:] == ["quintet-journal"]
    writer.close()
    with pytest.raises(StoreError, match="closed"):
        writer.submit(RECORDS, at_once=True)


def test_nobody_writes_at_once_before_the_disk_is_known_or_beside_the_writer() -> None:
    disk = Disk()
    writer = Writer(disk.commit, 100, 100)
    writer.submit(RECORDS, at_once=True).result()
    assert disk.threads == ["quintet-journal"]
    writer.close()

    writer = quick_writer(disk := Disk())
    disk.slow.clear()
    first = writer.submit(RECORDS)
    second = writer.submit(RECORDS, at_once=True)  # does not wait for the disk
    assert not first.done()
    assert not second.done()
    disk.slow.set()
    second.result()
    assert set(disk.threads) == {"quintet-journal"}
    writer.close()


@pytest.mark.parametrize(
    ("limit", "groups"), [("LATER", 1), ("MANY", MANY)], ids=["some time", "some groups"]
)
def test_what_can_wait_is_done_later(
    monkeypatch: pytest.MonkeyPatch, limit: str, groups: int
) -> None:
    other = {"LATER": "MANY", "MANY": "LATER"}[limit]
    monkeypatch.setattr(group_commit, other, 1000)
    done = threading.Event()
    writer = Writer(Disk().commit, 100, 100, later=done.set)
    for _ in range(groups):
        assert not done.is_set()
        writer.submit(RECORDS).result()
    assert done.wait(5)
    writer.close()
