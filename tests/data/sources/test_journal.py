"""The journal as a data set: what a service recorded is what the next training reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.data.sources.base import open_dataset
from quintet.errors import ConfigError, DataError, EmptyDataError, StoreError
from quintet.store import ItemUpsert, Owner, open_store
from tests.store.conftest import event, exposure


@pytest.fixture
def url(tmp_path: Path) -> str:
    with open_store(tmp_path / "journal") as journal:
        journal.append(
            [
                event(1, "ann", item_id="x", behaviour="view", value=2.5),
                event(2, "bob", item_id="y"),
                event(3, None, item_id="x", session_id="visit"),
                exposure(4, "ann", items=("y", "x"), candidates=None, propensities=(0.5, 0.25)),
                event(5, "eve", item_id="z"),
                ItemUpsert(upsert_id="1", item_id="x", timestamp=1, attributes={"title": "old"}),
                ItemUpsert(upsert_id="2", item_id="x", timestamp=2, attributes={"title": "new"}),
            ]
        )
        journal.erase(Owner.user("eve"))
        journal.backup(tmp_path / "backup", keys=tmp_path / "keys.bin")
    return str(tmp_path / "journal")


def rows(spec: list[str]) -> list[tuple]:
    table = open_dataset("journal", spec).log.to_arrow().to_pylist()
    return [(row["user_id"], row["item_id"], row["timestamp"], row["behaviour"]) for row in table]


def test_events_of_known_users_are_the_log(url: str) -> None:
    expected = [("ann", "x", 1, "view"), ("bob", "y", 2, "interaction")]
    assert rows([f"url={url}"]) == expected
    assert rows([f"url={url}", "after=1"]) == expected[1:]


def test_a_backup_serves_as_well(url: str, tmp_path: Path) -> None:
    backup = [f"backup={tmp_path / 'backup'}", f"keys={tmp_path / 'keys.bin'}"]
    assert rows(backup) == rows([f"url={url}"])


def test_exposures_become_impressions_with_their_chance(url: str) -> None:
    log = open_dataset("journal", [f"url={url}", "exposures=true"]).log.to_arrow().to_pylist()
    shown = [row for row in log if row["behaviour"] == "impression"]
    assert [(r["item_id"], r["position"], r["propensity"]) for r in shown] == [
        ("y", 1.0, 0.5),
        ("x", 2.0, 0.25),
    ]
    assert {row["request_id"] for row in shown} == {"request-4"}
    assert {row["timestamp"] for row in shown} == {4}


def test_the_newest_record_of_an_item_holds(url: str) -> None:
    items = open_dataset("journal", [f"url={url}"]).items
    assert items is not None
    assert items.to_arrow().to_pylist() == [{"item_id": "x", "title": "new"}]


def test_events_are_added_to_another_data_set(url: str, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("user_id,item_id,timestamp,behaviour\nann,w,0,view\n")
    dataset = open_dataset("journal", [f"url={url}", f"also={tmp_path / 'old.csv'}"])
    assert dataset.log.to_arrow()["item_id"].to_pylist() == ["w", "x", "y"]
    assert dataset.items is not None


def test_whole_numbers_stay_whole_numbers(tmp_path: Path) -> None:
    with open_store(tmp_path / "j") as journal:
        journal.append([event(1, 10, item_id=2**53 + 1), event(2, 9, item_id=-1)])
    log = open_dataset("journal", [f"url={tmp_path / 'j'}"]).log.to_arrow()
    assert log["user_id"].to_pylist() == [10, 9]
    assert log["item_id"].to_pylist() == [2**53 + 1, -1]


def test_what_cannot_be_a_log(tmp_path: Path) -> None:
    spec = [f"url={tmp_path / 'j'}"]
    with pytest.raises(StoreError, match="no journal there"):
        open_dataset("journal", spec)
    open_store(tmp_path / "j").close()
    with pytest.raises(EmptyDataError, match="holds no events"):
        open_dataset("journal", spec)
    with open_store(tmp_path / "j") as journal:
        journal.append([event(1, 1), event(2, "1")])
    with pytest.raises(DataError, match="user_id: some are text and some numbers"):
        open_dataset("journal", spec)
    for wrong in ([], [*spec, "backup=b"], ["backup=b"]):
        with pytest.raises(ConfigError, match="give url=, or backup= and keys="):
            open_dataset("journal", wrong)
