"""The embedded store's own promises: one process, and recovery from damaged files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from quintet.errors import ConfigError, CorruptStoreError, StoreError
from quintet.store import Journal, Outcome, Owner, group_commit, open_store, sqlite
from quintet.store.records import KINDS
from quintet.store.sqlite_file import SQLiteFile
from tests.store.conftest import event, exposure

FILES = ["journal.sqlite", "records.log", "keys/keys.bin", "keys/keys.mirror"]
#: seconds, or groups, that the database waits for: it has all, or none
SOON, NEVER = 0, 1000
RECORDS = [event(n, f"user-{n % 7}") for n in range(200)] + [exposure(n) for n in range(50)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with open_store(tmp_path / "journal") as journal:
        for start in range(0, 250, 10):
            journal.append(RECORDS[start : start + 10])
    return tmp_path / "journal"


@pytest.fixture(params=[SOON, NEVER], ids=["in the database", "still waiting"])
def killed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a journal whose process was killed."""
    wait_so_long(monkeypatch, request.param)
    with open_store(tmp_path / "alive") as journal:
        for start in range(0, 250, 10):
            journal.append(RECORDS[start : start + 10])
        if request.param == SOON:
            wait_for(lambda: not len(journal._pending))
        else:
            assert len(journal._pending) == 250
        shutil.copytree(tmp_path / "alive", tmp_path / "killed")
    return tmp_path / "killed"


def wait_so_long(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(group_commit, "LATER", limit)
    monkeypatch.setattr(group_commit, "MANY", max(limit, 1))


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def check_without(folder: Path, name: str, left: float | None) -> None:
    """A journal of whose file so much is left, and nothing of it for None, is whole when opened."""
    path = folder / name
    if left is None:
        path.unlink()
    else:
        os.truncate(path, int(left * path.stat().st_size))
    with open_store(folder) as journal:
        check(journal)
    with open_store(folder) as journal:
        assert journal.last_offset == 251
        assert journal.verify().problems == ()


def check(journal: Journal) -> None:
    assert [entry.record for entry in journal.read()] == RECORDS
    assert journal.verify().problems == ()
    (answer,) = journal.append([event(999, "late")])
    assert (answer.offset, answer.outcome) == (251, Outcome.NEW)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [0, 0.01, 0.5, 0.999, None])
def test_a_truncated_or_missing_file_is_made_whole(
    folder: Path, name: str, left: float | None
) -> None:
    check_without(folder, name, left)


@pytest.mark.parametrize("name", [*FILES, "journal.sqlite-wal", "pending.log"])
@pytest.mark.parametrize("left", [0, 0.5, 0.999, None])
def test_of_a_killed_process_one_file_may_be_damaged_too(
    killed: Path, name: str, left: float | None
) -> None:
    check_without(killed, name, left)


def test_what_the_database_waits_for_is_read_like_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_so_long(monkeypatch, NEVER)
    monkeypatch.setattr(sqlite, "MOST_PENDING", 100)
    monkeypatch.setattr(sqlite, "FILL", 30)
    with open_store(tmp_path / "journal") as journal:
        for start in range(0, 250, 10):
            journal.append(RECORDS[start : start + 10])
        assert 0 < len(journal._pending) < 250  # so some stand here and some there
        assert [entry.record for entry in journal.read(kinds=KINDS)] == RECORDS
        assert [e.offset for e in journal.read(after=90, limit=20, kinds=["exposure"])] == [
            *range(201, 221)
        ]
        for user in range(7):
            own = [n + 1 for n in range(200) if n % 7 == user]
            owner = Owner.user(f"user-{user}")
            assert [entry.offset for entry in journal.read_owner(owner)] == own
            assert [entry.offset for entry in journal.read_owner(owner, limit=9)] == own[-9:]
        again = journal.append(RECORDS)
        assert [one.offset for one in again] == [*range(1, 251)]
        assert {one.outcome for one in again} == {Outcome.DUPLICATE}
        assert journal.erase(Owner.user("user-3")).n_records == 29
        assert journal.read_owner(Owner.user("user-3")) == []
        assert journal.verify().readable == 250 - 29 + 1


def test_a_database_that_refuses_later_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_so_long(monkeypatch, SOON)
    with open_store(tmp_path / "journal") as journal:
        insert = SQLiteFile.insert
        monkeypatch.setattr(SQLiteFile, "insert", refusing)
        journal.append(RECORDS[:100])
        wait_for(lambda: journal._failed)
        assert [entry.record for entry in journal.read(kinds=KINDS)] == RECORDS[:100]
        with pytest.raises(StoreError, match="database or disk is full"):
            journal.append(RECORDS[100:])
        monkeypatch.setattr(SQLiteFile, "insert", insert)
        journal.append(RECORDS[100:])
        check(journal)


def refusing(*_: object) -> None:
    raise apsw.FullError("database or disk is full")


@pytest.mark.parametrize("name", FILES)
def test_bytes_behind_the_end_do_not_matter(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as stream:
        stream.write(b"\xff" * 77)
    with open_store(folder) as journal:
        check(journal)


def outcome(folder: Path) -> str:
    try:
        with open_store(folder) as journal:
            assert [entry.record for entry in journal.read()] == RECORDS
            assert journal.verify().problems == ()
    except CorruptStoreError as error:
        return "told" if "both copies" in str(error) else str(error)
    return "mended"


def test_damage_in_both_copies_is_mended_or_told_every_time(folder: Path, tmp_path: Path) -> None:
    size, copy, mended = (folder / "journal.sqlite").stat().st_size, tmp_path / "copy", 0
    for place in range(0, size, size // 9):
        shutil.copytree(folder, copy)
        os.truncate(copy / "records.log", (copy / "records.log").stat().st_size // 2)
        with (copy / "journal.sqlite").open("r+b") as stream:
            stream.seek(place // 4096 * 4096)
            stream.write(b"\xff" * 4096)
            stream.truncate(size + 1)  # as a crash might: it has to be looked at
        outcomes = [outcome(copy), outcome(copy)]
        assert outcomes in (["mended"] * 2, ["told"] * 2)
        mended += outcomes[0] == "mended"
        shutil.rmtree(copy)
    assert mended > 2


def test_erased_records_stay_erased_when_the_database_is_rebuilt(folder: Path) -> None:
    with open_store(folder) as journal:
        journal.erase(Owner.user("user-3"))
        before = list(journal.read())
    (folder / "journal.sqlite").unlink()
    with open_store(folder) as journal:
        assert list(journal.read()) == before
        assert journal.verify().problems == ()
        assert journal.was_erased(Owner.user("user-3"))


def test_lost_keys_are_not_taken_for_erasures(folder: Path) -> None:
    shutil.rmtree(folder / "keys")
    with pytest.raises(CorruptStoreError, match=r"put back keys\.bin"):
        open_store(folder)
    (folder / "journal.sqlite").unlink()
    shutil.rmtree(folder / "keys")
    with pytest.raises(CorruptStoreError, match=r"put back keys\.bin"):
        open_store(folder)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells what is open")
def test_what_could_not_be_opened_leaves_no_file_open(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    shutil.rmtree(folder / "keys")
    for _ in range(3):
        with pytest.raises(CorruptStoreError):
            open_store(folder)
    assert os.listdir("/proc/self/fd") == before


def test_keys_and_second_copy_may_lie_elsewhere(tmp_path: Path) -> None:
    keys, mirror = tmp_path / "a", tmp_path / "b"
    with open_store(tmp_path / "j", keys=str(keys), mirror=str(mirror)) as journal:
        journal.append(RECORDS)
    here = sorted(path.name for path in (tmp_path / "j").iterdir())
    assert here == ["journal.sqlite", "lock", "pending.log"]
    shutil.rmtree(tmp_path / "j")
    url = f"sqlite:///{tmp_path / 'j'}?keys={keys}&mirror={mirror}"
    with open_store(url) as journal:
        check(journal)


def test_a_folder_belongs_to_one_process(folder: Path) -> None:
    script = f"from quintet.store import open_store; open_store({str(folder)!r})"
    with open_store(folder):
        with pytest.raises(StoreError, match="in use by another process"):
            open_store(folder)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert "in use by another process" in done.stderr
    with open_store(folder) as journal:
        check(journal)


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    path = folder / "journal.sqlite"
    data = bytearray(path.read_bytes())
    place = data.rfind(b"QJ1\x00") + 80  # in the ciphertext of a record
    data[place] ^= 1
    path.write_bytes(data)
    with open_store(folder) as journal:
        assert any("checksum" in problem for problem in journal.verify().problems)
        with pytest.raises(CorruptStoreError, match="checksum"):
            list(journal.read())


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///here/j", f"sqlite:///{tmp_path}/here/j", "here/j", tmp_path / "here/j"):
        with open_store(url) as journal:
            journal.append([event(1)])
            assert journal.last_offset == 1
    with pytest.raises(ConfigError, match="no store of kind 'mysql'"):
        open_store("mysql://host/db")
    with pytest.raises(ConfigError, match="unknown setting 'speed'"):
        open_store("sqlite:///here/j?speed=1")


def test_files_are_for_their_owner_only(folder: Path) -> None:
    for name in FILES[1:]:
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_what_is_stored_is_read_before_the_writer_remembers_it(tmp_path, monkeypatch) -> None:
    with open_store(tmp_path / "journal") as journal:
        journal.append([event(0, "first")])
        seen, remember = [], journal._remember

        def look_first(first, records) -> None:
            assert journal.last_offset == 2
            seen.extend(entry.offset for entry in journal.read(after=1, kinds=["event"]))
            remember(first, records)

        monkeypatch.setattr(journal, "_remember", look_first)
        journal.append([event(1, "second")])
        assert seen == [2]


def test_the_newest_are_read_without_the_exposures_between_them(tmp_path) -> None:
    with open_store(tmp_path / "journal") as journal:
        journal.append([event(0, "a"), exposure(0), event(1, "b"), exposure(1), event(2, "c")])
        followed = [entry.offset for entry in journal.read(after=1, kinds=["event", "item"])]
        assert followed == [3, 5]
        assert [entry.offset for entry in journal.read(after=1)] == [2, 3, 4, 5]
        assert [entry.offset for entry in journal.read(after=1, limit=1, kinds=["event"])] == [3]
