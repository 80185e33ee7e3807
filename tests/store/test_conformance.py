"""What every store must do, whatever it is made of."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quintet.errors import ConfigError, CorruptStoreError, DataError, StoreBusyError, StoreError
from quintet.files import write_json_atomic
from quintet.store import (
    Deployment,
    Entry,
    Erasure,
    Event,
    ItemUpsert,
    Outcome,
    Owner,
    ProfileEdit,
    seal,
)
from quintet.store.backup import read_entries
from quintet.store.checks import LARGEST_WHOLE
from tests.store.conftest import Place, event, exposure

ALL_KINDS = [
    event(1, price=1.5, query="röd 鞋 👟"),
    exposure(2),
    ProfileEdit(edit_id="p1", user_id=7, timestamp=3, changes={"mute": ["shoes"], "age": None}),
    ItemUpsert(upsert_id="i1", item_id=LARGEST_WHOLE, timestamp=-4, attributes={"price": 2}),
    Deployment(deployment_id="d1", model="m1", base_offset=0, timestamp=5),
    event(6, None, session_id="visit"),
]


def offsets(answers: list) -> list[tuple[int, str]]:
    return [(one.offset, one.outcome.value) for one in answers]


def test_records_come_back_as_they_were(place: Place) -> None:
    journal = place.open()
    assert offsets(journal.append(ALL_KINDS)) == [(n, "new") for n in range(1, 7)]
    expected = [Entry(offset, record) for offset, record in enumerate(ALL_KINDS, 1)]
    assert list(journal.read()) == expected
    journal.close()
    again = place.open()
    assert list(again.read()) == expected
    assert again.last_offset == 6
    assert again.verify().problems == ()
    assert again.verify().readable == 6


def test_reading_from_an_offset_with_limit_and_kinds(place: Place) -> None:
    journal = place.open()
    journal.append([event(1), exposure(1), event(2), exposure(2), event(3)])
    journal.close()
    for found in (place.open(),):
        assert [e.offset for e in found.read(2)] == [3, 4, 5]
        assert [e.offset for e in found.read(1, limit=2)] == [2, 3]
        assert [e.offset for e in found.read(0, limit=2, kinds=["event"])] == [1, 3]
        assert [e.offset for e in found.read(1, kinds=["event", "item"])] == [3, 5]
        assert list(found.read(limit=0)) == []
        assert list(found.read(5)) == []
        with pytest.raises(ConfigError, match="unknown kind 'click'"):
            list(found.read(kinds=["click"]))


def test_the_newest_entries_read_as_old_ones_do(place: Place) -> None:
    journal = place.open()
    journal.append([event(1), exposure(1), event(2)])
    assert [e.offset for e in journal.read(0, limit=1, kinds=["event"])] == [1]
    assert [e.offset for e in journal.read(1)] == [2, 3]
    assert list(journal.read(limit=0)) == []
    with pytest.raises(ConfigError, match="unknown kind 'click'"):
        list(journal.read(kinds=["click"]))


def test_the_same_record_again_is_stored_once(place: Place) -> None:
    journal = place.open()
    journal.append([event(1), event(2)])
    answers = journal.append([event(2), event(3), event(1, value=5.0), event(3)])
    assert offsets(answers) == [(2, "duplicate"), (3, "new"), (1, "conflict"), (3, "duplicate")]
    assert [e.record for e in journal.read()] == [event(1), event(2), event(3)]
    journal.close()
    assert offsets(place.open().append([event(3)])) == [(3, "duplicate")]


def test_one_id_in_two_kinds_is_two_records(place: Place) -> None:
    journal = place.open()
    shared = [event(1, event_id="x"), exposure(1, request_id="x")]
    assert offsets(journal.append(shared)) == [(1, "new"), (2, "new")]


def test_a_call_is_stored_whole_or_not_at_all(place: Place) -> None:
    journal = place.open()
    with pytest.raises(DataError, match="two records of kind 'event' have one id"):
        journal.append([event(1), event(2), event(1, value=5.0)])
    with pytest.raises(DataError, match="a str cannot be appended"):
        journal.append([event(1), "event"])  # type: ignore[list-item]
    stone = Erasure(erasure_id="e", timestamp=1, salt="0" * 32, digest="0" * 64, n_records=0)
    with pytest.raises(DataError, match="a Erasure cannot be appended"):
        journal.append([stone])
    assert journal.last_offset == 0
    assert journal.append([]) == []


def test_owners_are_told_apart(place: Place) -> None:
    journal = place.open()
    users = [1, "1", "é", "e\u0301"]
    journal.append([event(n, user) for n, user in enumerate(users)])
    journal.append([event(9, None, session_id="1"), event(10, "1", session_id="1")])
    journal.append([exposure(11, "1")])
    assert [e.offset for e in journal.read_owner(Owner.user(1))] == [1]
    assert [e.offset for e in journal.read_owner(Owner.user("1"))] == [2, 6, 7]
    assert [e.offset for e in journal.read_owner(Owner.user("é"))] == [3]
    assert [e.offset for e in journal.read_owner(Owner.session("1"))] == [5]
    assert [e.offset for e in journal.read_owner(Owner.user("1"), limit=2)] == [6, 7]
    events = journal.read_owner(Owner.user("1"), limit=1, kinds=["event"])
    assert [e.offset for e in events] == [6]
    assert journal.read_owner(Owner.user("1"), limit=0) == []
    assert journal.read_owner(Owner.user("nobody")) == []


def test_many_writers_share_one_order(place: Place) -> None:
    journal = place.open()

    def write(worker: int) -> list[int]:
        own = [event(1000 * worker + n, f"user-{worker}") for n in range(40)]
        return [journal.append([one, event(n)])[0].offset for n, one in enumerate(own)]

    with ThreadPoolExecutor(6) as pool:
        given = list(pool.map(write, range(1, 7)))
    assert journal.last_offset == 6 * 40 + 40
    entries = list(journal.read())
    assert [e.offset for e in entries] == list(range(1, 281))
    for worker, own in enumerate(given, 1):
        assert own == sorted(own)
        assert [e.offset for e in journal.read_owner(Owner.user(f"user-{worker}"))] == own


def test_a_full_queue_refuses_and_recovers(place: Place) -> None:
    journal = place.open(queue=5)
    blocked = threading.Event()
    holder = threading.Thread(target=journal._writer.call, args=(blocked.wait,))
    holder.start()
    futures = [journal.submit([event(n)]) for n in range(5)]
    with pytest.raises(StoreBusyError, match="the queue holds 5"):
        journal.submit([event(5)])
    blocked.set()
    holder.join()
    assert [f.result()[0].outcome for f in futures] == [Outcome.NEW] * 5
    assert journal.append([event(5)])[0].outcome is Outcome.NEW


def test_closing_writes_what_waits(place: Place) -> None:
    journal = place.open()
    futures = [journal.submit([event(n)]) for n in range(50)]
    journal.close()
    journal.close()
    assert [f.result()[0].offset for f in futures] == list(range(1, 51))
    with pytest.raises(StoreError, match="closed"):
        journal.append([event(99)])
    assert place.open().last_offset == 50


# ---------------------------------------------------------------------- erasure


def secret_event(number: int, user: str = "ann-4711") -> Event:
    more = {"item_id": f"hidden-item-{number}", "query": "hidden words", "device": "hidden device"}
    return event(number, user, event_id=f"{user}-{number}", session_id="hidden visit", **more)


def test_erasure_leaves_nothing_readable_and_others_whole(place: Place, tmp_path: Path) -> None:
    journal = place.open()
    ann = Owner.user("ann-4711")
    journal.append([secret_event(n) for n in range(30)] + [event(n, "bob") for n in range(30)])
    journal.append(
        [exposure(1, "ann-4711", items=("hidden-item-1",), candidates=None, propensities=None)]
    )
    journal.backup(tmp_path / "backup")
    receipt = journal.erase(ann)
    assert (receipt.offset, receipt.n_records, receipt.unreached) == (62, 31, ())
    assert journal.read_owner(ann) == []
    assert len(journal.read_owner(Owner.user("bob"))) == 30
    assert [e.offset for e in journal.read()] == [*range(31, 61), 62]
    verified = journal.verify()
    assert (verified.last_offset, verified.readable, verified.erased) == (62, 31, 31)
    assert verified.problems == ()
    journal.close()
    at_rest = place.bytes_at_rest()
    kept = b"".join(p.read_bytes() for p in (tmp_path / "backup").iterdir())
    for trace in (b"ann-4711", b"hidden"):
        assert trace not in at_rest
        assert trace not in kept


def test_the_secret_itself_is_gone_from_the_files(place: Place) -> None:
    if place.kind == "postgres":
        pytest.skip("its write-ahead log keeps the secret until the segment is used again")
    journal = place.open()
    journal.append([event(1), event(2, "bob")])
    ann, bob = sorted(
        journal.keys.everything(), key=lambda key: len(journal._owner_rows(key.token, None, None))
    )
    hashes = {key.owner: key.secret for key in (ann, bob)}
    assert all(secret in place.bytes_at_rest() for secret in hashes.values())
    journal.erase(Owner.user("ann"))
    left = {key.secret for key in journal.keys.everything()}
    (destroyed,) = set(hashes.values()) - left
    journal.close()
    assert destroyed not in place.bytes_at_rest()
    assert left.pop() in place.bytes_at_rest()


def test_what_has_a_drawn_id_is_stored_without_a_look(place: Place, monkeypatch) -> None:
    journal = place.open()
    looked: list[int] = []
    find = journal._find
    monkeypatch.setattr(journal, "_find", lambda ids: (looked.append(len(ids)), find(ids))[1])
    drawn = journal.submit([exposure(1), exposure(2), exposure(2)], drawn=True)
    assert offsets(drawn.result()) == [(1, "new"), (2, "new"), (2, "duplicate")]
    assert offsets(journal.append([exposure(1), event(3)])) == [(1, "duplicate"), (3, "new")]
    assert looked == [0, 2]
    assert [entry.offset for entry in journal.read()] == [1, 2, 3]


def test_nothing_of_an_erased_user_is_kept_in_memory(place: Place) -> None:
    journal = place.open()
    journal.append([secret_event(1, "eve-0815"), event(2, "bob")])
    assert len(journal.read_owner(Owner.user("eve-0815"))) == 1

    def kept(user: str) -> int:
        gc.collect()
        owners = [one for one in gc.get_objects() if type(one) is Owner]
        return sum(one.id == user for one in owners)

    assert kept("eve-0815") > 0
    journal.erase(Owner.user("eve-0815"))
    assert kept("eve-0815") == 0
    assert not any(cache.cache_info().currsize for cache in (seal.owner_hash, seal._cipher))


def test_an_erased_user_may_come_back_as_somebody_new(place: Place) -> None:
    journal = place.open()
    ann = Owner.user("ann")
    journal.append([event(1), event(2)])
    assert not journal.was_erased(ann)
    first = journal.erase(ann)
    assert journal.was_erased(ann)
    assert not journal.was_erased(Owner.session("ann"))
    assert journal.erase(ann).offset == 0  # nothing is held of her any more
    assert offsets(journal.append([event(1), event(3)])) == [(1, "duplicate"), (4, "new")]
    assert [e.record for e in journal.read_owner(ann)] == [event(3)]
    second = journal.erase(ann)
    assert second.n_records == 1
    assert second.digest != first.digest  # salted: two tombstones cannot be told to be one's
    assert journal.read_owner(ann) == []


def test_an_erasure_that_was_cut_short_is_finished(place: Place) -> None:
    journal = place.open()
    journal.append([event(1), event(2, "bob")])
    keys = {len(journal._owner_rows(k.token, None, None)): k for k in journal.keys.everything()}
    assert len(keys) == 1
    owner = Owner.user("ann")
    from quintet.store.seal import owner_hash

    journal.keys.shred(owner_hash(journal.keys.pepper, owner))  # as far as a killed process got
    journal.close()
    again = place.open()
    assert again.was_erased(owner)
    assert [e.offset for e in again.read()] == [2, 3]
    assert again.verify().erased == 1
    assert again.keys.shredded() == []


# ---------------------------------------------------------------------- backup


def test_backup_wipe_restore(place: Place, tmp_path: Path) -> None:
    journal = place.open()
    journal.append([*ALL_KINDS, event(8, "bob"), event(9, "cid")])
    journal.erase(Owner.user("bob"))
    before = list(journal.read())
    keys = tmp_path / "elsewhere" / "keys.bin"
    assert journal.backup(tmp_path / "backup", keys=keys) == 9
    journal.append([event(10)])
    assert journal.backup(tmp_path / "second") == 10
    fresh = place.open_other()
    assert fresh.restore(tmp_path / "backup", keys=keys) == 9
    assert list(fresh.read()) == before
    assert fresh.verify().problems == ()
    assert offsets(fresh.append([event(1, price=1.5, query="röd 鞋 👟")])) == [(1, "duplicate")]
    assert offsets(fresh.append([event(11)])) == [(10, "new")]
    fresh.close()
    fresh = place.open_other(again=True)
    assert list(fresh.read())[:-1] == before
    assert fresh.was_erased(Owner.user("bob"))
    with pytest.raises(StoreError, match="not empty"):
        fresh.restore(tmp_path / "backup")
    fresh.erase(Owner.user("cid"))  # reaches the copy that was restored from
    kept = read_entries(tmp_path / "backup", keys)
    assert all(getattr(one.record, "user_id", None) != "cid" for one in kept)


def test_two_backups_at_once_leave_a_whole_one(place: Place, tmp_path: Path, monkeypatch) -> None:
    def slowly(path, document) -> None:
        time.sleep(0.3)  # long enough for the other to come in between
        write_json_atomic(path, document)

    monkeypatch.setattr("quintet.store.backup.write_json_atomic", slowly)
    journal = place.open()
    journal.append([event(1)])
    keys = tmp_path / "keys.bin"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(journal.backup, tmp_path / "backup", keys)
        time.sleep(0.1)
        journal.append([event(2)])
        second = pool.submit(journal.backup, tmp_path / "backup", keys)
        assert (first.result(), second.result()) == (1, 2)
    assert place.open_other().restore(tmp_path / "backup", keys=keys) == 2


def test_a_backup_alone_tells_nothing(place: Place, tmp_path: Path) -> None:
    journal = place.open()
    journal.append([event(1)])
    journal.backup(tmp_path / "backup")
    with pytest.raises(StoreError, match="sealed with other keys"):
        place.open_other().restore(tmp_path / "backup")


def test_erasure_reaches_backups_through_the_keys(place: Place, tmp_path: Path) -> None:
    journal = place.open()
    journal.append([event(1), event(2, "bob")])
    keys, lost = tmp_path / "keys.bin", tmp_path / "lost.bin"
    journal.backup(tmp_path / "backup", keys=keys)
    journal.backup(tmp_path / "other", keys=lost)
    lost.unlink()
    receipt = journal.erase(Owner.user("ann"))
    assert receipt.unreached == (str(lost),)
    fresh = place.open_other()
    assert fresh.restore(tmp_path / "backup", keys=keys) == 2
    assert [e.record for e in fresh.read()] == [event(2, "bob")]
    assert fresh.verify().problems == ()


def test_a_damaged_backup_is_refused(place: Place, tmp_path: Path) -> None:
    journal = place.open()
    journal.append([event(n) for n in range(20)])
    keys = tmp_path / "keys.bin"
    journal.backup(tmp_path / "backup", keys=keys)
    (records,) = (tmp_path / "backup").glob("records-*.log")
    whole = records.read_bytes()
    for damaged in (whole[:-1], whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]):
        records.write_bytes(damaged)
        other = place.open_other()
        with pytest.raises(CorruptStoreError, match="does not match its manifest"):
            other.restore(tmp_path / "backup", keys=keys)
        assert other.last_offset == 0
    with pytest.raises(StoreError, match="no backup in"):
        place.open_other().restore(tmp_path / "nowhere")
