"""Keys on disks that refuse."""

from __future__ import annotations

import pytest

from quintet.errors import StoreError
from quintet.store import Event, Owner, disk, open_store


def event(number: int) -> Event:
    return Event(event_id=f"e{number}", user_id="ann", item_id="i", timestamp=2**51 + number)


def test_what_comes_after_a_shredding_that_was_cut_short_is_readable(tmp_path, monkeypatch) -> None:
    journal = open_store(tmp_path / "journal")
    journal.append([event(1)])
    ann = Owner.user("ann")
    second = journal.keys._handles[1]
    written = disk.write_at

    def refusing(handle: int, *told) -> None:
        if handle == second:
            raise OSError(5, "Input/output error")
        written(handle, *told)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_at", refusing)
        with pytest.raises(StoreError):
            journal.erase(ann)
    journal.append([event(2), event(3)])
    assert [one.record.event_id for one in journal.read_owner(ann)] == ["e2", "e3"]
    journal.close()
    again = open_store(tmp_path / "journal")
    assert [one.record.event_id for one in again.read_owner(ann)] == ["e2", "e3"]
    assert again.erase(ann).n_records
    again.close()
