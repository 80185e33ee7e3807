"""What is counted at every state, against slow loops and by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.features import CategoryColumn
from quintet.data.interactions import Interactions
from quintet.data.states import (
    Moments,
    decayed_sums,
    interest_shares,
    last_state,
    next_window_shares,
    seen_before,
    state_before,
    state_lengths,
)

from .logs import logs


def histories(*items: list[int], n_items: int = 4) -> Interactions:
    user = np.repeat(np.arange(len(items)), [len(own) for own in items])
    item = np.array([i for own in items for i in own], np.int64)
    return Interactions.build(user, item, n_users=len(items), n_items=n_items)


@settings(max_examples=50, deadline=None)
@given(events=logs())
def test_states_are_numbered_by_user_then_length(events: Interactions) -> None:
    expected = [s for n in events.lengths for s in range(n + 1)]
    assert state_lengths(events).tolist() == expected
    both = np.concatenate([state_before(events), last_state(events)])
    assert sorted(both) == list(range(len(events) + events.n_users))


@settings(max_examples=60, deadline=None)
@given(
    events=logs(),
    decay=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    columns=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_decayed_sums_equal_a_slow_loop(
    events: Interactions, decay: float, columns: int, seed: int
) -> None:
    value = np.random.default_rng(seed).random((len(events), columns)).astype(np.float32)
    expected = []
    for user in range(events.n_users):
        first = events.offsets[user]
        for s in range(events.lengths[user] + 1):
            terms = [decay ** (s - 1 - e) * value[first + e] for e in range(s)]
            expected.append(np.sum(terms, axis=0) if terms else np.zeros(columns))
    np.testing.assert_allclose(decayed_sums(events, value, decay), expected, rtol=1e-5, atol=1e-6)


def test_decayed_sums_by_hand() -> None:
    value = np.array([[1], [2], [4], [7]], np.float32)
    got = decayed_sums(histories([0, 1, 2], [], [3]), value, 0.5)
    assert got[:, 0].tolist() == [0, 1, 0.5 + 2, 0.25 + 1 + 4, 0, 0, 7]


def test_next_window_shares_by_hand() -> None:
    share = np.array([[1, 0], [0.5, 0.5], [0, 1], [0, 0]], np.float32)
    got = next_window_shares(histories([0, 1, 2], [], [3]), share, window=2)
    expected = [
        [0.75, 0.25],  # events 0 and 1
        [0.25, 0.75],  # events 1 and 2
        [0, 1],  # event 2 alone
        [0, 0],  # none follow
        [0, 0],  # an empty history
        [0, 0],  # the event that follows has no category
        [0, 0],
    ]
    np.testing.assert_allclose(got, expected)


@settings(max_examples=40, deadline=None)
@given(events=logs(), window=st.integers(1, 5))
def test_next_window_shares_equal_a_slow_loop(events: Interactions, window: int) -> None:
    share = np.random.default_rng(0).dirichlet([1, 1, 1], len(events)).astype(np.float32)
    expected = []
    for user in range(events.n_users):
        first, stop = events.offsets[user], events.offsets[user + 1]
        for s in range(events.lengths[user] + 1):
            following = share[first + s : min(first + s + window, stop)]
            expected.append(following.mean(0) if len(following) else np.zeros(3))
    got = next_window_shares(events, share, window)
    np.testing.assert_allclose(got, np.reshape(expected, (-1, 3)), rtol=1e-4, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(events=logs())
def test_seen_before_equals_a_slow_loop(events: Interactions) -> None:
    met: set[tuple[int, int]] = set()
    for row, (user, item, seen) in enumerate(
        zip(events.user, events.item, seen_before(events), strict=True)
    ):
        assert seen == ((user, item) in met), row
        met.add((user, item))


def test_seen_before_looks_at_one_history() -> None:
    assert seen_before(histories([1, 2, 1], [2, 2])).tolist() == [False, False, True, False, True]


def test_interest_shares() -> None:
    column = CategoryColumn(np.array([0, 1, 3, 3, 4]), np.array([0, 0, 1, 1]), ["a", "b"])
    shares = interest_shares(histories([0, 1, 2, 3]), column)
    assert shares.tolist() == [[1, 0], [0.5, 0.5], [0, 0], [0, 1]]


def test_moments() -> None:
    events = histories([0, 1, 2], [], [3])
    newest = Moments.newest(events)
    assert newest.state.tolist() == last_state(events).tolist() == [3, 4, 6]
    before = Moments.before(events, np.arange(4))
    assert before.state.tolist() == state_before(events).tolist() == [0, 1, 2, 5]
    assert len(newest) == 3
