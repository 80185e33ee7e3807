from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.memory.neighbours_item import ItemCosine, ItemPearson

from .logs import log, logs

NAN = float("nan")


def cosine(events, **settings) -> ItemCosine:
    return ItemCosine(ItemCosine.Config(**{"shrinkage": 0.0, **settings})).fit(events)


def correlated(events, **settings) -> ItemPearson:
    return ItemPearson(ItemPearson.Config(**{"shrinkage": 0.0, **settings})).fit(events)


PEOPLE = log([0, 1], [0, 1], [0, 2], [2], n_items=3)


def test_cosine_by_hand() -> None:
    scores = cosine(PEOPLE).score(log([0], [1, 2], n_items=3))
    # item 0: people 0 1 2; item 1: people 0 1; item 2: people 2 3
    s01, s02 = 2 / (3 * 2) ** 0.5, 1 / (3 * 2) ** 0.5
    np.testing.assert_allclose(scores, [[0, s01, s02], [s01 + s02, 0, 0]], rtol=1e-6)
    shrunk = cosine(PEOPLE, shrinkage=4.0).score(log([1], n_items=3))
    np.testing.assert_allclose(shrunk, [[2 / (6**0.5 + 4), 0, 0]], rtol=1e-6)


def test_each_item_keeps_its_k_nearest() -> None:
    scores = cosine(PEOPLE, k=1).score(log([1], [2], n_items=3))
    assert scores[0, 0] > 0  # item 1 is the nearest of item 0
    assert scores[1, 0] == 0  # item 2 is not


def test_older_events_weigh_less_and_repeats_count_once() -> None:
    halved = cosine(PEOPLE, half_life=1.0).score(log([1, 2], n_items=3))
    np.testing.assert_allclose(halved, [[0.5 * 2 / 6**0.5 + 1 / 6**0.5, 0, 0]], rtol=1e-6)
    repeated = cosine(PEOPLE).score(log([1, 1, 2], [1, 2], n_items=3))
    np.testing.assert_allclose(repeated[0], repeated[1])


def test_counts_make_repeats_count() -> None:
    events = log([0, 0, 1], [0], [1], n_items=2)
    scores = cosine(events, weighting="count").score(log([1, 1], n_items=2))
    similar = 2 * 1 / (5**0.5 * 2**0.5)
    np.testing.assert_allclose(scores, [[2 * similar, 0]], rtol=1e-6)


def test_tfidf_listens_to_people_of_few_items() -> None:
    events = log([0, 1], [0, 2, 3, 4], [1], [2], n_items=5)
    idf = np.log(1 + (5 - np.array([2, 4, 1, 1]) + 0.5) / (np.array([2, 4, 1, 1]) + 0.5))
    scores = cosine(events, weighting="tfidf").score(log([0], n_items=5))
    norm_0, norm_1 = np.hypot(idf[0], idf[1]), np.hypot(idf[0], idf[2])
    assert scores[0, 1] == pytest.approx(idf[0] ** 2 / (norm_0 * norm_1), rel=1e-5)
    assert scores[0, 1] > scores[0, 2]


def test_bm25_by_hand() -> None:
    events = log([0, 0, 1], [1], n_items=2)
    memory = cosine(events, weighting="bm25", bm25_k1=1.0, bm25_b=0.5)
    idf = np.log(1 + (2 - np.array([2, 1]) + 0.5) / (np.array([2, 1]) + 0.5))
    length = 1.0 * (1 - 0.5 + 0.5 * 2 / 2)  # both items have 2 events, the mean
    first = idf[0] * 2 * 2 / (2 + length)
    second = [idf[0] * 1 * 2 / (1 + length), idf[1] * 1 * 2 / (1 + length)]
    expected = first * second[0] / (first * np.hypot(*second))
    assert memory.score(log([0], n_items=2))[0, 1] == pytest.approx(expected, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(logs(), st.sampled_from([0.0, 3.0]), st.sampled_from([None, 2.0]))
def test_cosine_equals_pair_by_pair(events, shrinkage, half_life) -> None:
    scores = cosine(events, shrinkage=shrinkage, half_life=half_life).score(events)
    people = [
        {u for u in range(events.n_users) if i in events.users([u]).item}
        for i in range(events.n_items)
    ]
    for user in range(events.n_users):
        items = events.users([user]).item[::-1].tolist()
        for i in range(events.n_items):
            expected = 0.0
            for j in set(items) - {i}:
                weight = 1.0 if half_life is None else 0.5 ** (items.index(j) / half_life)
                size = (len(people[i]) * len(people[j])) ** 0.5
                both = len(people[i] & people[j])
                expected += weight * both / (size + shrinkage) if both else 0.0
            assert scores[user, i] == pytest.approx(expected, rel=1e-5, abs=1e-6)


RATED = log(
    [0, 1, 2],
    [0, 1, 2],
    [0, 1, 2],
    [0, 1],
    values=[[1, 2, 5], [3, 3, 4], [5, 5, 1], [4, 1]],
)


def test_pearson_is_over_the_people_who_rated_both() -> None:
    scores = correlated(RATED, liking=0.0).score(log([0], n_items=3))
    s01 = np.corrcoef([1, 3, 5, 4], [2, 3, 5, 1])[0, 1]
    assert np.corrcoef([1, 3, 5], [5, 4, 1])[0, 1] < 0  # 0 and 2 are no neighbours
    np.testing.assert_allclose(scores, [[0, s01, 0]], rtol=1e-5)
    shrunk = correlated(RATED, liking=0.0, shrinkage=12.0).score(log([0], n_items=3))
    np.testing.assert_allclose(shrunk, [[0, s01 * 4 / (4 + 12), 0]], rtol=1e-5)


def test_a_liked_event_weighs_more_than_a_disliked_one() -> None:
    memory = correlated(RATED, liking=0.5)
    squashed = (RATED.value - 1) / 4
    spread = squashed.std()
    history = log([0, 2], [0, 2], [0, 2], n_items=3, values=[[5, 1], [1, 5], [NAN, NAN]])
    scores = memory.score(history)[:, 1]
    s01 = np.corrcoef([1, 3, 5, 4], [2, 3, 5, 1])[0, 1]
    deviation = 0.5 / spread
    expected = [s01 * (1 + 0.5 * deviation), s01 * (1 - 0.5 * deviation), s01]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_without_values_pearson_centres_the_events() -> None:
    scores = correlated(PEOPLE).score(log([0], n_items=3))
    s01 = np.corrcoef([1, 1, 1, 0], [1, 1, 0, 0])[0, 1]
    assert np.corrcoef([1, 1, 1, 0], [0, 0, 1, 1])[0, 1] < 0
    np.testing.assert_allclose(scores, [[0, s01, 0]], rtol=1e-5)
