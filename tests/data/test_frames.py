import gzip
import json
from datetime import UTC, datetime

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.data.frames import Catalogue, EventLog, Relations, Users
from quintet.errors import ColumnError

ROWS = pa.table(
    {
        "user_id": ["b", "a", "b"],
        "item_id": ["x", "x", "y"],
        "timestamp": [1_700_000_000, 1_700_000_060, 1_700_000_120],
        "value": [5.0, None, 3.5],
    }
)
MICROS = [1_700_000_000_000_000, 1_700_000_060_000_000, 1_700_000_120_000_000]


def to_text(separator, header):
    lines = [
        separator.join("" if v is None else str(v) for v in row.values())
        for row in ROWS.to_pylist()
    ]
    return "\n".join([separator.join(header), *lines]) + "\n"


def as_csv(folder):
    path = folder / "log.csv"
    path.write_text(to_text(",", ["userId", "item", "time", "rating"]))
    return path


def as_gz(folder):
    path = folder / "log.csv.gz"
    path.write_bytes(gzip.compress(as_csv(folder).read_bytes()))
    return path


def as_inter(folder):
    path = folder / "ml.inter"
    header = ["user_id:token", "item_id:token", "timestamp:float", "rating:float"]
    path.write_text(to_text("\t", header))
    return path


def as_json_lines(folder):
    path = folder / "log.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS.to_pylist()))
    return path


def as_json_array(folder):
    path = folder / "log.json"
    path.write_text(json.dumps(ROWS.to_pylist(), indent=1))
    return path


def as_parquet(folder):
    pq.write_table(ROWS, folder / "log.parquet")
    return folder / "log.parquet"


def as_shards(folder):
    shards = folder / "shards"
    shards.mkdir()
    pq.write_table(ROWS.slice(0, 2), shards / "0.parquet")
    pq.write_table(ROWS.slice(2), shards / "1.parquet")
    return shards


SOURCES = {
    "csv": as_csv,
    "gzipped csv": as_gz,
    "RecBole": as_inter,
    "JSON Lines": as_json_lines,
    "JSON array": as_json_array,
    "Parquet": as_parquet,
    "a folder of Parquet": as_shards,
    "Arrow": lambda _: ROWS,
    "an Arrow reader": lambda _: ROWS.to_reader(),
    "a record batch": lambda _: ROWS.to_batches()[0],
    "pandas": lambda _: ROWS.to_pandas(),
    "polars": lambda _: pl.from_arrow(ROWS),
    "lazy polars": lambda _: pl.from_arrow(ROWS).lazy(),
    "columns": lambda _: ROWS.to_pydict(),
    "rows": lambda _: ROWS.to_pylist(),
    "another log": lambda _: EventLog.read(ROWS),
    "a path as text": lambda folder: str(as_csv(folder)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_log(tmp_path, kind):
    log = EventLog.read(SOURCES[kind](tmp_path))
    assert log.columns == ["user_id", "item_id", "timestamp", "value"]
    assert len(log) == 3
    assert log.to_arrow().to_pydict() == {**ROWS.to_pydict(), "timestamp": MICROS}
    assert not len(log.rejects)


def test_queries_read_files_and_databases(tmp_path):
    path = as_parquet(tmp_path)
    log = EventLog.query(f"SELECT * FROM '{path}' WHERE user_id = 'b'")
    assert log.to_arrow()["item_id"].to_pylist() == ["x", "y"]
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as shop:
        shop.execute("CREATE TABLE buys AS SELECT 7 AS customer_id, 'x' AS sku")
    log = EventLog.query("SELECT * FROM buys", database=tmp_path / "shop.duckdb")
    assert log.to_arrow().to_pylist() == [{"user_id": 7, "item_id": "x"}]
    assert Catalogue.query("SELECT 1 AS id, 'a' AS tag").columns == ["item_id", "tag"]
    assert Users.query("SELECT 1 AS id").columns == ["user_id"]
    edges = Relations.query("SELECT 1 AS source, 2 AS target", kind="identity")
    assert edges.to_arrow().to_pylist() == [
        {"source_id": 1, "target_id": 2, "kind": "identity", "weight": 1.0}
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_of_time_is_decided_by_size(unit):
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = [1_700_000_000 * factor, 1_700_000_060 * factor, -5 * factor]
    log = EventLog.read({"user": [1, 2, 3], "item": [1, 2, 3], "ts": times})
    assert log.to_arrow()["timestamp"].to_pylist() == [MICROS[0], MICROS[1], -5_000_000]


def test_the_unit_of_time_can_be_said():
    rows = {"user": [1], "item": [1], "ts": [60]}
    assert EventLog.read(rows, time_unit="ms").to_arrow()["timestamp"].to_pylist() == [60_000]
    dates = {"user": [1, 2], "item": [1, 2], "date": [20240101, 20241301]}
    log = EventLog.read(dates, time_unit="yyyymmdd")
    assert log.to_arrow()["timestamp"].to_pylist() == [1_704_067_200_000_000]
    assert log.rejects["reason"].to_pylist() == ["unreadable timestamp"]


def test_days_written_as_numbers_are_days():
    for days in ([20240101, 20231231], ["20240101", "20231231"], [20240101.0, 20231231.0]):
        log = EventLog.read({"user": [1, 2], "item": [1, 2], "date": days})
        expected = [1_704_067_200_000_000, 1_703_980_800_000_000]
        assert log.to_arrow()["timestamp"].to_pylist() == expected
    log = EventLog.read({"user": [1, 2], "item": [1, 2], "date": [20240101, 20249999]})
    assert log.to_arrow()["timestamp"].to_pylist() == [20_240_101_000_000, 20_249_999_000_000]


def test_a_log_read_again_keeps_its_rejects():
    log = EventLog.read({"user": [1, 2], "item": [1, 2], "rating": ["5", "x"]})
    assert EventLog.read(log) is log
    again = EventLog.read(log, scenario="feed")
    assert again.columns == ["user_id", "item_id", "value", "scenario"]
    assert len(again.rejects) == 1


def test_iso_times_and_numbers_may_stand_in_one_column():
    texts = [
        "2024-01-01",
        "2024-01-01 00:00:01.5",
        "2024-01-01T02:00:00+02:00",
        "1704067200.25",
        "",
        None,
    ]
    log = EventLog.read({"user": [1] * 6, "item": [1] * 6, "datetime": texts})
    start = 1_704_067_200_000_000
    expected = [start, start + 1_500_000, start, start + 250_000, None, None]
    assert log.to_arrow()["timestamp"].to_pylist() == expected


def test_typed_times_become_microseconds():
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)
    frame = pd.DataFrame({"user": [1], "item": [1], "time": [moment]})
    assert EventLog.read(frame).to_arrow()["timestamp"].to_pylist() == [1_704_110_400_000_000]
    dates = pa.table({"user": [1], "item": [1], "time": pa.array([19_723], pa.date32())})
    assert EventLog.read(dates).to_arrow()["timestamp"].to_pylist() == [1_704_067_200_000_000]


def test_ids_stay_the_callers_own(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id\n007,1\n7,1\n")
    assert EventLog.read(tmp_path / "a.csv").to_arrow().to_pydict() == {
        "user_id": ["007", "7"],
        "item_id": ["1", "1"],
    }
    frame = pa.table({"user_id": pa.array([1], pa.int8()), "item_id": pa.array([2], pa.uint64())})
    log = EventLog.read(frame).to_arrow()
    assert log.schema.types == [pa.int64(), pa.int64()]
    floats = EventLog.read(pd.DataFrame({"user": [5.0, 2**53], "item": ["a", "b"]})).to_arrow()
    assert floats["user_id"].to_pylist() == [5, 2**53]
    mixed = (tmp_path / "b.jsonl").write_text(
        '{"user":5,"item":"2024-01-01"}\n{"user":"x","item":"y"}'
    )
    assert mixed
    assert EventLog.read(tmp_path / "b.jsonl").to_arrow().to_pydict() == {
        "user_id": ["5", "x"],
        "item_id": ["2024-01-01", "y"],  # looks like a date, stays text
    }


def test_behaviour_and_scenario_can_be_given_for_all_events():
    log = EventLog.read({"user": [1], "item": [2]}, behaviour="view", scenario="feed")
    assert log.to_arrow().to_pylist() == [
        {"user_id": 1, "item_id": 2, "behaviour": "view", "scenario": "feed"}
    ]
    typed = EventLog.read({"user": [1], "item": [2], "action_type": [3]}, behaviour="view")
    assert typed.to_arrow()["behaviour"].to_pylist() == ["3"]


def test_columns_that_a_log_does_not_know_are_named():
    log = EventLog.read({"user": [1], "item": [2], "mood": ["good"]})
    assert log.columns == ["user_id", "item_id"]
    assert log.ignored == ("mood",)
    assert log.doubts == ()


def test_a_column_that_looks_misspelt_is_told_with_its_remedy():
    given = {"user": [1], "item": [2], "timestmp": [3], "pric": [4.0], "mood": ["good"]}
    log = EventLog.read(given, name="shop.csv")
    assert log.doubts == (
        "shop.csv: column 'timestmp' is not read; if it is the timestamp, rename it or say "
        "columns={'timestamp': 'timestmp'}",
        "shop.csv: column 'pric' is not read; if it is the price, rename it or say "
        "columns={'price': 'pric'}",
    )
    named = EventLog.read(given, columns={"timestamp": "timestmp", "price": "pric"})
    assert named.doubts == ()
    spare = EventLog.read({"user": [1], "item": [2], "timestamp": [1], "timestmp": [3]})
    assert spare.doubts == (), "there is one already"
    declined = EventLog.read(given, columns={"timestamp": "", "price": ""})
    assert declined.doubts == (), "left out on purpose"


@pytest.mark.parametrize(
    "name", ["country", "os", "request_time", "channel_id", "source", "store", "state", "rate"]
)
def test_ordinary_columns_pass_for_no_misspelt_ones(name):
    assert EventLog.read({"user": [1], "item": [2], name: ["x"]}).doubts == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timestmp", "timestamp"),
        ("tiemstamp", "timestamp"),
        ("behaviuor", "behaviour"),
        ("bahavior", "behaviour"),
        ("prices", "price"),
        ("Sesion ID", "session_id"),
    ],
)
def test_one_slip_of_the_keys_is_seen(name, meant):
    (doubt,) = EventLog.read({"user": [1], "item": [2], name: ["x"]}).doubts
    assert f"if it is the {meant}," in doubt


def test_atomic_item_files_keep_their_types(tmp_path):
    (tmp_path / "ml.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tv:float_seq\n"
        '1\t"Toy" Story\t1995\tAnimation Comedy\t0.5 1\n'
        "2\tHeat\t1995\t\t\n"
    )
    items = Catalogue.read(tmp_path / "ml.item").to_arrow()
    assert items.to_pylist() == [
        {
            "item_id": "1",
            "movie_title": ['"Toy"', "Story"],
            "release_year": "1995",
            "class": ["Animation", "Comedy"],
            "v": [0.5, 1.0],
        },
        {"item_id": "2", "movie_title": ["Heat"], "release_year": "1995", "class": None, "v": None},
    ]


def test_atomic_knowledge_graphs_are_relations(tmp_path):
    (tmp_path / "ml.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\na\tfilm.x\tb\n"
    )
    edges = Relations.read(tmp_path / "ml.kg", kind="item-item").to_arrow()
    assert edges.to_pylist() == [
        {"source_id": "a", "target_id": "b", "kind": "item-item", "weight": 1.0}
    ]


def test_numbers_in_text_files_are_recognised_unless_they_are_codes(tmp_path):
    (tmp_path / "items.csv").write_text(
        "sku,price,stock,zip,size,note\na,1.5,3,02139,1,n/a\nb,NaN,-4,10001,XL,\nc,2e3,,94103,2,good\n"
    )
    items = Catalogue.read(tmp_path / "items.csv").to_arrow()
    assert items.to_pydict() == {
        "item_id": ["a", "b", "c"],
        "price": [1.5, None, 2000.0],
        "stock": [3, -4, None],
        "zip": ["02139", "10001", "94103"],
        "size": ["1", "XL", "2"],
        "note": [None, None, "good"],
    }


def test_bare_quotes_in_tab_files_are_text(tmp_path):
    (tmp_path / "artists.tsv").write_text('id\tname\n1\t"Weird Al" Yankovic\n2\t7" single\n')
    items = Catalogue.read(tmp_path / "artists.tsv")
    assert items.to_arrow()["name"].to_pylist() == ['"Weird Al" Yankovic', '7" single']
    assert not len(items.rejects)


def test_nested_attributes_become_json_text(tmp_path):
    (tmp_path / "items.jsonl").write_text('{"id": 1, "tags": ["a", "b"], "box": {"w": 2}}')
    items = Catalogue.read(tmp_path / "items.jsonl").to_arrow()
    assert items.to_pylist() == [{"item_id": 1, "tags": ["a", "b"], "box": '{"w":2}'}]


def test_relations_refuse_unknown_kinds_row_by_row():
    edges = Relations.read(
        {"source": [1, 2, 3], "target": [2, 3, 4], "type": ["User User", "identity", "enemy"]}
    )
    assert edges.to_arrow()["kind"].to_pylist() == ["user-user", "identity"]
    assert edges.rejects.to_pylist() == [
        {
            "table": "relations",
            "row_number": 3,
            "reason": "unknown kind",
            "column": "kind",
            "value": "enemy",
        }
    ]


def test_frames_show_what_they_are():
    log = EventLog.read({"user": [1], "item": [2]}, name="clicks")
    assert repr(log) == "EventLog('clicks', 1 rows: user_id, item_id)"


def test_an_ibis_table_is_a_frame():
    import ibis

    shop = ibis.duckdb.connect()
    shop.con.execute("CREATE TABLE buys AS SELECT 7 AS customer_id, 'x' AS sku")
    assert EventLog.read(shop.table("buys")).to_arrow().to_pylist() == [
        {"user_id": 7, "item_id": "x"}
    ]


def test_two_meanings_are_refused_and_can_be_settled():
    rows = {"user": [1], "item": [2], "rating": [3], "weight": [4]}
    with pytest.raises(ColumnError, match="'rating' and 'weight' both mean value"):
        EventLog.read(rows)
    log = EventLog.read(rows, columns={"value": "weight"})
    assert log.to_arrow()["value"].to_pylist() == [4.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_in_a_zone_of_any_precision(unit, tmp_path):
    times = pa.array([0, 3], pa.int64()).cast(pa.timestamp(unit, "Europe/Paris"))
    table = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": times})
    pq.write_table(table, tmp_path / "log.parquet", version="2.6")
    micros = [0, 3 * {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 0}[unit]]
    for source in (table, tmp_path / "log.parquet"):
        assert EventLog.read(source).to_arrow()["timestamp"].to_pylist() == micros
