from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from quintet.data.features import FeatureTable
from quintet.errors import DataError
from quintet.memory.content import Content

from .logs import log

TITLES = ["red lamp", "red chair", "blue chair", "green soap", "soap lamp lamp", "Ärger 東京"]


def table(titles: list[str]) -> FeatureTable:
    return FeatureTable(n_rows=len(titles), texts={"title": titles})


def fitted(**settings) -> Content:
    return Content(Content.Config(**settings)).fit(log([0], n_items=6), table(TITLES))


def test_score_is_the_cosine_to_the_mean_of_the_history() -> None:
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(TITLES).toarray()
    scores = fitted().score(log([0, 2], [3], n_items=6))
    mean = (vectors[0] + vectors[2]) / 2
    expected = [vectors @ mean / np.linalg.norm(mean), vectors @ vectors[3]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_recent_items_weigh_more() -> None:
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(TITLES).toarray()
    scores = fitted(half_life=1.0).score(log([0, 2], n_items=6))
    mean = 0.5 * vectors[0] + vectors[2]
    np.testing.assert_allclose(scores[0], vectors @ mean / np.linalg.norm(mean), atol=1e-6)


def test_items_nobody_took_are_ranked() -> None:
    scores = fitted().score(log([3], n_items=6))
    assert scores[0].argsort()[::-1][:2].tolist() == [3, 4]  # soap


@pytest.mark.parametrize("restored", [False, True])
def test_an_item_added_later_is_ranked_at_once(restored: bool) -> None:
    memory = fitted()
    if restored:
        memory = Content().load_state(memory.state())
    before = memory.score(log([3], n_items=6))
    memory.add_items(table([*TITLES, "green lamp", "unheard words"]))
    scores = memory.score(log([3], n_items=8))
    np.testing.assert_array_equal(scores[:, :6], before)
    assert scores[0, 6] > 0
    assert memory.present().tolist() == [True] * 7 + [False]
    with pytest.raises(DataError, match="hand over all"):
        memory.add_items(table(TITLES))


def test_words_of_all_alphabets_come_back() -> None:
    memory = fitted()
    assert "東京" in memory._terms
    assert Content().load_state(memory.state())._terms == memory._terms


def test_the_most_frequent_term_is_kept() -> None:
    assert fitted(max_terms=1)._terms == ["lamp"]


def test_catalogues_without_words_are_refused() -> None:
    events = log([0, 1])
    with pytest.raises(DataError, match="got none"):
        Content().fit(events)
    with pytest.raises(DataError, match="got 6"):
        Content().fit(events, table(TITLES))
    with pytest.raises(DataError, match="no words"):
        Content().fit(events, table(["", ""]))
