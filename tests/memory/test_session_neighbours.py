from __future__ import annotations

from math import log as ln
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.memory.session_neighbours import CHOICES, SessionNeighbours

from .logs import log, logs, strangers

SESSIONS = log([0, 1], [0, 2], [3, 4], n_items=6)


def fitted(events, **settings) -> SessionNeighbours:
    return SessionNeighbours(SessionNeighbours.Config(**settings)).fit(events)


def test_linear_decays_by_hand() -> None:
    scores = fitted(log([0, 1], [2, 3], [0, 2, 4])).score(strangers(log([0, 2], n_items=5)))
    # the history's events weigh 1/2 and 2/2; a neighbour counts by its newest shared item
    first, second, third = (1 / 2) * (1 / 2), 1 * 1, (1 / 2 + 1) * 1
    assert scores.tolist() == [[first + third, first, second + third, second, third]]


def test_without_decay_a_neighbour_counts_what_it_shares() -> None:
    memory = fitted(log([0, 1], [0, 2, 1]), decay="none", score_decay="none")
    assert memory.score(strangers(log([0, 2], n_items=3))).tolist() == [[1 + 2, 1 + 2, 2]]


def test_rarer_items_are_preferred_by_choice() -> None:
    scores = fitted(log([0, 1], [0, 2], [2], [2]), idf=2.0).score(strangers(log([0], n_items=3)))
    expected = [2 * (1 + 2 * ln(4 / 2)), 1 + 2 * ln(4 / 1), 1 + 2 * ln(4 / 3)]
    np.testing.assert_allclose(scores, [expected], rtol=1e-6)


def test_only_the_most_recent_sessions_are_compared() -> None:
    events = log([0, 5], [0, 1], [0, 2], [0, 3])
    scores = fitted(events, sample=2).score(strangers(log([0], n_items=6)))
    assert scores.tolist() == [[2, 0, 1, 1, 0, 0]]


def test_of_equally_similar_sessions_the_most_recent_are_near() -> None:
    events = log([0, 1, 2], [0, 3], [0, 4], [0, 5])
    assert fitted(events, k=1).score(strangers(log([0], n_items=6))).tolist() == [
        [1, 0, 0, 0, 0, 1]
    ]
    two = fitted(events, k=2, decay="none").score(strangers(log([1, 0], n_items=6)))
    assert two.tolist() == [[2 + 1, 2, 2, 0, 0, 1]]


def test_sessions_are_as_recent_as_their_last_event() -> None:
    from quintet.data.interactions import Interactions

    events = Interactions.build(
        np.array([0, 0, 1, 1]),
        np.array([0, 1, 0, 2]),
        n_users=2,
        n_items=3,
        time=np.array([5, 9, 6, 7]),
    )
    assert fitted(events, k=1).score(strangers(log([0], n_items=3))).tolist() == [[1, 1, 0]]


def test_a_known_user_is_no_neighbour_of_their_own() -> None:
    memory = fitted(SESSIONS)
    assert memory.score(SESSIONS.users([2])).tolist() == [[0] * 6]
    assert memory.score(strangers(SESSIONS.users([2])))[0, 3] > 0
    assert memory.score(SESSIONS.users([0]))[0].tolist() == [0.25, 0, 0.25, 0, 0, 0]


def test_older_events_are_not_used() -> None:
    memory = fitted(SESSIONS, last=1)
    scores = memory.score(strangers(log([3, 0], n_items=6)))
    assert scores.tolist() == memory.score(strangers(log([0], n_items=6))).tolist()


WEIGHTS = {
    "linear": lambda age, length: (length - age) / length,
    "harmonic": lambda age, length: 1 / (age + 1),
    "quadratic": lambda age, length: 1 / (age + 1) ** 2,
    "logarithmic": lambda age, length: 1 / log2(age + 2),
    "none": lambda age, length: 1.0,
}


def reference(events, history: list[int], c: SessionNeighbours.Config) -> np.ndarray:
    """Session by session, as the paper tells it."""
    sessions = [events.users([user]).item.tolist() for user in range(events.n_users)]
    sessions = [set(session) for session in sessions if session]
    newest_first = history[::-1][: c.last]
    age = {item: newest_first.index(item) for item in newest_first}
    found = []
    for recency, session in enumerate(sessions):
        shared = [item for item in age if item in session]
        if shared:
            similarity = sum(WEIGHTS[c.decay](age[i], len(newest_first)) for i in shared)
            weight = WEIGHTS[c.score_decay](min(age[i] for i in shared), len(newest_first))
            found.append((similarity, recency, weight))
    found = found[-c.sample :]
    near = sorted(found, reverse=True)[: c.k]
    scores = np.zeros(events.n_items)
    for similarity, recency, weight in near:
        for item in sessions[recency]:
            holders = sum(item in session for session in sessions)
            scores[item] += similarity * weight * (1 + c.idf * ln(len(sessions) / holders))
    return scores


@settings(max_examples=120, deadline=None)
@given(
    logs(),
    logs(),
    st.fixed_dictionaries(
        {
            "k": st.integers(1, 4),
            "sample": st.integers(1, 4),
            "last": st.integers(1, 5),
            "idf": st.sampled_from([0.0, 1.5]),
            "decay": st.sampled_from(CHOICES),
            "score_decay": st.sampled_from(CHOICES),
        }
    ),
)
def test_all_at_once_equals_session_by_session(events, queries, chosen) -> None:
    memory = fitted(events, **chosen)
    batch = strangers(queries)
    scores = memory.score(batch)
    for row in range(queries.n_users):
        expected = reference(events, queries.users([row]).item.tolist(), memory.config)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-6)
        for item in range(events.n_items):
            parts = memory.explain(batch.users([row]), item)
            assert parts.sum() == pytest.approx(expected[item], rel=1e-4, abs=1e-5)


def test_a_part_is_what_the_event_shares() -> None:
    memory = fitted(log([0, 1], [2, 1]), decay="none", score_decay="none")
    parts = memory.explain(strangers(log([3, 0, 2], n_items=4)), 1)
    assert parts.tolist() == [0, 1, 1]
