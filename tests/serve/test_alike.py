"""Items as vectors: the nearest, what they share in words, and the table of them."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.data.features import CategoryColumn, FeatureTable, NumberColumn
from quintet.errors import ConfigError
from quintet.serve.alike import Attributes, item_vectors, nearest, vector_table, words

TABLE = FeatureTable(
    5,
    categories={
        "genre": CategoryColumn(
            np.array([0, 2, 4, 5, 5, 6]), np.array([0, 1, 1, 2, 2, 0]), ["drama", "war", "comedy"]
        )
    },
    numbers={
        "year": NumberColumn(
            np.array([-1, -0.9, 1, 0, 0], np.float32),
            np.array([True, True, True, False, True]),
            np.array([1950, 1951, 1999, np.nan, 1980], np.float32),
        )
    },
    texts={
        "title": ["the bridge on the river", "A Bridge too far", "Clueless", "咖啡 豆", "豆 茶"]
    },
)


def test_categories_words_and_numbers_of_both_are_named() -> None:
    # "a" is too short for a word, and 1950 stands next to 1951 in the order of years
    assert Attributes(TABLE).shared(0, 1) == {
        "genre": ["war"],
        "year": ["1950 and 1951"],
        "title": ["bridge"],
    }


def test_columns_with_nothing_in_common_are_left_out() -> None:
    assert Attributes(TABLE).shared(0, 2) == {}
    assert Attributes(TABLE).shared(1, 2) == {"genre": ["comedy"]}  # 1951 and 1999 are far apart
    assert Attributes(TABLE).shared(3, 4) == {"title": ["豆"]}


def test_words_that_most_texts_hold_say_nothing() -> None:
    titles = [f"lamp of {kind}" for kind in ("steel", "wool", "steel", "glass", "wood")]
    shared = Attributes(FeatureTable(5, texts={"title": titles})).shared(0, 2)
    assert shared == {"title": ["steel"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Star Wars: a_new hope", {"star", "wars", "new", "hope"}),
        ("Neu 旅行 咖啡", {"neu", "旅行", "咖啡"}),
        ("", set()),
    ],
)
def test_words(text: str, expected: set[str]) -> None:
    assert words(text) == expected


def test_the_nearest_by_cosine_with_what_they_share(recommender) -> None:
    trained = recommender.trained
    vectors = item_vectors(trained).numpy()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit[7]
    cosine[7] = -np.inf
    found = nearest(trained, 7, 5)
    assert trained.items.rows([one["item_id"] for one in found]).tolist() == (
        np.argsort(-cosine)[:5].tolist()
    )
    assert [one["similarity"] for one in found] == pytest.approx(
        np.sort(cosine)[::-1][:5], abs=1e-4
    )
    table = trained.item_table.to_pylist()
    for one in found:
        row = int(trained.items.rows([one["item_id"]])[0])
        same = table[row]["category"] == table[7]["category"]
        assert ("category" in one["shared"]) == same


def test_only_what_is_offered_is_named(recommender) -> None:
    trained = recommender.trained
    offered = np.zeros(len(trained.items), np.bool_)
    offered[[3, 7, 9]] = True
    found = nearest(trained, 7, 5, offered)
    assert {one["item_id"] for one in found} == set(trained.items.ids([3, 9]))
    assert [one["rank"] for one in found] == [1, 2]


def test_one_vector_an_item(recommender) -> None:
    trained = recommender.trained
    table = vector_table(trained)
    assert table["item_id"].to_pylist() == trained.items.values.to_pylist()
    assert table["events"].to_pylist() == trained.count_I.astype(int).tolist()
    np.testing.assert_allclose(
        np.array(table["vector"].to_pylist(), np.float32), item_vectors(trained).numpy()
    )
    kinds = [np.array(vector_table(trained, kind)["vector"].to_pylist()) for kind in
             ("joint", "identity", "content")]  # fmt: skip
    assert all(one.shape == (len(trained.items), 16) for one in kinds)
    assert not np.allclose(kinds[0], kinds[1])
    assert not np.allclose(kinds[1], kinds[2])


def test_a_kind_that_is_not_there_is_refused(recommender) -> None:
    with pytest.raises(ConfigError, match="it has: joint, identity, content"):
        vector_table(recommender.trained, "user")
