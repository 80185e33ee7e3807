"""A service that runs is backed up, and what it wrote can be read elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.store import Event, open_store
from quintet.web.service import Settings
from tests.cli.running import done, quintet
from tests.web.running import Running


@pytest.fixture
def written(bundle, tmp_path: Path) -> Path:
    """A folder with a backup and its keys, made while the service ran and went on."""
    settings = Settings(backup_keys=str(tmp_path / "keys.bin"))
    with Running(bundle, tmp_path / "state", settings=settings) as server:
        item = server.ids("items")[0]
        for number in range(5):
            server.post("/v1/events", {"event_id": f"e{number}", "user_id": "me", "item_id": item})
        told = server.post("/v1/backups", {})
        assert told["offset"] == server.service.journal.last_offset
        assert told["keys_copied"]
        server.post("/v1/events", {"event_id": "later", "user_id": "me", "item_id": item})
        assert server.http.post("/v1/backups", json={"folder": "/tmp"}).status_code == 422
    return tmp_path


def test_the_backup_restores_what_was_written_before_it(written: Path) -> None:
    place = written / "elsewhere"
    backup, keys = written / "state" / "backup", written / "keys.bin"
    done("journal", "restore", place, "--folder", backup, "--keys", keys)
    with open_store(place) as journal:
        found = [entry.record.record_id for entry in journal.read(kinds=[Event.kind])]
    assert found == [f"e{number}" for number in range(5)]


def test_the_command_line_backs_up_what_stands_still(written: Path) -> None:
    journal, folder, keys = written / "state" / "journal", written / "b", written / "k.bin"
    done("journal", "backup", journal, "--folder", folder, "--keys", keys)
    done("journal", "restore", written / "again", "--folder", folder, "--keys", keys)
    one, other = (
        done("journal", "verify", place, "--format", "json").json
        for place in (journal, written / "again")
    )
    assert one == other
    assert one[0]["problems"] == "none"


def test_damage_is_told(written: Path) -> None:
    journal = written / "state" / "journal"
    for path in (journal / "journal.sqlite", journal / "records.log"):
        path.write_bytes(path.read_bytes()[:100] + bytes(path.stat().st_size - 100))
    assert quintet("journal", "verify", journal).code != 0


def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    run = quintet("journal", "verify", tmp_path / "nothing")
    assert run.code == 11
    assert "no journal there" in run.err
    assert not (tmp_path / "nothing").exists()
