"""Propagation over the graph: by hand, against matrices, and through friendships."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.data.interactions import Interactions
from quintet.memory.graph import Graph

from .logs import log, random_log, strangers

EVENTS = random_log()


def graph(events: Interactions = EVENTS, friends: list[list[int]] | None = None, **settings):
    """With every direction of a small log, and degrees as in the graph itself."""
    memory = Graph(Graph.Config(**{"dimensions": 256, "popularity": 0.5, **settings}))
    return memory.relate(np.array(friends or [], np.int64).reshape(-1, 2)).fit(events)


def test_one_double_hop_by_hand() -> None:
    # users: {0, 1}, {1, 2}; degrees of items 1, 2, 1, of users 2, 2
    events = log([0, 1], [1, 2], [], [], n_items=5)
    # X~ = [[1/√2, 1/2, 0], [0, 1/2, 1/√2]] has the singular values 1 and 1/√2:
    # X~ᵀX~ has the eigenvectors (1, √2, 1)/2 at 1 and (1, 0, -1)/√2 at 1/2
    first, second = np.array([1, 2**0.5, 1]) / 2, np.array([1, 0, -1]) / 2**0.5
    for layers, gain in ((0, 1.0), (1, (1 + 1 / 2) / 2), (2, (1 + 1 / 2 + 1 / 4) / 3)):
        kernel = np.outer(first, first) + gain * np.outer(second, second)
        # the history {0} enters by 1/√1, and leaves by the root of an item's degree
        expected = kernel[0] * np.array([1, 2**0.5, 1])
        scores = graph(events, layers=layers).score(log([0], n_items=5))[0, :3]
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_all_directions_are_the_polynomial_of_the_graph() -> None:
    seen = np.zeros((EVENTS.n_users, EVENTS.n_items))
    seen[EVENTS.group(), EVENTS.item] = 1
    degree_U, degree_I = seen.sum(1), seen.sum(0)
    root_U, root_I = np.sqrt(np.maximum(degree_U, 1)), np.sqrt(np.maximum(degree_I, 1))
    walk = (seen / root_U[:, None] / root_I).T @ (seen / root_U[:, None] / root_I)
    support = np.diag((degree_I > 0).astype(float))  # all of it, as there are more users than items
    kernel = (support + walk + walk @ walk) / 3
    expected = (seen / root_I) @ kernel * np.sqrt(degree_I)
    np.testing.assert_allclose(graph(layers=2).score(EVENTS), expected, rtol=1e-4, atol=1e-4)


def test_more_hops_reach_items_further_away() -> None:
    # a chain: 0-1, 1-2, 2-3; nobody met 0 and 3 together
    chain = log([0, 1], [1, 2], [2, 3], [3], [], [], n_items=6)
    near, far = (graph(chain, layers=n).score(log([0], n_items=6))[0, 3] for n in (0, 4))
    assert near == pytest.approx(0, abs=1e-6)
    assert far > 0.01


def test_recent_events_count_more() -> None:
    events = log([0, 1], [2, 3], [0, 1, 2, 3])
    scores = graph(events, half_life=0.5).score(log([0, 2], n_items=4))[0]
    assert scores[3] > scores[1]


# ---------------------------------------------------------------- friends


def test_friends_add_their_mean_history() -> None:
    plain, social = graph(), graph(friends=[[3, 4], [5, 3]])
    own = plain.score(EVENTS)
    expected = own.copy()
    for person, added in ((3, (own[4] + own[5]) / 2), (4, own[3]), (5, own[3])):
        expected[person] += social.config.friends * added
    np.testing.assert_allclose(social.score(EVENTS), expected, rtol=1e-4, atol=1e-5)


def test_someone_without_events_is_known_by_friends() -> None:
    assert EVENTS.lengths[0] == 0
    scores = graph(friends=[[0, 4]]).score(EVENTS)
    np.testing.assert_allclose(scores[0], 0.3 * graph().score(EVENTS)[4], rtol=1e-4, atol=1e-6)


def test_strangers_have_no_friends() -> None:
    friends = [[3, 4]]
    np.testing.assert_array_equal(
        graph(friends=friends).score(strangers(EVENTS)), graph().score(strangers(EVENTS))
    )


def test_a_friendship_told_twice_or_both_ways_counts_once() -> None:
    once, often = graph(friends=[[3, 4]]), graph(friends=[[3, 4], [4, 3], [3, 4]])
    np.testing.assert_array_equal(once.score(EVENTS), often.score(EVENTS))


def test_friends_survive_in_the_bundle() -> None:
    memory = graph(friends=[[0, 4], [3, 7]])
    again = Graph(memory.config).load_state(memory.state())
    np.testing.assert_array_equal(again.score(EVENTS), memory.score(EVENTS))


def test_what_friends_told_is_no_event_of_ones_own() -> None:
    memory = graph(friends=[[4, 3]])
    assert memory.explain(EVENTS.users([4]), 1) is None
    assert memory.explain(EVENTS.users([5]), 1) is not None


def test_who_counts_anew_keeps_friendships_but_those_of_people_who_have_gone() -> None:
    social = graph(friends=[[3, 4], [5, 3]])
    kept = Graph(social.config).load_state(dict(social.state())).fresh().fit(EVENTS)
    np.testing.assert_array_equal(kept.state()["friends"], social.state()["friends"])
    rows = np.arange(EVENTS.n_users)
    rows[4] = -1
    fewer = social.fresh(rows)
    assert fewer._edges_F2.tolist() == [[5, 3]]
    assert "edges" not in graph().state()
