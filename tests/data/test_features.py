"""Attributes as arrays: the multi-hot matrix and the joined text."""

import numpy as np

from quintet.data.features import CategoryColumn, FeatureTable

GENRES = CategoryColumn(
    offsets=np.array([0, 2, 2, 3]), codes=np.array([1, 0, 2]), names=["rock", "pop", "jazz"]
)


def test_counts_is_multi_hot() -> None:
    expected = [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert GENRES.counts().tolist() == expected
    assert GENRES.counts().dtype == np.float32


def test_joined_text_takes_texts_then_categories() -> None:
    table = FeatureTable(
        n_rows=3,
        categories={"genre": GENRES},
        texts={"title": ["One", "", "Three"], "blurb": ["", "", "about three"]},
    )
    assert table.joined_text().tolist() == ["One pop rock", "", "Three about three jazz"]


def test_a_table_without_columns_has_empty_text() -> None:
    assert FeatureTable(n_rows=2).joined_text().tolist() == ["", ""]
