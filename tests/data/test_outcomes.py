"""What became of an event, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.interactions import MICROSECONDS_PER_DAY, Interactions
from quintet.data.outcomes import implied, item_histogram, level_index, one_hot, reached

from .logs import logs

VIEW, CART, BUY, HIDE = range(4)
NAMES = ["view", "cart", "buy", "hide"]
CLOSURE = implied(NAMES, {"buy": ["cart"], "cart": ["view"]})


def log(rows: list[tuple[int, int, int, float]], *, timeless: bool = False) -> Interactions:
    """Rows of (user, item, behaviour, day)."""
    user, item, behaviour, day = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions.build(
        user,
        item,
        n_users=int(user.max()) + 1,
        n_items=3,
        time=None if timeless else (day * MICROSECONDS_PER_DAY).astype(np.int64),
        behaviour=behaviour,
        keep_order=True,
    )


def test_implied_follows_chains() -> None:
    assert CLOSURE.tolist() == [
        [1, 0, 0, 0],  # view
        [1, 1, 0, 0],  # cart implies view
        [1, 1, 1, 0],  # buy implies cart, and so view
        [0, 0, 0, 1],  # hide
    ]


def test_implied_takes_long_chains_circles_and_strangers() -> None:
    names = [f"b{k}" for k in range(9)]
    chain = implied(names, {f"b{k}": [f"b{k + 1}"] for k in range(8)})
    np.testing.assert_array_equal(chain, np.triu(np.ones((9, 9))))
    circle = implied(["a", "b"], {"a": ["b"], "b": ["a"]})
    np.testing.assert_array_equal(circle, np.ones((2, 2)))
    np.testing.assert_array_equal(implied(["a"], {"a": ["gone"], "gone": ["a"]}), np.eye(1))


def test_reached_within_the_horizon() -> None:
    events = log(
        [
            (0, 1, VIEW, 0),
            (0, 2, VIEW, 1),  # another item
            (0, 1, CART, 30),  # just in time
            (0, 1, BUY, 60.5),  # 30.5 days after the cart
            (1, 1, VIEW, 2),  # another user
        ]
    )
    got = reached(events, CLOSURE, horizon_days=30)
    assert got.tolist() == [
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 0, 0, 0],
    ]
    longer = reached(events, CLOSURE, horizon_days=31)
    assert longer[2].tolist() == [1, 1, 1, 0]
    assert longer[0].tolist() == [1, 1, 0, 0]


def test_the_next_showing_counts_even_when_a_nearer_one_is_of_another_kind() -> None:
    events = log([(0, 1, VIEW, 0), (0, 1, HIDE, 1), (0, 1, VIEW, 2), (0, 1, BUY, 3)])
    assert reached(events, CLOSURE, 30)[0].tolist() == [1, 1, 1, 1]
    assert reached(events, CLOSURE, 1)[0].tolist() == [1, 0, 0, 1]


def test_without_times_the_whole_later_history_counts() -> None:
    events = log([(0, 1, VIEW, 0), (0, 2, VIEW, 0), (0, 1, BUY, 0)], timeless=True)
    assert reached(events, CLOSURE, 1).tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]]


@settings(max_examples=60, deadline=None)
@given(events=logs(), days=st.floats(0, 1e-9), seed=st.integers(0, 99))
def test_reached_equals_a_slow_loop(events: Interactions, days: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events.behaviour[:] = rng.integers(0, 4, len(events))
    horizon = int(days * MICROSECONDS_PER_DAY)
    expected = np.zeros((len(events), 4))
    for e in range(len(events)):
        for later in range(e, len(events)):
            same = events.user[later] == events.user[e] and events.item[later] == events.item[e]
            if same and events.time[later] <= events.time[e] + horizon:
                expected[e] = np.maximum(expected[e], CLOSURE[events.behaviour[later]])
    np.testing.assert_array_equal(reached(events, CLOSURE, days), expected)


def test_level_index() -> None:
    events = Interactions.build(
        np.zeros(5, np.int64),
        np.zeros(5, np.int64),
        n_users=1,
        n_items=1,
        value=np.array([1, 2.4, 2.5, 9, np.nan], np.float32),
    )
    assert level_index(events, np.array([1.5, 2.5], np.float32)).tolist() == [0, 1, 2, 2, -1]


def test_one_hot() -> None:
    got = one_hot(np.array([1, -1, 0]), 2)
    assert got.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert one_hot(np.array([0, -1]), 0).shape == (2, 0)


def test_item_histogram() -> None:
    value = np.array([[1, 0.5], [2, 0], [4, 1]], np.float32)
    got = item_histogram(np.array([2, 0, 2]), value, n_items=4)
    assert got.tolist() == [[2, 0], [0, 0], [5, 1.5], [0, 0]]
    assert item_histogram(np.array([2, 0, 2]), value[:, :0], 4).shape == (4, 0)
