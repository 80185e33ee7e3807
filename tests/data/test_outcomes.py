"""What became of an event, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.interactions import MICROSECONDS_PER_DAY, Interactions
from quintet.data.outcomes import (
    BehaviourRules,
    implied,
    item_histogram,
    level_index,
    one_hot,
    reached,
)

from .logs import logs

VIEW, CART, BUY, HIDE = range(4)
NAMES = ["view", "cart", "buy", "hide"]
CLOSURE = implied(NAMES, {"buy": ["cart"], "cart": ["view"]})


def days(n: float) -> np.ndarray:
    """The same horizon for all four behaviours."""
    return np.full(4, int(n * MICROSECONDS_PER_DAY))


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
    got = reached(events, CLOSURE, days(30))
    assert got.tolist() == [
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 0, 0, 0],
    ]
    longer = reached(events, CLOSURE, days(31))
    assert longer[2].tolist() == [1, 1, 1, 0]
    assert longer[0].tolist() == [1, 1, 0, 0]


def test_the_next_showing_counts_even_when_a_nearer_one_is_of_another_kind() -> None:
    events = log([(0, 1, VIEW, 0), (0, 1, HIDE, 1), (0, 1, VIEW, 2), (0, 1, BUY, 3)])
    assert reached(events, CLOSURE, days(30))[0].tolist() == [1, 1, 1, 1]
    assert reached(events, CLOSURE, days(1))[0].tolist() == [1, 0, 0, 1]


def test_without_times_the_whole_later_history_counts() -> None:
    events = log([(0, 1, VIEW, 0), (0, 2, VIEW, 0), (0, 1, BUY, 0)], timeless=True)
    assert reached(events, CLOSURE, days(1)).tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]]


@settings(max_examples=60, deadline=None)
@given(events=logs(), length=st.floats(0, 1e-9), seed=st.integers(0, 99))
def test_reached_equals_a_slow_loop(events: Interactions, length: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events.behaviour[:] = rng.integers(0, 4, len(events))
    horizon = int(length * MICROSECONDS_PER_DAY)
    days_B = np.full(4, horizon)
    expected = np.zeros((len(events), 4))
    for e in range(len(events)):
        for later in range(e, len(events)):
            same = events.user[later] == events.user[e] and events.item[later] == events.item[e]
            if same and events.time[later] <= events.time[e] + horizon:
                expected[e] = np.maximum(expected[e], CLOSURE[events.behaviour[later]])
    np.testing.assert_array_equal(reached(events, CLOSURE, days_B), expected)


def test_level_index() -> None:
    value = np.array([1, 2.4, 2.5, 9, np.nan], np.float32)
    assert level_index(value, np.array([1.5, 2.5], np.float32)).tolist() == [0, 1, 2, 2, -1]


def test_one_hot() -> None:
    got = one_hot(np.array([1, -1, 0]), 2)
    assert got.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert one_hot(np.array([0, -1]), 0).shape == (2, 0)


def test_item_histogram() -> None:
    value = np.array([[1, 0.5], [2, 0], [4, 1]], np.float32)
    got = item_histogram(np.array([2, 0, 2]), value, n_items=4)
    assert got.tolist() == [[2, 0], [0, 0], [5, 1.5], [0, 0]]
    assert item_histogram(np.array([2, 0, 2]), value[:, :0], 4).shape == (4, 0)


RULES = BehaviourRules(
    NAMES, {"buy": ["cart"], "cart": ["view"]}, {"hide": -1.0}, {"buy": 30.0, "cart": 40.0}
)


def test_parents_are_the_nearest_that_are_implied() -> None:
    assert RULES.parents == [[], [VIEW], [CART], []]
    wide = BehaviourRules(["a", "b", "c"], {"c": ["a", "b"]})
    assert wide.parents == [[], [], [0, 1]]
    assert RULES.order.index(VIEW) < RULES.order.index(CART) < RULES.order.index(BUY)


def test_a_behaviour_is_looked_for_as_long_as_what_implies_it() -> None:
    got = RULES.horizons(7.0) / MICROSECONDS_PER_DAY
    # a view has no horizon of its own: as long as the cart, which is longer than the usual week
    assert got.tolist() == [40, 40, 30, 7]


def test_episodes_open_with_a_look() -> None:
    events = log(
        [
            (0, 1, VIEW, 0),
            (0, 1, CART, 1),
            (0, 2, BUY, 2),  # never looked at: this opens an episode of its own
            (0, 1, VIEW, 3),  # again
            (0, 1, BUY, 4),
            (1, 1, HIDE, 0),
        ]
    )
    assert RULES.opens(events).tolist() == [True, False, True, True, False, True]
    assert RULES.targets(events).tolist() == [True, False, True, True, False, False]
    assert RULES.newly_shown(events).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 0, 0, 0],
        [0, 1, 1, 0],  # the cart of the first episode does not count in the second
        [0, 0, 0, 1],
    ]
    sums = RULES.episode_sums(events, RULES.newly_shown(events))
    assert sums[0].tolist() == sums[1].tolist() == [1, 1, 0, 0]
    assert sums[3].tolist() == sums[4].tolist() == [1, 1, 1, 0]


def test_a_target_weighs_as_the_weightiest_that_it_reached() -> None:
    events = log(
        [
            (0, 1, VIEW, 0),  # ends in a purchase
            (0, 1, CART, 1),
            (0, 1, BUY, 2),
            (0, 2, VIEW, 3),
            (0, 3, VIEW, 4),  # its purchase comes too late
            (0, 3, BUY, 90),
        ]
    )
    rules = replace(RULES, weight={"view": 0.5, "cart": 0.25, "buy": 3.0})
    weights = rules.weights(events, 30.0)
    assert weights is not None
    assert weights.tolist() == [3, 3, 3, 0.5, 0.5, 3]
    assert RULES.weights(events, 30.0) is None
    assert replace(RULES, weight=dict.fromkeys(NAMES, 2.0)).weights(events, 30.0) is None


def test_without_implications_every_event_is_an_episode() -> None:
    plain = BehaviourRules(["view", "like"])
    events = log([(0, 1, 0, 0), (0, 1, 1, 1), (0, 1, 0, 2)])
    assert plain.opens(events).all()
    assert plain.targets(events).all()
    assert plain.newly_shown(events).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_where_nothing_is_liked_everything_is_a_target() -> None:
    sour = BehaviourRules(["hide"], {}, {"hide": -1.0})
    assert sour.targets(log([(0, 1, 0, 0), (0, 2, 0, 1)])).all()


@settings(max_examples=60, deadline=None)
@given(events=logs(), seed=st.integers(0, 99))
def test_newly_shown_adds_up_to_what_an_episode_shows(events: Interactions, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events.behaviour[:] = rng.integers(0, 4, len(events))
    newly_EB, opens = RULES.newly_shown(events), RULES.opens(events)
    sums = RULES.episode_sums(events, newly_EB)
    assert sums.max(initial=0) <= 1  # nothing is new twice
    assert (newly_EB[opens] == RULES.closure[events.behaviour[opens]]).all()
    assert (sums[:, VIEW] + sums[:, HIDE] >= 1).all()


def test_the_rating_of_a_look_comes_later() -> None:
    rows = [(0, 1, VIEW, 0), (0, 1, CART, 2), (0, 2, VIEW, 3)]
    events = log(rows)
    events.value[1] = 4.0
    assert RULES.later_value(events, 30)[:2].tolist() == [4, 4]
    assert np.isnan(RULES.later_value(events, 1)[0])
    assert np.isnan(RULES.later_value(events, 30)[2])
