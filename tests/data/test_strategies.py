"""Each of the five labels on a log written for it; own counts left out; ids without meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quintet.data.features import CategoryColumn
from quintet.data.interactions import MICROSECONDS_PER_DAY, Interactions
from quintet.data.strategies import (
    COMPLEMENT,
    DEEPEN,
    EXPLORE,
    REPURCHASE,
    TRENDING,
    StrategyConfig,
    StrategyLabeller,
)

from .logs import random_log

# items 0-3 are lamps, 4-7 chairs
KINDS = CategoryColumn(np.arange(9), np.array([0] * 4 + [1] * 4), ["lamp", "chair"])


def log(*histories: list[int], days: list[list[float]] | None = None) -> Interactions:
    """One user a list of item rows; times in days, or none."""
    user = np.repeat(np.arange(len(histories)), [len(own) for own in histories])
    time = None
    if days is not None:
        at = np.array([day for own in days for day in own])
        time = (at * MICROSECONDS_PER_DAY).astype(np.int64)
    return Interactions.build(
        user,
        np.array([item for own in histories for item in own], np.int64),
        n_users=len(histories),
        n_items=8,
        time=time,
        keep_order=True,
    )


def labels(
    training: Interactions, events: Interactions | None = None, **settings: float
) -> list[int]:
    """Labels of the training events, or of others."""
    labeller = StrategyLabeller(StrategyConfig(**settings)).fit(training, KINDS)
    if events is None:
        return labeller.label(training, in_training=True).tolist()
    return labeller.label(events, in_training=False).tolist()


def test_deepen_and_explore() -> None:
    # as many lamps as chairs in the log; one has met lamps alone, then meets a lamp or a chair
    training = log([0, 1, 2], [4, 5, 6])
    assert labels(training, log([0, 1, 3]))[-1] == DEEPEN
    assert labels(training, log([0, 1, 7]))[-1] == EXPLORE
    # with nothing known, no interest can be deepened
    assert labels(training, log([0], [4])) == [EXPLORE, EXPLORE]


def test_an_interest_must_stand_out_from_everyones() -> None:
    # nearly everything in this log is a lamp: liking lamps as all do is no interest
    lamps = log([0, 1, 2, 3], [1, 2, 3, 0], [0, 2, 1, 3], [4])
    history = log([0, 4, 1])
    assert labels(lamps, history)[-1] == EXPLORE
    assert labels(log([0, 1], [4, 5], [6, 7]), history)[-1] == DEEPEN


def test_old_interests_fade() -> None:
    training = log([0, 1], [4, 5])
    history = log([0, 1, 2, 4, 5, 3])
    assert labels(training, history, interest_decay=1.0)[-1] == DEEPEN
    assert labels(training, history, interest_decay=0.5)[-1] == EXPLORE


def test_repurchase_comes_first() -> None:
    events = log([0, 4, 0, 4], [0, 4])
    assert labels(events)[2:4] == [REPURCHASE, REPURCHASE]
    assert REPURCHASE not in labels(events)[4:]


def complements(pairs: int) -> Interactions:
    """A chair (4) follows a lamp (0) in so many histories, and much else happens besides."""
    return log(*[[0, 4]] * pairs, *[[1, 2], [2, 3], [3, 1], [5, 6], [6, 7], [7, 5]] * 6)


def test_complement() -> None:
    assert labels(complements(4), log([0, 4]))[-1] == COMPLEMENT
    # another lamp shares its categories, so that it is no complement, however often it follows
    lamps = replace(complements(4), item=np.where(complements(4).item == 4, 1, complements(4).item))
    assert labels(lamps, log([0, 1]))[-1] != COMPLEMENT
    # the pair the other way round was never seen
    assert labels(complements(4), log([4, 0]))[-1] != COMPLEMENT


def test_a_pair_no_more_common_than_chance_is_no_complement() -> None:
    training = log([0, 4, 0, 4, 0, 4, 0, 4])
    assert labels(training, log([0, 4]))[-1] != COMPLEMENT


def test_own_counts_are_left_out_in_training() -> None:
    # twice seen is the least: in training one of the two is the event itself
    assert labels(complements(2), log([0, 4]))[-1] == COMPLEMENT
    assert labels(complements(2))[1] != COMPLEMENT
    assert labels(complements(3))[1] == COMPLEMENT


def trending(recent: int, before: int = 0) -> Interactions:
    """Item 4: some events in the first hundred days, others since day 99; item 0 throughout."""
    days = [[10.0 + k] for k in range(before)] + [[99.0 + k / 100] for k in range(recent)]
    filler = [[float(day)] for day in range(0, 101, 5)]
    items = [[4]] * (before + recent) + [[0]] * len(filler)
    return log(*items, days=days + filler)


def test_trending_when_far_more_than_before() -> None:
    now = log([4], days=[[100.0]])
    assert labels(trending(recent=8, before=5), now) == [TRENDING]
    # as many a week as ever
    steady = log(*[[4]] * 34, days=[[3.0 * k] for k in range(34)])
    assert labels(steady, now) != [TRENDING]
    # far more, but still too few to say
    assert labels(trending(recent=4, before=1), now) != [TRENDING]


def test_trending_when_new() -> None:
    now = log([4], days=[[100.0]])
    assert labels(trending(recent=5), now) == [TRENDING]
    assert labels(trending(recent=4), now) != [TRENDING]
    # the same log a month on: nothing lately
    assert labels(trending(recent=5), log([4], days=[[130.0]])) != [TRENDING]


def test_trending_counts_what_came_before_the_event_alone() -> None:
    training = trending(recent=6)
    got = labels(training)[:6]
    assert got == [EXPLORE] * 5 + [TRENDING], "the sixth event has five before it"


def test_without_times_nothing_trends() -> None:
    assert TRENDING not in labels(log([4], [4], [4], [4], [4], [4], [4]))


def test_without_categories_only_the_log_speaks() -> None:
    events = random_log(n_users=10, n_items=8, n_events=40)
    labeller = StrategyLabeller().fit(events, None)
    assert set(labeller.label(events, in_training=True)) <= {EXPLORE, REPURCHASE, TRENDING}


def test_items_added_later_are_labelled_too() -> None:
    grown = CategoryColumn(np.arange(10), np.array([0] * 4 + [1] * 5), ["lamp", "chair"])
    labeller = StrategyLabeller().fit(complements(3), KINDS)
    labeller.set_categories(grown)
    events = replace(log([0, 1, 4], days=[[1.0, 2, 3]]), item=np.array([0, 1, 8]), n_items=9)
    assert labeller.label(events, in_training=False)[-1] == EXPLORE
    events = replace(log([4, 5, 6], days=[[1.0, 2, 3]]), item=np.array([4, 5, 8]), n_items=9)
    assert labeller.label(events, in_training=False)[-1] == DEEPEN


@pytest.mark.parametrize("in_training", [True, False])
def test_permuted_items_change_no_label(in_training: bool) -> None:
    events = random_log(n_users=40, n_items=8, n_events=250)
    order = np.random.default_rng(0).permutation(8)
    place = np.argsort(order)
    other = replace(events, item=place[events.item])
    kinds = CategoryColumn(np.arange(9), KINDS.codes[order], KINDS.names)
    one = StrategyLabeller().fit(events, KINDS).label(events, in_training=in_training)
    two = StrategyLabeller().fit(other, kinds).label(other, in_training=in_training)
    assert one.tolist() == two.tolist()
    assert len(set(one)) >= 3


def test_state_restores_the_same_labels() -> None:
    events = random_log(n_users=40, n_items=8, n_events=250)
    labeller = StrategyLabeller().fit(events, KINDS)
    state = {name: np.array(value) for name, value in labeller.state().items()}
    restored = StrategyLabeller().load_state(state)
    restored.set_categories(KINDS)
    for in_training in (True, False):
        assert (
            restored.label(events, in_training=in_training).tolist()
            == labeller.label(events, in_training=in_training).tolist()
        )
