"""The feature encoder: types, separators, quantiles, what is dropped, and its state."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quintet.data.feature_encoder import FeatureEncoder
from quintet.data.features import CategoryColumn, FeatureTable
from quintet.errors import (
    ColumnError,
    ConfigError,
    CorruptBundleError,
    NotFittedError,
    SchemaVersionError,
)

ALL = FeatureEncoder.Config(min_count=1)


def table(**columns: object) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def rows_of(column: CategoryColumn) -> list[list[str]]:
    return [
        [column.names[code] for code in column.codes[start:stop]]
        for start, stop in zip(column.offsets[:-1], column.offsets[1:], strict=True)
    ]


def categories(values: object, config: FeatureEncoder.Config = ALL) -> CategoryColumn:
    given_table = pa.table({"c": values if isinstance(values, pa.Array) else pa.array(values)})
    return (
        FeatureEncoder(config)
        .fit(given_table, {"c": "category"})
        .transform(given_table)
        .categories["c"]
    )


# categories


def test_categories_are_numbered_by_first_appearance() -> None:
    column = categories(["z|a", "m", "a|z"])
    assert column.names == ["z", "a", "m"]
    assert rows_of(column) == [["z", "a"], ["m"], ["a", "z"]]


@pytest.mark.parametrize("separator", ["|", ";"])
def test_separator_is_found(separator: str) -> None:
    column = categories([f"rock{separator} pop", "jazz", None, "", f"pop{separator}{separator}pop"])
    assert rows_of(column) == [["rock", "pop"], ["jazz"], [], [], ["pop"]]


def test_white_space_separates_where_few_words_make_many_values() -> None:
    genres = ["a b", "b c", "a c", "a b c", "a", "c"]  # 6 values of 3 words
    assert rows_of(categories(genres))[3] == ["a", "b", "c"]


def test_white_space_does_not_separate_names() -> None:
    names = ["New York", "New Jersey", "North Dakota", "North Carolina"]
    assert categories(names).names == names


def test_declared_separator_wins() -> None:
    config = FeatureEncoder.Config(min_count=1, separators={"c": " "})
    assert rows_of(categories(["a b", "c"], config)) == [["a", "b"], ["c"]]


def test_lists_and_numbers_are_categories() -> None:
    lists = pa.array([["x|y", "z", None], None, [], ["z", "z"]])
    assert rows_of(categories(lists)) == [["x|y", "z"], [], [], ["z"]]
    assert rows_of(categories([3.0, None, float("nan"), 12.0])) == [["3"], [], [], ["12"]]
    assert rows_of(categories(pa.array(["b", "a"]).dictionary_encode())) == [["b"], ["a"]]


def test_category_names_are_normalised() -> None:
    assert categories(["Cafe\u0301  bar", "Caf\u00e9\u00a0bar "]).names == ["Caf\u00e9 bar"]


def test_rare_and_unseen_categories_are_dropped() -> None:
    encoder = FeatureEncoder().fit(table(c=["a|a|b", "a|c", "c", "d"]), {"c": "category"})
    later = encoder.transform(table(c=["d|c|new", "new", "a"]))
    assert rows_of(later.categories["c"]) == [["c"], [], ["a"]]
    assert encoder.report()["c"]["dropped"] == 2  # b and d, once each
    assert encoder.report()["c"]["missing"] == 1


def test_most_frequent_categories_are_kept() -> None:
    config = FeatureEncoder.Config(min_count=1, max_categories=2)
    assert categories(["rare", "b", "a", "a", "b"], config).names == ["b", "a"]


def test_statistics_come_from_fit_rows_alone() -> None:
    data = table(c=["x", "b", "a", "b"], n=[1000.0, 0.0, 1.0, 2.0])
    types = {"c": "category", "n": "number"}
    for chosen in (np.array([3, 1, 2]), np.array([False, True, True, True])):
        encoded = FeatureEncoder(ALL).fit(data, types, fit_rows=chosen).transform(data)
        assert encoded.categories["c"].names == ["b", "a"]
        assert rows_of(encoded.categories["c"])[0] == []
        assert encoded.numbers["n"].values[0] == 1.0  # clipped to the greatest seen
        assert encoded.numbers["n"].raw[0] == 1000.0


# numbers


def test_numbers_stand_at_their_quantile() -> None:
    values = np.exp(np.linspace(0.0, 5.0, 1001))  # skewed, yet evenly placed
    encoded = FeatureEncoder().fit(table(n=values), {"n": "number"}).transform(table(n=values))
    column = encoded.numbers["n"]
    assert column.values[500] == pytest.approx(0.0, abs=1e-4)
    # the value of rank 0.25 stands at (0.25 - 0.005) / 0.99 of the way from -1 to 1
    assert column.values[250] == pytest.approx(2 * (0.25 - 0.005) / 0.99 - 1, abs=1e-3)
    assert column.values[0] == -1.0
    assert column.values[-1] == 1.0


def test_a_value_that_fills_quantiles_stands_in_their_middle() -> None:
    data = table(n=[0.0] * 50 + [1.0] * 50, constant=[7.0] * 100)
    config = FeatureEncoder.Config(knots=4)  # places -1, -1/3, 1/3, 1; two of them at each value
    encoded = (
        FeatureEncoder(config).fit(data, {"n": "number", "constant": "number"}).transform(data)
    )
    assert encoded.numbers["n"].values[0] == pytest.approx(-2 / 3)
    assert encoded.numbers["n"].values[-1] == pytest.approx(2 / 3)
    assert not encoded.numbers["constant"].values.any()
    assert encoded.numbers["constant"].present.all()


def test_numbers_as_text_are_cast_and_the_rest_counted() -> None:
    data = table(n=["1", " 2.5 ", "abc", "", None, "NaN", "1e400", "-3e1", "1,5"])
    encoder = FeatureEncoder().fit(data, {"n": "number"})
    column = encoder.transform(data).numbers["n"]
    assert column.present.tolist() == [True, True] + [False] * 5 + [True, False]
    assert column.raw[[0, 1, 7]].tolist() == [1.0, 2.5, -30.0]
    assert np.isnan(column.raw[~column.present]).all()
    assert not column.values[~column.present].any()
    assert encoder.report()["n"] == {"type": "number", "missing": 6, "uncastable": 3}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False, None]),
        pa.array([86_400_000_000, 0, None], pa.timestamp("us")),
        pa.array([1, 0, None], pa.date32()),
        pa.array([1, 0, None], pa.uint8()),
        pa.array([1, 0, None], pa.decimal128(5, 2)),
    ],
)
def test_other_types_become_numbers(values: pa.Array) -> None:
    data = pa.table({"n": values})
    column = FeatureEncoder().fit(data, {"n": "number"}).transform(data).numbers["n"]
    assert column.raw[:2].tolist() == [1.0, 0.0]
    assert column.present.tolist() == [True, True, False]


def test_a_column_without_numbers_is_missing_throughout() -> None:
    encoder = FeatureEncoder().fit(table(n=["x", None]), {"n": "number"})
    assert not encoder.transform(table(n=["3", "4"])).numbers["n"].present.any()


@example([0.0, 0.0, -2.225073858507203e-309], [0.0, -2.2250738585e-313])
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60),
    st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=20),
)
def test_places_rise_with_the_value_and_stay_within_one(
    fitted: list[float], later: list[float]
) -> None:
    encoder = FeatureEncoder().fit(table(n=fitted), {"n": "number"})
    values = encoder.transform(table(n=sorted(later))).numbers["n"].values
    assert np.all(np.abs(values) <= 1.0)
    assert np.all(np.diff(values) >= 0.0)


# text, images, vectors


def test_text_is_normalised_and_paths_are_not() -> None:
    data = table(
        title=["  two\n\twords ", None, "e\u0301\u00a0x"],
        tags=[["a", None, "b"], None, []],
        picture=[" a  b.jpg", None, "e\u0301.png"],
    )
    types = {"title": "text", "tags": "text", "picture": "image"}
    encoded = FeatureEncoder().fit(data, types).transform(data)
    assert encoded.texts["title"] == ["two words", "", "\u00e9 x"]
    assert encoded.texts["tags"] == ["a b", "", ""]
    assert encoded.images["picture"] == ["a  b.jpg", "", "e\u0301.png"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1.0, 2.0], None, [3.0, float("nan")]], pa.list_(pa.float64(), 2)),
        pa.array([[1.0, 2.0], [], [3.0, float("inf")]], pa.list_(pa.float32())),
        pa.array(["[1, 2]", None, "nan"]),
        pa.array(["1 2", ""]),
    ],
)
def test_vectors(values: pa.Array) -> None:
    data = pa.table({"v": values})
    column = FeatureEncoder().fit(data, {"v": "vector"}).transform(data).vectors["v"]
    assert column.values[0].tolist() == [1.0, 2.0]
    assert column.present.tolist() == [True] + [False] * (len(values) - 1)
    assert not column.values[1:].any()


def test_a_vector_of_another_length_names_its_row() -> None:
    fitted = FeatureEncoder().fit(table(v=[None, [1.0, 2.0]]), {"v": "vector"})
    with pytest.raises(ColumnError, match=r"'v', row 2: vector of length 3, expected 2"):
        fitted.transform(table(v=[[1.0, 2.0], None, [1.0, 2.0, 3.0]]))
    with pytest.raises(ColumnError, match="row 1"):
        FeatureEncoder().fit(table(v=[[1.0, 2.0], [1.0]]), {"v": "vector"})


def test_values_that_cannot_be_the_type_are_refused() -> None:
    with pytest.raises(ColumnError, match=r"'n'.*no numbers"):
        FeatureEncoder().fit(table(n=[[1.0]]), {"n": "number"})
    with pytest.raises(ColumnError, match=r"'v'.*no vectors"):
        FeatureEncoder().fit(table(v=[1.0]), {"v": "vector"})
    with pytest.raises(ColumnError, match=r"'v'.*no vectors"):
        FeatureEncoder().fit(table(v=[["x"]]), {"v": "vector"})
    with pytest.raises(ColumnError, match=r"row 1: 'x' is no number"):
        FeatureEncoder().fit(table(v=["1 2", "1 x"]), {"v": "vector"})


# the encoder


MIXED = pa.table(
    {
        "genre": ["a|b", "b", None, "a"],
        "price": [1.0, 2.0, None, 9.0],
        "title": ["one", "two", None, "three"],
        "poster": ["1.jpg", None, None, "4.jpg"],
        "a/b": pa.array([[1.0, 0.0], None, [0.0, 1.0], [1.0, 1.0]], pa.list_(pa.float32(), 2)),
        "asin": ["w", "x", "y", "z"],
    }
)
TYPES = {
    "genre": "category",
    "price": "number",
    "title": "text",
    "poster": "image",
    "a/b": "vector",
    "asin": "ignore",
}


def assert_same(left: FeatureTable, right: FeatureTable) -> None:
    assert left.n_rows == right.n_rows
    assert left.texts == right.texts
    assert left.images == right.images
    for kind in ("categories", "numbers", "vectors"):
        assert getattr(left, kind).keys() == getattr(right, kind).keys()
        for name, column in getattr(left, kind).items():
            for field, value in vars(column).items():
                np.testing.assert_array_equal(value, getattr(getattr(right, kind)[name], field))


def test_state_restores_the_encoder() -> None:
    encoder = FeatureEncoder(ALL).fit(MIXED, TYPES)
    arrays, meta = encoder.state()
    restored = FeatureEncoder.from_state(arrays, json.loads(json.dumps(meta)))
    assert_same(restored.transform(MIXED), encoder.transform(MIXED))
    assert restored.report() == encoder.report()
    assert restored.config == ALL
    assert "asin" not in restored.codecs


def test_damaged_state_is_refused() -> None:
    arrays, meta = FeatureEncoder(ALL).fit(MIXED, TYPES).state()
    with pytest.raises(CorruptBundleError, match="'price'"):
        FeatureEncoder.from_state({}, meta)
    with pytest.raises(SchemaVersionError, match="format 99"):
        FeatureEncoder.from_state(arrays, {**meta, "format": 99})


def test_one_row_alone_is_encoded_as_among_others() -> None:
    encoder = FeatureEncoder(ALL).fit(MIXED, TYPES)
    together = encoder.transform(MIXED)
    for row in range(MIXED.num_rows):
        alone = encoder.transform(MIXED.slice(row, 1))
        assert rows_of(alone.categories["genre"])[0] == rows_of(together.categories["genre"])[row]
        assert alone.numbers["price"].values[0] == together.numbers["price"].values[row]
        np.testing.assert_array_equal(
            alone.vectors["a/b"].values[0], together.vectors["a/b"].values[row]
        )


def test_attributes_that_a_later_table_lacks_are_missing() -> None:
    encoded = FeatureEncoder(ALL).fit(MIXED, TYPES).transform(table(title=["new"], other=[1]))
    assert rows_of(encoded.categories["genre"]) == [[]]
    assert not encoded.numbers["price"].present.any()
    assert not encoded.vectors["a/b"].present.any()
    assert encoded.vectors["a/b"].values.shape == (1, 2)
    assert encoded.texts["title"] == ["new"]
    assert encoded.images["poster"] == [""]


def test_chunks_change_nothing() -> None:
    chunked = pa.concat_tables([MIXED.slice(0, 1), MIXED.slice(1)])
    assert chunked.column("genre").num_chunks == 2
    encoder = FeatureEncoder(ALL).fit(chunked, TYPES)
    assert_same(encoder.transform(chunked), FeatureEncoder(ALL).fit(MIXED, TYPES).transform(MIXED))


def test_empty_table() -> None:
    encoded = FeatureEncoder(ALL).fit(MIXED, TYPES).transform(MIXED.slice(0, 0))
    assert encoded.n_rows == 0
    assert encoded.categories["genre"].offsets.tolist() == [0]


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown type 'txt'; choose one of: text"):
        FeatureEncoder().fit(MIXED, {"title": "txt"})
    with pytest.raises(ColumnError, match="'brand' is missing; the table has: genre"):
        FeatureEncoder().fit(MIXED, {"brand": "text"})
    doubled = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(ColumnError, match="stands twice"):
        FeatureEncoder().fit(doubled, {"x": "number"})
    with pytest.raises(NotFittedError):
        FeatureEncoder().transform(MIXED)


@given(st.permutations(range(4)))
def test_row_order_numbers_the_categories_and_changes_nothing_else(order: list[int]) -> None:
    permuted = MIXED.take(pa.array(order))
    encoded = FeatureEncoder(ALL).fit(permuted, TYPES).transform(permuted)
    reference = FeatureEncoder(ALL).fit(MIXED, TYPES).transform(MIXED)
    expected = rows_of(reference.categories["genre"])
    assert rows_of(encoded.categories["genre"]) == [expected[row] for row in order]
    np.testing.assert_array_equal(
        encoded.numbers["price"].values, reference.numbers["price"].values[order]
    )
