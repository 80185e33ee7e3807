import json

import pyarrow.parquet as pq

from quintet.data.sources.base import open_dataset
from tests.cli.running import SMALL, done


def test_describe_counts(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\na,x,0\na,y,86400\nb,x,172800\n")
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\nx,red lamp\nz,green chair\n")
    found = done("data", "describe", log, "--items", items, "--format", "json").json
    assert (found["events"], found["users"], found["items"]) == (3, 2, 2)
    assert found["density"] == 3 / 4
    assert found["first event"] == "1970-01-01 00:00:00+00:00"
    assert found["last event"] == "1970-01-03 00:00:00+00:00"
    assert found["join"]["tables"][0]["only_in_log"] == 1
    assert {"table": "items", "column": "title", "kind": "text"} in found["columns"]
    assert "what matched" in done("data", "describe", log, "--items", items).out


def test_audit_as_json_and_as_a_table():
    found = done("data", "audit", "market", *SMALL, "--json").json
    assert found["counts"]["users"] == 60
    assert {one["severity"] for one in found["findings"]} <= {"ok", "note", "warning", "danger"}
    assert "Audit" in done("data", "audit", "market", *SMALL).out


def test_sources_are_listed():
    names = {row["name"] for row in done("data", "sources", "--format", "json").json}
    assert {"files", "market", "ml-100k"} <= names


def test_a_converted_folder_opens_as_the_same_data_set(tmp_path):
    done("data", "convert", "market", tmp_path / "shop", *SMALL)
    again = open_dataset(tmp_path / "shop" / "data.toml")
    same = open_dataset("market", [one for one in SMALL if one != "--data"])
    assert again.log.to_arrow().to_pylist() == same.log.to_arrow().to_pylist()
    assert again.schema == same.schema
    for kind in ("items", "users", "relations"):
        mine, theirs = getattr(again, kind), getattr(same, kind)
        assert mine.to_arrow().to_pylist() == theirs.to_arrow().to_pylist()


def test_a_log_converts_to_one_file_with_times(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\na,x,86400\nb,y,172800\n")
    run = done("data", "convert", log, tmp_path / "log.parquet")
    table = pq.read_table(tmp_path / "log.parquet")
    assert str(table.schema.field("timestamp").type).startswith("timestamp[us")
    assert table["user_id"].to_pylist() == ["a", "b"]
    assert run.out.strip().endswith("log.parquet")


def test_settings_list_every_field_of_every_part():
    rows = {row["setting"]: row["default"] for row in done("settings", "--format", "json").json}
    assert rows["loop.epochs"] == 16
    assert "model.tasks.profile.weight" in rows
    assert "memories.ease.half_life" in rows
    # what a training without settings has
    assert rows["memories.item_cosine.half_life"] == 5.0
    assert rows["memories.item_cosine.weighting"] == "bm25"
    below = done("settings", "loop", "--format", "json").json
    assert all(row["setting"].startswith("loop.") for row in below)


def test_every_listed_setting_is_one_that_training_accepts():
    from quintet.config import apply_overrides
    from quintet.train.pipeline import TrainConfig

    for row in done("settings", "--format", "json").json:
        if row["default"] != "none" and "backbone_settings" not in row["setting"]:
            TrainConfig(**apply_overrides({}, [f"{row['setting']}={json.dumps(row['default'])}"]))


def test_a_converted_folder_opens_by_its_own_name(tmp_path):
    done("data", "convert", "market", tmp_path / "shop", *SMALL)
    by_name, by_file = (
        done("data", "describe", path, "--format", "json").json
        for path in (tmp_path / "shop", tmp_path / "shop" / "data.toml")
    )
    assert by_name == by_file
