from datetime import date

import pyarrow as pa
import pytest

from quintet.data.schema import DataSchema, default_behaviour, infer_types
from quintet.errors import ConfigError

TOML = """
scenarios = ["shop", "feed"]

[[behaviours]]
name = "view"
weight = 0.2

[[behaviours]]
name = "buy"
implies = ["view"]

[items]
colour = "category"
"""


def test_a_schema_is_read_from_toml(tmp_path):
    (tmp_path / "shop.toml").write_text(TOML)
    schema = DataSchema.read(tmp_path / "shop.toml")
    assert [behaviour.name for behaviour in schema.behaviours] == ["view", "buy"]
    assert schema.behaviours[1].implies == ["view"]
    assert schema.behaviours[0].weight == 0.2
    assert schema.items == {"colour": "category"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("behaviors = []", "unknown setting 'behaviors'; valid here: behaviours, items, scenarios"),
        ("[items]\ncolour = 'paint'", "items.colour: Input should be 'text', 'category'"),
        (
            "[[behaviours]]\nname = 'buy'\nimplies = ['click']",
            "'buy' implies 'click', which is none",
        ),
        ("[[behaviours]]\nname = 'a'\n[[behaviours]]\nname = 'a'", "behaviour 'a' stands twice"),
        (
            "[[behaviours]]\nname = 'a'\npolarity = 3",
            "polarity: Input should be less than or equal",
        ),
        ("scenarios = ['a', 'a']", "scenario 'a' stands twice"),
        ("[[behaviours", "not a TOML file"),
    ],
)
def test_mistakes_in_the_schema_are_named(tmp_path, text, message):
    (tmp_path / "shop.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        DataSchema.read(tmp_path / "shop.toml")


def test_known_names_have_their_polarity():
    assert default_behaviour("Dislike").polarity == -1
    assert default_behaviour("impression").polarity == 0
    assert default_behaviour("buy").polarity == 1


PROSE = [f"The long and winding story number {n} of many people" for n in range(60)]
COLUMNS = {
    "price": ([1.5, 2.0, None], "number"),
    "stock": ([1, 2, 2], "number"),
    "genre_id": ([1, 2, 2], "category"),
    "released": ([date(2020, 1, 1), date(2021, 1, 1)], "number"),
    "in_stock": ([True, False], "category"),
    "release_year": (["1995", "1996", "1995"], "number"),
    "release_year_with_noise": (["1995"] * 19 + ["unknown"], "number"),
    "age": (["24", "53"], "number"),
    "zip_code": (["90210", "10001"], "category"),
    "gender": (["M", "F", "M"], "category"),
    "genres": (["Action|Drama", "Drama", "Comedy|Action"], "category"),
    "tags": ([["a", "b"], ["a"]], "category"),
    "tag_ids": ([[1, 2], [2]], "category"),
    "title": (["Heat", "Toy Story"], "text"),
    "movie_title": ([["Toy", "Story"], ["Heat"]], "text"),
    "productName": (["Heat", "Toy Story"], "text"),
    "about": (PROSE, "text"),
    "sku_number": ([f"AX-{n}" for n in range(60)], "ignore"),
    "colour": ([f"colour {n % 3}" for n in range(60)], "category"),
    "poster": (["a/1.jpg", "a/2.PNG", None], "image"),
    "link": (["https://a.b/c", "http://a.b/d"], "ignore"),
    "embedding": ([[0.1, 0.2], [0.3, 0.4]], "vector"),
    "ragged": ([[0.1, 0.2], [0.3]], "ignore"),
    "nothing": ([None, None], "ignore"),
    "box": ([{"w": 1}, {"w": 2}], "ignore"),
    "box_text": (['{"w":1}', '{"w":2}'], "ignore"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_types_are_inferred(name):
    values, expected = COLUMNS[name]
    table = pa.table({"item_id": range(len(values)), name: pa.array(values)})
    assert infer_types(table, "item_id") == {name: expected}


def test_fixed_size_lists_are_vectors():
    column = pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2))
    assert infer_types(pa.table({"id": [1, 2], "v": column}), "id") == {"v": "vector"}


def test_overrides_win_and_must_fit():
    table = pa.table({"id": [1, 2], "year": [1990, 1991], "title": ["a", "b"]})
    assert infer_types(table, "id", {"year": "category"}) == {"year": "category", "title": "text"}
    with pytest.raises(ConfigError, match="schema: no column 'yaer'; columns: id, year, title"):
        infer_types(table, "id", {"yaer": "number"})
    with pytest.raises(ConfigError, match="year: unknown type 'date'; one of: text, category"):
        infer_types(table, "id", {"year": "date"})
