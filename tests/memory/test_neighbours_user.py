from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.memory.neighbours_user import UserCosine, UserPearson

from .logs import log, logs, strangers

NAN = float("nan")


def cosine(events, **settings) -> UserCosine:
    return UserCosine(UserCosine.Config(**{"shrinkage": 0.0, **settings})).fit(events)


def correlated(events, **settings) -> UserPearson:
    return UserPearson(UserPearson.Config(**{"shrinkage": 0.0, **settings})).fit(events)


PEOPLE = log([0, 1], [0, 1, 2], [2, 3], n_items=5)


def test_cosine_by_hand() -> None:
    scores = cosine(PEOPLE).score(strangers(log([0, 2], n_items=5)))
    near = np.array([1 / (2 * 2) ** 0.5, 2 / (2 * 3) ** 0.5, 1 / (2 * 2) ** 0.5])
    a, b, c = near / near.sum()
    np.testing.assert_allclose(scores, [[a + b, a + b, b + c, c, 0]], rtol=1e-6)
    shrunk = cosine(PEOPLE, shrinkage=3.0).score(strangers(log([3], n_items=5)))
    np.testing.assert_allclose(shrunk, [[0, 0, 1, 1, 0]], rtol=1e-6)  # one neighbour is all


def test_shrinkage_trusts_the_longer_overlap() -> None:
    events = log([0], [0, 1, 2, 3])
    plain = cosine(events).score(strangers(log([0, 1, 2], n_items=4)))
    shrunk = cosine(events, shrinkage=5.0).score(strangers(log([0, 1, 2], n_items=4)))
    a, b = 1 / 3**0.5, 3 / (3 * 4) ** 0.5
    assert plain[0, 3] == pytest.approx(b / (a + b))
    a, b = 1 / (3**0.5 + 5), 3 / (12**0.5 + 5)
    assert shrunk[0, 3] == pytest.approx(b / (a + b))


def test_only_the_k_nearest_count() -> None:
    scores = cosine(PEOPLE, k=1).score(strangers(log([0, 2], n_items=5)))
    assert scores.tolist() == [[1, 1, 1, 0, 0]]  # the second person's items


def test_a_known_user_is_no_neighbour_of_their_own() -> None:
    memory = cosine(PEOPLE)
    own = memory.score(PEOPLE.users([2]))
    assert own[0, 3] == 0  # nobody else took item 3
    assert memory.score(strangers(PEOPLE.users([2])))[0, 3] > 0


def test_recent_events_decide_who_is_near() -> None:
    events = log([0, 2], [1, 3])
    scores = cosine(events, half_life=1.0).score(strangers(log([0, 1], n_items=4)))
    np.testing.assert_allclose(scores, [[1 / 3, 2 / 3, 1 / 3, 2 / 3]], rtol=1e-6)


def test_rare_items_say_more_by_choice() -> None:
    events = log([0, 2], [1, 3], [1], [1], n_items=4)
    history = strangers(log([0, 1], n_items=4))
    plain, rare = cosine(events).score(history), cosine(events, idf_power=1.0).score(history)
    assert plain[0, 2] == pytest.approx(plain[0, 3])
    assert rare[0, 2] > rare[0, 3]
    i0, i1, i2 = np.log(1 + 4 / 1), np.log(1 + 4 / 3), np.log(1 + 4 / 1)
    mine = np.hypot(i0, i1)
    near = [
        i0**2 / (mine * np.hypot(i0, i2)),
        i1**2 / (mine * np.hypot(i1, i2)),
        i1**2 / (mine * i1),
        i1**2 / (mine * i1),
    ]
    assert rare[0, 2] == pytest.approx(near[0] / sum(near), rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(logs(), logs(), st.sampled_from([0.0, 3.0]), st.sampled_from([None, 2.0]))
def test_cosine_equals_pair_by_pair(events, queries, shrinkage, half_life) -> None:
    scores = cosine(events, shrinkage=shrinkage, half_life=half_life).score(strangers(queries))
    for row in range(queries.n_users):
        items = queries.users([row]).item[::-1].tolist()
        mine = {j: 0.5 ** (items.index(j) / half_life) if half_life else 1.0 for j in set(items)}
        total, expected = 0.0, np.zeros(events.n_items)
        for other in range(events.n_users):
            theirs = set(events.users([other]).item.tolist())
            dot = sum(weight for j, weight in mine.items() if j in theirs)
            length = sum(weight**2 for weight in mine.values()) ** 0.5 * len(theirs) ** 0.5
            near = dot / (length + shrinkage) if dot else 0.0
            total += near
            expected[list(theirs)] += near
        expected = expected / total if total else expected
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-6)


RATED = log([0, 1, 2, 3], [0, 1, 2, 4], values=[[1, 3, 5, 5], [5, 3, 1, 5]])


def test_pearson_finds_who_rates_alike() -> None:
    query = strangers(log([0, 1, 2], n_items=5, values=[[2, 3, 4]]))
    scores = correlated(RATED, liking=0.0).score(query)
    assert scores.tolist() == [[1, 1, 1, 1, 0]]  # the second person correlates negatively


def test_similarities_shrink_with_the_shared_items() -> None:
    events = log([0, 1, 2], [0, 1, 3], values=[[1, 2, 3], [1, 2, 5]])
    query = strangers(log([0, 1, 2], n_items=4, values=[[1, 2, 3]]))
    scores = correlated(events, liking=0.0, shrinkage=1.0).score(query)
    a, b = 1 * 3 / (3 + 1), 1 * 2 / (2 + 1)
    np.testing.assert_allclose(scores, [[1, 1, a / (a + b), b / (a + b)]], rtol=1e-5)


def test_a_neighbours_liked_item_counts_more() -> None:
    query = strangers(log([0, 1, 2], n_items=5, values=[[2, 3, 4]]))
    scores = correlated(RATED, liking=0.5).score(query)
    spread = ((RATED.value - 1) / 4).std()
    deviations = np.array([1 - 3.5, 3 - 3.5, 5 - 3.5, 5 - 3.5]) / 4 / spread
    np.testing.assert_allclose(scores[0, :4], 1 + 0.5 * deviations, rtol=1e-5)


def test_recent_ratings_weigh_more() -> None:
    events = log([0, 1, 2, 3], values=[[1, 5, 2, 4]])
    query = strangers(log([0, 1, 2], n_items=4, values=[[2, 3, 4]]))
    memory = correlated(events, half_life=1.0)
    x, y, w = np.array([2.0, 3, 4]), np.array([1.0, 5, 2]), np.array([0.25, 0.5, 1])
    dx, dy = x - w @ x / w.sum(), y - w @ y / w.sum()
    expected = (w * dx) @ dy / ((w * dx) @ dx * ((w * dy) @ dy)) ** 0.5
    similar = memory._similar(query).toarray()
    assert similar[0, 0] == pytest.approx(expected)


def test_a_history_with_fewer_than_two_values_is_compared_by_its_items() -> None:
    history = log([0, 1], [0, 1], n_items=5, values=[[NAN, NAN], [NAN, 4]])
    scores = correlated(RATED, liking=0.0).score(strangers(history))
    np.testing.assert_allclose(scores, [[1, 1, 1, 0.5, 0.5]] * 2)


def test_without_values_users_are_compared_by_centred_events() -> None:
    similar = correlated(PEOPLE)._similar(log([0, 2], n_items=5)).toarray()
    mine, dense = [1, 0, 1, 0, 0], [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 1, 1, 0]]
    expected = [np.corrcoef(mine, row)[0, 1] for row in dense]
    np.testing.assert_allclose(similar, [expected], rtol=1e-6)
