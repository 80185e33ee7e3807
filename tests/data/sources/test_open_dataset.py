"""One door to every data set: a source's name, a TOML file or a log."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from quintet.data.sources.base import SOURCES, Source, load_source, open_dataset
from quintet.data.sources.market import MarketSource
from quintet.data.sources.ml_100k import read_folder
from quintet.errors import ConfigError, DataError
from tests.data.sources.test_ml_100k import FILES

LOG = """user_id,item_id,timestamp,event
a,x,1700000000,view
a,y,1700000100,view
b,x,1700000200,buy
"""


def column(table: pa.Table, name: str) -> list[object]:
    return list(table[name].to_pylist())


def test_sources_are_found_by_their_files() -> None:
    assert SOURCES.names() == ["files", "journal", "market", "ml-100k"]
    assert all(part.summary for part in SOURCES.parts.values())


def test_the_market_by_name_with_overrides() -> None:
    dataset = open_dataset("market", ["n_users=20", "n_items=60", "scenarios=['shop', 'feed']"])
    assert len(column(dataset.users.to_arrow(), "user_id")) == 20
    assert len(column(dataset.items.to_arrow(), "item_id")) == 60
    assert dataset.schema.scenario_names == ["shop", "feed"]


def test_the_markets_data_set_holds_its_log_and_no_truth() -> None:
    source = MarketSource(MarketSource.Config(n_users=30, n_items=60, exposures=True))
    dataset, market = source.load(), source.simulate()
    log = dataset.log.to_arrow()
    assert len(log) == len(market.log)
    assert len(dataset.relations.to_arrow()) == len(market.relations)
    for table in (log, dataset.items.to_arrow(), dataset.users.to_arrow()):
        assert not [name for name in table.column_names if name.startswith(("p_", "taste"))]
        assert "strategy" not in table.column_names
    behaviours = {behaviour.name: behaviour for behaviour in dataset.schema.behaviours}
    assert set(behaviours) == set(market.log["behaviour"].to_pylist())
    assert behaviours["impression"].polarity == 0
    assert behaviours["buy"].implies == ["view", "cart"]


def test_films_as_a_data_set(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    dataset = read_folder(tmp_path)
    assert column(dataset.log.to_arrow(), "value") == [3.0, 5.0]
    items = dataset.items.to_arrow()
    assert column(items, "genres")[0] == ["Children's", "Sci-Fi", "Film-Noir"]
    assert column(dataset.users.to_arrow(), "age") == [24, 53]
    assert dataset.schema.items["genres"] == "category"


def test_one_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(LOG)
    dataset = open_dataset(path)
    assert dataset.name == "events"
    assert column(dataset.log.to_arrow(), "behaviour") == ["view", "view", "buy"]


def test_a_toml_file_joins_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(LOG)
    (tmp_path / "sales.csv").write_text("buyer,item_id,timestamp\nb,y,1700000300\n")
    (tmp_path / "products.csv").write_text("sku,title,price\nx,Red cup,3.5\ny,Blue pot,9\n")
    (tmp_path / "people.csv").write_text("user_id,age\na,30\nb,40\n")
    (tmp_path / "friends.csv").write_text("source,target\na,b\n")
    path = tmp_path / "corner-shop.toml"
    path.write_text(
        """
        logs = [
            "events.csv",
            {path = "sales.csv", behaviour = "buy", columns = {user_id = "buyer"}},
        ]
        users = "people.csv"
        relations = [{path = "friends.csv", kind = "user-user"}]

        [items]
        path = "products.csv"
        columns = {item_id = "sku"}
        types = {title = "text"}

        [[behaviours]]
        name = "view"

        [[behaviours]]
        name = "buy"
        weight = 5.0
        implies = ["view"]
        """
    )
    dataset = open_dataset(str(path))
    assert dataset.name == "corner-shop"
    events = dataset.log.to_arrow()
    assert sorted(zip(column(events, "user_id"), column(events, "item_id"), strict=True)) == [
        ("a", "x"),
        ("a", "y"),
        ("b", "x"),
        ("b", "y"),
    ]
    assert sorted(map(str, column(events, "behaviour"))) == ["buy", "buy", "view", "view"]
    assert column(dataset.items.to_arrow(), "price") == [3.5, 9.0]
    assert column(dataset.users.to_arrow(), "age") == [30, 40]
    assert column(dataset.relations.to_arrow(), "kind") == ["user-user"]
    assert dataset.schema.behaviours[1].weight == 5.0
    assert open_dataset(path, ["name=renamed"]).name == "renamed"


def test_what_names_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match="sources: files, journal, market, ml-100k"):
        open_dataset("no-such-set")
    with pytest.raises(ConfigError, match="no such file"):
        open_dataset("no-such.toml")
    with pytest.raises(ConfigError, match=r"unknown setting 'n_user'; valid here: .*n_users"):
        open_dataset("market", ["n_user=3"])
    with pytest.raises(ConfigError, match="logs"):
        load_source("files")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.toml"
    path.write_text('logs = ["gone.csv"]')
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        open_dataset(path)


def test_a_source_needs_a_load() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Source()  # type: ignore[abstract]
