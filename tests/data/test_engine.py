import gc

import pyarrow as pa
import pytest

from quintet.data import engine
from quintet.errors import DataError


def test_a_table_lives_as_long_as_something_refers_to_it():
    table = engine.load(pa.table({"x": [1, 2, 3]}), row_column="row")
    name = table.get_name()
    derived = table.filter(table.x > 1)
    del table
    gc.collect()
    assert engine.fetch(derived).to_pydict() == {"row": [2, 3], "x": [2, 3]}
    del derived
    gc.collect()
    with pytest.raises(Exception, match=name):
        engine.execute(f"SELECT * FROM {name}")


def test_rows_keep_their_order_when_they_are_many():
    table = engine.load(pa.table({"x": range(300_000)}), row_column="row")
    assert engine.value(((table.row - 1) != table.x).sum()) == 0


def test_times_are_utc():
    assert engine.execute("SELECT epoch_us(TIMESTAMPTZ '1970-01-02')").fetchone() == (
        86_400_000_000,
    )


def test_names_and_texts_are_quoted():
    text = 'it\'s "so"'
    assert engine.execute(f"SELECT {engine.quote(text)}").fetchone() == (text,)
    assert engine.execute(f"SELECT 1 AS {engine.identifier(text)}").description[0][0] == text


def test_errors_of_the_engine_name_the_source():
    with (
        pytest.raises(DataError, match="shop: cannot be read: Catalog Error"),
        engine.reading("shop"),
    ):
        engine.execute("SELECT * FROM nowhere")
