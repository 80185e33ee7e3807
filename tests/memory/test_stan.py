from __future__ import annotations

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.memory.stan import Stan

from .logs import log, logs, strangers


def fitted(events, **settings) -> Stan:
    return Stan(Stan.Config(**settings)).fit(events)


def test_the_three_factors_by_hand() -> None:
    events = log([0, 1, 2], [3, 1])
    memory = fitted(events, age_scale=2.0, session_scale=0.5, gap_scale=4.0)
    scores = memory.score(strangers(log([0, 1], n_items=4)))
    first = (exp(-1 / 2) + 1) / (2 * 3) ** 0.5 * exp(-0.5 / 0.5)  # half of the sessions are newer
    second = 1 / (2 * 2) ** 0.5
    near = exp(-1 / 4)  # one event from item 1, the newest that is shared
    expected = [first * near, first + second, first * near, second * near]
    np.testing.assert_allclose(scores, [expected], rtol=1e-6)


def test_items_before_the_shared_one_can_count_less() -> None:
    memory = fitted(log([0, 1, 2]), gap_scale=1.0, backward=0.5)
    scores = memory.score(strangers(log([1], n_items=3)))
    whole = 1 / 3**0.5
    near = whole * exp(-1)
    np.testing.assert_allclose(scores, [[0.5 * near, whole, near]], rtol=1e-6)


def test_an_item_stands_where_it_came_last() -> None:
    memory = fitted(log([0, 1, 2, 0]), gap_scale=1.0)
    scores = memory.score(strangers(log([0], n_items=3)))
    whole = 1 / 3**0.5
    np.testing.assert_allclose(scores, [[whole, whole * exp(-2), whole * exp(-1)]], rtol=1e-6)


def test_recent_sessions_are_nearer() -> None:
    events = log([0, 1], [0, 2])
    plain = fitted(events).score(strangers(log([0], n_items=3)))
    recent = fitted(events, session_scale=0.5).score(strangers(log([0], n_items=3)))
    assert plain[0, 1] == plain[0, 2]
    assert recent[0, 1] == pytest.approx(plain[0, 1] * exp(-1), rel=1e-5)


def reference(events, history: list[int], c: Stan.Config) -> np.ndarray:
    """Session by session, as the paper tells it."""
    sessions = [events.users([user]).item.tolist() for user in range(events.n_users)]
    sessions = [session for session in sessions if session]
    newest_first = history[::-1][: c.last]
    age = {item: newest_first.index(item) for item in newest_first}
    found = []
    for recency, session in enumerate(sessions):
        shared = [item for item in age if item in session]
        if not shared:
            continue
        similarity = sum(exp(-age[i] / c.age_scale) for i in shared)
        similarity /= (len(newest_first) * len(set(session))) ** 0.5
        if c.session_scale is not None:
            newer = (len(sessions) - 1 - recency) / len(sessions)
            similarity *= exp(-newer / c.session_scale)
        found.append((round(similarity, 9), recency, min(shared, key=age.get)))
    scores = np.zeros(events.n_items)
    for similarity, recency, newest in sorted(found[-c.sample :], reverse=True)[: c.k]:
        session = sessions[recency]
        place = {item: index for index, item in enumerate(session)}
        for item, where in place.items():
            step = where - place[newest]
            weight = exp(-abs(step) / c.gap_scale) * (c.backward if step < 0 else 1)
            scores[item] += similarity * weight
    return scores


@settings(max_examples=120, deadline=None)
@given(
    logs(),
    logs(),
    st.fixed_dictionaries(
        {
            "k": st.just(5),
            "sample": st.integers(1, 5),
            "last": st.integers(1, 5),
            "age_scale": st.sampled_from([0.5, 3.0]),
            "session_scale": st.sampled_from([None, 0.7]),
            "gap_scale": st.sampled_from([0.5, 3.0]),
            "backward": st.sampled_from([0.0, 0.5, 1.0]),
        }
    ),
)
def test_all_at_once_equals_session_by_session(events, queries, chosen) -> None:
    memory = fitted(events, **chosen)
    batch = strangers(queries)
    scores = memory.score(batch)
    for row in range(queries.n_users):
        expected = reference(events, queries.users([row]).item.tolist(), memory.config)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-4, atol=1e-6)
        for item in range(events.n_items):
            parts = memory.explain(batch.users([row]), item)
            assert parts.sum() == pytest.approx(expected[item], rel=1e-4, abs=1e-5)


def test_only_the_k_nearest_count() -> None:
    events = log([0, 1], [0, 2, 3], [0, 4, 5, 6])
    scores = fitted(events, k=1).score(strangers(log([0], n_items=7)))
    assert np.flatnonzero(scores[0]).tolist() == [0, 1]  # the shortest is the most alike
