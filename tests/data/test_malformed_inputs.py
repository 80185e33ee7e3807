"""Ill-formed inputs: each gives a clear error, a counted rejection, or is read for what it is."""

import gzip
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.data.clean import CleanConfig, clean
from quintet.data.dataset import join
from quintet.data.frames import Catalogue, EventLog, Relations, Users
from quintet.errors import ColumnError, ConfigError, DataError, EmptyDataError, QuintetError

HEAD = b"user_id,item_id,timestamp\n"


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def truncated_gz():
    rows = b"".join(b"u%d,i%d,%d\n" % (i * 7919 % 100003, i * 31337 % 1003, i) for i in range(5000))
    packed = gzip.compress(HEAD + rows)
    return packed[: len(packed) // 2]


def truncated_parquet(folder):
    path = folder / "whole.parquet"
    pq.write_table(pa.table({"user_id": ["u"] * 100, "item_id": ["i"] * 100}), path)
    return path.read_bytes()[:-20]


ERRORS = {
    "empty file": ("e.csv", b"", EmptyDataError, "e.csv: the file is empty"),
    "only blank lines": ("e.csv", b"\n\n \n", EmptyDataError, "the file is empty"),
    "only a BOM": ("e.csv", b"\xef\xbb\xbf", EmptyDataError, "no rows below it|file is empty"),
    "header only": ("e.csv", HEAD, EmptyDataError, "a header but no rows below it"),
    "empty JSON Lines": ("e.jsonl", b"", EmptyDataError, "e.jsonl: the file is empty"),
    "unknown suffix": ("e.xlsx", b"PK", DataError, "cannot tell the format from the name"),
    "missing id column": (
        "e.csv",
        b"user_id,thing\nu,i\n",
        ColumnError,
        "no column for item_id; columns present: 'user_id', 'thing'; name it with columns=",
    ),
    "duplicate columns": (
        "e.csv",
        b"user_id,item_id,item_id\nu,i,j\n",
        ColumnError,
        "column 'item_id' stands twice; rename or drop",
    ),
    "columns that differ in case": (
        "e.csv",
        b"user_id,item_id,Tag,tag\nu,i,1,2\n",
        ColumnError,
        "'tag' differs from 'Tag' only in case",
    ),
    "two aliases of one name": (
        "e.csv",
        b"uid,visitorid,item\nu,v,i\n",
        ColumnError,
        "columns 'uid' and 'visitorid' both mean user_id; choose one with columns=",
    ),
    "an internal name": (
        "e.csv",
        b"user_id,item_id,__row\nu,i,1\n",
        ColumnError,
        "the column name '__row' is reserved",
    ),
    "quote never closed": (
        "e.csv",
        HEAD + b'u1,i1,1\nu2,"i2,2\nu3,i3,3\nu4,i4,4\n',
        DataError,
        "row 2, column 'item_id': a quote is opened and not closed, which swallows the 2 lines",
    ),
    "every row ragged": (
        "e.csv",
        HEAD + b"u1,i1\nu2,i2\n",
        DataError,
        "none of 2 rows could be read; row 1: too few columns",
    ),
    "truncated gz": ("e.csv.gz", truncated_gz(), DataError, "not a complete gzip file"),
    "not a gz": ("e.csv.gz", HEAD + b"u,i,1\n", DataError, "not a complete gzip file"),
    "truncated JSON gz": ("e.jsonl.gz", truncated_gz(), DataError, "not a complete gzip file"),
    "not a Parquet file": ("e.parquet", b"PAR1 not really", DataError, "e.parquet: cannot be read"),
    "UTF-16": ("e.csv", "user_id,item_id\nu,i\n".encode("utf-16"), DataError, "UTF-16 text; save"),
    "null bytes in the header": (
        "e.csv",
        b"user_id,it\0em_id\nu,i\n",
        DataError,
        "the header holds null bytes",
    ),
    "header not UTF-8": ("e.csv", b"user_id,\xe9\xe8\nu,i\n", DataError, "the header is not UTF-8"),
    "no JSON objects": ("e.jsonl", b"1\n[2]\nthree\n", DataError, "no line is a JSON object"),
    "truncated JSON array": ("e.json", b'[{"user_id": 1, "item', DataError, "e.json: cannot be"),
    "nested JSON ids": (
        "e.jsonl",
        b'{"user_id": {"n": 1}, "item_id": 2}\n',
        ColumnError,
        r"column 'user_id' holds nested JSON \(row 1: ",
    ),
    "boolean JSON ids": (
        "e.jsonl",
        b'{"user_id": 1, "item_id": true}\n',
        ColumnError,
        r"column 'item_id' holds true/false values \(row 1: True\)",
    ),
    "no readable time": (
        "e.csv",
        HEAD + b"u,i,yesterday\nv,j,07 9 2012\n",
        ColumnError,
        r"no value could be read as times \(numbers or ISO 8601\) \(row 1: 'yesterday'\)",
    ),
    "no readable number": (
        "e.csv",
        b"user_id,item_id,rating\nu,i,good\n",
        ColumnError,
        r"column 'rating': no value could be read as numbers \(row 1: 'good'\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_files_that_cannot_be_read_say_why(tmp_path, case):
    name, content, error, message = ERRORS[case]
    with pytest.raises(error, match=message) as caught:
        EventLog.read(write(tmp_path, name, content))
    assert type(caught.value) is error
    assert name in str(caught.value)


def test_a_truncated_parquet_file_is_a_data_error(tmp_path):
    path = write(tmp_path, "cut.parquet", truncated_parquet(tmp_path))
    with pytest.raises(DataError, match=r"cut\.parquet: cannot be read"):
        EventLog.read(path)


FRAMES = {
    "boolean ids": (
        {"user_id": [True, False], "item_id": [1, 2]},
        ColumnError,
        r"column 'user_id' holds true/false values \(row 1: True\); ids must be text or whole",
    ),
    "fractional ids": (
        {"user_id": [1.0, 5.5], "item_id": [1, 2]},
        ColumnError,
        "row 2, column 'user_id': the id 5.5 is no whole number",
    ),
    "infinite ids": (
        {"user_id": [1.0, np.inf], "item_id": [1, 2]},
        ColumnError,
        "row 2, column 'user_id': the id inf is no whole number",
    ),
    "ids of 65 bits": (
        pa.table({"user_id": pa.array([1, 2**63], pa.uint64()), "item_id": [1, 2]}),
        ColumnError,
        f"row 2, column 'user_id': the id {2**63} is too large",
    ),
    "dates as ids": (
        {"user_id": pd.to_datetime(["2024-01-01"]).to_list(), "item_id": [1]},
        ColumnError,
        "column 'user_id' holds timestamp",
    ),
    "lists as ids": (
        {"user_id": [[1, 2]], "item_id": [1]},
        ColumnError,
        "column 'user_id' holds array",
    ),
    "mixed kinds in pandas": (
        pd.DataFrame({"user_id": [1, "a"], "item_id": [1, 2]}),
        ColumnError,
        "a column holds values of several types",
    ),
    "duplicate columns in pandas": (
        pd.DataFrame([[1, 2, 3]], columns=["user_id", "item_id", "item_id"]),
        ColumnError,
        "column 'item_id' stands twice",
    ),
    "duplicate columns in Arrow": (
        pa.table([[1], [2], [3]], names=["user_id", "item_id", "item_id"]),
        ColumnError,
        "column 'item_id' stands twice",
    ),
    "boolean times": (
        {"user_id": [1], "item_id": [1], "timestamp": [True]},
        ColumnError,
        "column 'timestamp' holds boolean values; expected times",
    ),
    "nested behaviours": (
        {"user_id": [1], "item_id": [1], "event": [["view"]]},
        ColumnError,
        "column 'event' is nested",
    ),
    "a number": (5, DataError, "cannot read a int; give a path"),
    "a list of numbers": ([1, 2], DataError, "cannot read a list; give a path"),
    "no rows": ({"user_id": [], "item_id": []}, EmptyDataError, "events: no rows"),
    "columns of two lengths": (
        {"user_id": [1, 2], "item_id": [1]},
        QuintetError,
        "events: ",
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames_that_cannot_be_read_say_why(case):
    source, error, message = FRAMES[case]
    with pytest.raises(error, match=message):
        EventLog.read(source)


def test_other_mistakes_in_the_call(tmp_path):
    frame = {"user_id": [1], "item_id": [2], "timestamp": [3]}
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        EventLog.read(tmp_path / "gone.csv")
    with pytest.raises(ColumnError, match=r"no column 'who' \(for user_id\); columns present"):
        EventLog.read(frame, columns={"user_id": "who"})
    with pytest.raises(ColumnError, match="columns names 'person'; valid names: event_id, user_id"):
        EventLog.read(frame, columns={"person": "user_id"})
    with pytest.raises(ConfigError, match="unknown time_unit 'h'; choose one of: s, ms, us, ns"):
        EventLog.read(frame, time_unit="h")
    with pytest.raises(DataError, match="cannot be read"):
        EventLog.read(tmp_path)  # a folder without Parquet files
    with pytest.raises(DataError, match="query: cannot be read: Parser Error"):
        EventLog.query("SELECT FROM WHERE")
    with pytest.raises(DataError, match="query: cannot be read: "):
        EventLog.query("SELECT 1", database=tmp_path / "gone.duckdb")
    with pytest.raises(DataError, match="query: the SQL gives no rows; expected a SELECT"):
        EventLog.query("")
    with pytest.raises(ColumnError, match="no column for kind; say kind= one of: user-user"):
        Relations.read({"source": [1], "target": [2]})
    with pytest.raises(ColumnError, match="unknown kind 'friends'; choose one of"):
        Relations.read({"source": [1], "target": [2]}, kind="friends")


REJECTED = {
    "ragged rows": (
        "e.csv",
        HEAD + b"u1,i1,1\nu2,i2\nu3,i3,3,4\nu4,i4,4\n",
        2,
        [(2, "too few columns"), (3, "too many columns")],
    ),
    "text after a closed quote": (
        "e.csv",
        HEAD + b'u1,i1,1\nu2,"i"2,2\nu3,i3,3\n',
        2,
        [(2, "unbalanced quotes")],
    ),
    "bytes that are not UTF-8": (
        "e.csv",
        HEAD + b"u1,i1,1\nu2,caf\xe9,2\n",
        1,
        [(2, "not UTF-8")],
    ),
    "null byte in an id": (
        "e.csv",
        HEAD + b"u\x001,i1,1\nu2,i2,2\n",
        1,
        [(1, "null byte in user_id")],
    ),
    "unreadable time among good ones": (
        "e.csv",
        HEAD + b"u1,i1,2024-01-01\nu2,i2,sometime\nu3,i3,1714003200\n",
        2,
        [(2, "unreadable timestamp")],
    ),
    "time beyond 64 bits": (
        "e.csv",
        HEAD + b"u,i,1e308\nu,j,7\n",
        1,
        [(1, "impossible timestamp")],
    ),
    "infinite time": ("e.csv", HEAD + b"u,i,inf\nu,j,7\n", 1, [(1, "impossible timestamp")]),
    "unreadable rating": (
        "e.csv",
        b"user_id,item_id,rating\nu,i,5\nu,j,five\n",
        1,
        [(2, "unreadable value")],
    ),
    "rating of 1e308": (
        "e.csv",
        b"user_id,item_id,rating\nu,i,5\nu,j,1e308\n",
        1,
        [(2, "impossible value")],
    ),
    "propensity of 0": (
        "e.csv",
        b"user_id,item_id,propensity\nu,i,0.5\nu,j,0\nu,k,1.5\n",
        1,
        [(2, "impossible propensity"), (3, "impossible propensity")],
    ),
    "ill-formed JSON lines": (
        "e.jsonl",
        b'{"user_id": 1, "item_id": 2}\n{"user_id": 1, \n\n[1]\n{"user_id": 3, "item_id": 4}\n',
        2,
        [(2, "ill-formed JSON"), (3, "not a JSON object")],
    ),
    "rows after a ragged one keep their numbers": (
        "e.csv",
        HEAD + b"u1\nu2\nu3,i3,3\nu4,i4,never\nu5\nu6,i6,inf\n",
        1,
        [
            (1, "too few columns"),
            (2, "too few columns"),
            (5, "too few columns"),
            (4, "unreadable timestamp"),
            (6, "impossible timestamp"),
        ],
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_ill_formed_rows_are_counted_and_kept(tmp_path, case):
    name, content, kept, expected = REJECTED[case]
    log = EventLog.read(write(tmp_path, name, content))
    found = log.rejects.to_pylist()
    assert len(log) == kept
    assert [(row["row_number"], row["reason"]) for row in found] == expected
    assert {row["table"] for row in found} == {name}


DAY = 86_400
CLEANED = {
    "missing ids": (
        [(None, 1, 5), (1, None, 5), (1, 1, 5)],
        {"missing user_id": 1, "missing item_id": 1},
    ),
    "negative time": ([(1, 1, -1), (1, 2, 1)], {"time too early": 1}),
    "year 3000": ([(1, 1, 32_503_680_000), (1, 2, 1)], {"time in the future": 1}),
    "no time among times": ([(1, 1, None), (1, 2, 1)], {"missing time": 1}),
    "duplicates": ([(1, 1, 5), (1, 1, 5), (1, 1, 5), (1, 1, 6)], {"duplicate event": 2}),
    "one reason a row": ([(None, 1, -5), (1, 1, 1)], {"missing user_id": 1}),
}


@pytest.mark.parametrize("case", CLEANED)
def test_cleaning_counts_by_reason(case):
    rows, expected = CLEANED[case]
    user, item, time = (pa.array(column, pa.int64()) for column in zip(*rows, strict=True))
    log = EventLog.read(pa.table({"user_id": user, "item_id": item, "timestamp": time}))
    cleaned, report = clean(join(log))
    assert report.counts() == {"events": expected}
    assert len(cleaned.log) == len(rows) - sum(expected.values())


def test_whitespace_and_nan_ids_are_missing(tmp_path):
    csv = EventLog.read(write(tmp_path, "e.csv", b"user_id,item_id\n  ,i\n,j\nu,k\n"))
    floats = EventLog.read({"user_id": [5.0, np.nan], "item_id": ["a", "b"]})
    assert csv.to_arrow()["user_id"].to_pylist() == [None, None, "u"]
    assert floats.to_arrow()["user_id"].to_pylist() == [5, None]
    _, report = clean(join(csv))
    assert report.counts() == {"e.csv": {"missing user_id": 2}}


def test_a_log_of_nothing_but_faults_is_empty_after_cleaning():
    log = EventLog.read({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [-1, -2]})
    with pytest.raises(EmptyDataError, match=r"no event is left; left out of .*: 2 time too early"):
        clean(join(log))


def test_bounds_can_be_moved():
    log = EventLog.read({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [-1, 5]})
    cleaned, _ = clean(join(log), CleanConfig.model_validate({"earliest": "1960-01-01T00:00:00"}))
    assert len(cleaned.log) == 2


def test_no_library_error_leaks_from_random_bytes(tmp_path):
    random = np.random.default_rng(0)
    for suffix in (".csv", ".tsv", ".inter", ".jsonl", ".json", ".parquet", ".csv.gz"):
        for size in (1, 40, 4000):
            noise = bytes(random.integers(0, 256, size, dtype=np.uint8))
            path = write(tmp_path, f"noise{size}{suffix}", noise)
            for frame in (EventLog, Catalogue, Users, Relations):
                with pytest.raises(QuintetError, match=re.escape(path.name)):
                    frame.read(path)


@pytest.mark.parametrize("header", ['"user\nid",item_id', '"user_id,item_id', '"user_id"x,item_id'])
def test_a_header_whose_quotes_do_not_close_is_told(tmp_path, header):
    path = tmp_path / "log.csv"
    path.write_text(f"{header}\na,x\n")
    with pytest.raises(
        DataError, match=r"log\.csv: the header cannot be read .* rename the columns"
    ):
        EventLog.read(path)


def test_a_file_that_begins_with_data_is_told_so(tmp_path):
    (tmp_path / "log.csv").write_text("u0,b0,1700000000\nu1,b1,1700000001\n")
    with pytest.raises(ColumnError, match="does the file lack a line of names"):
        EventLog.read(tmp_path / "log.csv")
