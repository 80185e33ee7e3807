"""What other programs leave in files: their words for nothing, marks, names and types."""

import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.data.clean import clean
from quintet.data.dataset import join
from quintet.data.frames import EventLog
from quintet.errors import ColumnError


def test_texts_that_mean_nothing_are_no_labels():
    nothing = ["\\N", "NULL", "nan", "view"]
    log = EventLog.read(
        pa.table(
            {
                "event_id": nothing,
                "user_id": ["u"] * 4,
                "item_id": list("abcd"),
                "behaviour": nothing,
            }
        )
    )
    assert log.to_arrow()["behaviour"].to_pylist() == [None, None, None, "view"]
    assert len(clean(join(log))[0].log) == 4  # and no event is the double of another


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_name_with_brackets_is_that_file(tmp_path, suffix):
    for name, user in (("events1", "other"), ("events[1]", "right")):
        table = pa.table({"user_id": [user], "item_id": ["x"]})
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "parquet":
            pq.write_table(table, path)
        else:
            path.write_text(
                json.dumps(table.to_pylist()[0]) + "\n"
                if suffix == "jsonl"
                else f"user_id,item_id\n{user},x\n"
            )
    assert EventLog.read(path).to_arrow()["user_id"].to_pylist() == ["right"]


def test_a_folder_with_brackets_is_that_folder(tmp_path):
    folder = tmp_path / "day [1]"
    folder.mkdir()
    pq.write_table(pa.table({"user_id": ["a"], "item_id": ["x"]}), folder / "part.parquet")
    assert len(EventLog.read(folder)) == 1


@pytest.mark.parametrize("column", ["timestamp", "value", "behaviour"])
def test_a_column_of_nothing_is_missing_throughout(column, tmp_path):
    table = pa.table({"user_id": ["a"], "item_id": ["x"], column: pa.nulls(1)})
    pq.write_table(table, tmp_path / "log.parquet")
    for source in (table, table.to_pandas(), tmp_path / "log.parquet"):
        log = EventLog.read(source).to_arrow()
        assert column not in log.column_names or log[column].to_pylist() == [None]


def test_decimal_ids_stay_apart():
    wide = [Decimal(2**53), Decimal(2**53 + 1), Decimal(2**62)]
    ids = pa.array(wide, pa.decimal128(38, 0))
    log = EventLog.read(pa.table({"user_id": ids, "item_id": [1, 2, 3]}))
    assert log.to_arrow()["user_id"].to_pylist() == [int(one) for one in wide]
    uneven = pa.array([Decimal("1.5")], pa.decimal128(10, 1))
    with pytest.raises(ColumnError, match=r"row 1, column 'user_id'.*no whole number"):
        EventLog.read(pa.table({"user_id": uneven, "item_id": [1]}))


@pytest.mark.parametrize("lines", [True, False])
def test_json_may_begin_with_a_mark_of_its_encoding(lines, tmp_path):
    rows = [{"user_id": 1, "item_id": 2}, {"user_id": 2, "item_id": 2}]
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    path = tmp_path / ("log.jsonl" if lines else "log.json")
    path.write_text(text, encoding="utf-8-sig")
    assert EventLog.read(path).to_arrow()["user_id"].to_pylist() == [1, 2]
