"""Splits: parts add up, the future never leaks, order of user rows does not matter."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quintet.data.interactions import Interactions
from quintet.data.split import (
    Part,
    Split,
    global_time,
    hold_out_items,
    kfold,
    leave_one_out,
    next_item_targets,
    temporal_tail,
    user_folds,
)
from quintet.errors import ConfigError, DataError, EmptyDataError

from .logs import logs, permute_users, random_log

# user 0 has 5 events, user 1 has 2, user 2 none, user 3 has 3
LOG = Interactions.build(
    np.array([0, 0, 0, 0, 0, 1, 1, 3, 3, 3]),
    np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    n_users=4,
    n_items=10,
    time=np.array([10, 20, 30, 40, 50, 15, 60, 35, 45, 55]),
)


def columns(events: Interactions) -> set[tuple[float, ...]]:
    return set(zip(events.user, events.item, events.time, events.value, strict=True))


def assert_partition(split: Split) -> None:
    parts = [split.train, split.valid, split.test]
    rest = int(np.count_nonzero(split.part == Part.HISTORY))
    assert sum(len(part) for part in parts) + rest == len(split.events)
    assert set().union(*map(columns, parts)) <= columns(split.events)
    for events in parts:
        assert events.n_users == split.events.n_users
        assert np.array_equal(events.user, events.group())


def assert_no_future(split: Split) -> None:
    """Within a user no event stands after one of a later part."""
    rank = np.where(split.part == Part.HISTORY, Part.TRAIN, split.part)
    same_user = split.events.user[1:] == split.events.user[:-1]
    assert np.all(np.diff(rank)[same_user] >= 0)
    assert np.all(np.diff(split.events.time)[same_user] >= 0)


# leave one out


def test_leave_one_out_by_hand() -> None:
    split = leave_one_out(LOG)
    assert split.test.item.tolist() == [4, 9]
    assert split.valid.item.tolist() == [3, 8]
    assert split.train.item.tolist() == [0, 1, 2, 5, 6, 7]
    assert split.train.lengths.tolist() == [3, 2, 0, 1]
    assert split.valid_histories().item.tolist() == split.train.item.tolist()
    assert split.test_histories().item.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_leave_one_out_min_length() -> None:
    split = leave_one_out(LOG, min_length=4)
    assert split.test.item.tolist() == [4]
    with pytest.raises(ConfigError, match="min_length=2"):
        leave_one_out(LOG, min_length=2)


@given(logs())
def test_leave_one_out_properties(events: Interactions) -> None:
    split = leave_one_out(events)
    assert_partition(split)
    assert_no_future(split)
    held = (events.lengths >= 3).astype(int)
    assert np.array_equal(split.test.lengths, held)
    assert np.array_equal(split.valid.lengths, held)


# the last part of every user


def test_temporal_tail_by_hand() -> None:
    split = temporal_tail(LOG, 0.4)  # 5 events: 2 + 2 held; 3 events: 1 + 1 held; 2 events: none
    assert split.train.item.tolist() == [0, 5, 6, 7]
    assert split.valid.item.tolist() == [1, 2, 8]
    assert split.test.item.tolist() == [3, 4, 9]


@given(logs(), st.floats(0.01, 0.49))
def test_temporal_tail_properties(events: Interactions, fraction: float) -> None:
    split = temporal_tail(events, fraction)
    assert_partition(split)
    assert_no_future(split)
    assert np.array_equal(split.valid.lengths, split.test.lengths)
    assert np.array_equal(split.test.lengths > 0, events.lengths >= 3)
    assert np.all(split.train.lengths[events.lengths > 0] > 0)


@pytest.mark.parametrize("fraction", [0.0, 0.5, -1.0])
def test_temporal_tail_refuses(fraction: float) -> None:
    with pytest.raises(ConfigError, match="fraction"):
        temporal_tail(LOG, fraction)


# one moment for all


def test_global_time_by_hand() -> None:
    split = global_time(
        LOG, valid=0.2, test=0.3
    )  # times in order: 10 15 20 30 35 | 40 45 | 50 55 60
    assert split.cuts == (40, 50)
    assert split.train.time.tolist() == [10, 20, 30, 15, 35]
    assert split.valid.time.tolist() == [40, 45]
    assert split.test.time.tolist() == [50, 60, 55]


def test_global_time_keeps_ties_on_one_side() -> None:
    time = np.array([1, 2, 3, 4, 4, 4, 4, 4, 5, 6])
    events = Interactions.build(np.arange(10), np.arange(10), n_users=10, n_items=10, time=time)
    split = global_time(events, valid=0.0, test=0.4)  # 2 events from 5 on, 7 from 4 on: 2 is nearer
    assert split.cuts == (5, 5)
    assert len(split.test) == 2
    assert len(split.valid) == 0


@given(logs(min_events=5), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_global_time_properties(events: Interactions, valid: float, test: float) -> None:
    assume(len(np.unique(events.time)) >= 3)
    try:
        split = global_time(events, valid, test)
    except EmptyDataError:  # the test's cut left one moment for the rest
        assume(False)
    assert_partition(split)
    assert_no_future(split)
    assert split.train.time.max() < split.valid.time.min()
    assert split.valid.time.max() < split.test.time.min()


def test_global_time_meets_the_shares() -> None:
    split = global_time(random_log(), 0.1, 0.2)
    assert len(split.test) == round(0.2 * len(split.events))
    assert len(split.valid) == round(0.1 * len(split.events))


def test_global_time_refuses() -> None:
    untimed = Interactions.build(np.array([0, 0]), np.array([0, 1]), n_users=1, n_items=2)
    with pytest.raises(EmptyDataError, match="2 events at 1 distinct"):
        global_time(untimed)
    with pytest.raises(ConfigError, match=r"valid=0\.5, test=0\.5"):
        global_time(LOG, 0.5, 0.5)


# targets


def test_next_item_targets_by_hand() -> None:
    split = global_time(LOG, valid=0.2, test=0.3)
    targets = next_item_targets(split, Part.TEST)
    assert targets.users.tolist() == [0, 1, 3]
    assert targets.events.item.tolist() == [4, 6, 9]
    assert targets.events.lengths.tolist() == [1, 1, 1]
    assert targets.histories.item.tolist() == [0, 1, 2, 3, 5, 7, 8]
    assert targets.histories.lengths.tolist() == [4, 1, 2]
    assert not targets.no_history.any()


def test_users_without_history_are_kept_and_flagged() -> None:
    late = LOG.select(LOG.item != 5)  # user 1 now first appears at time 60
    targets = next_item_targets(global_time(late, valid=0.2, test=0.3), Part.TEST)
    assert targets.users.tolist() == [0, 1, 3]
    assert targets.no_history.tolist() == [False, True, False]


def test_targets_of_validation_do_not_see_validation() -> None:
    split = temporal_tail(LOG, 0.4)
    targets = next_item_targets(split, Part.VALID)
    assert targets.events.item.tolist() == [1, 8]
    assert targets.histories.item.tolist() == [0, 7]
    with pytest.raises(ConfigError, match="TRAIN"):
        next_item_targets(split, Part.TRAIN)


@given(logs(), st.sampled_from([Part.VALID, Part.TEST]))
def test_histories_end_before_their_target(events: Interactions, part: Part) -> None:
    targets = next_item_targets(temporal_tail(events, 0.3), part)
    assert np.array_equal(targets.events.user, targets.users)
    last = targets.histories.time[targets.histories.offsets[1:] - 1]
    assert np.all(last <= targets.events.time)
    assert not targets.no_history.any()


# folds of users


@given(st.integers(2, 60), st.integers(2, 10), st.integers(0, 99))
def test_user_folds_are_balanced(n_users: int, k: int, seed: int) -> None:
    assume(k <= n_users)
    sizes = np.bincount(user_folds(n_users, k, seed), minlength=k)
    assert sizes.sum() == n_users
    assert np.ptp(sizes) <= 1


def test_user_folds_depend_on_the_seed_alone() -> None:
    assert np.array_equal(user_folds(100, 5, 1), user_folds(100, 5, 1))
    assert not np.array_equal(user_folds(100, 5, 1), user_folds(100, 5, 2))
    assert not np.array_equal(np.sort(user_folds(100, 5)), user_folds(100, 5))
    for k in (1, 101):
        with pytest.raises(ConfigError, match=f"k={k}"):
            user_folds(100, k)


@given(logs(), st.integers(2, 4))
def test_kfold_properties(events: Interactions, k: int) -> None:
    assume(events.n_users >= k)
    folds = user_folds(events.n_users, k, 3)
    splits = list(kfold(events, k, 3))
    assert [split.name for split in splits] == [f"kfold_{fold}" for fold in range(k)]
    for fold, split in enumerate(splits):
        assert_partition(split)
        assert_no_future(split)
        assert np.array_equal(split.train.lengths, np.where(folds == fold, 0, events.lengths))
        held = (folds == fold) & (events.lengths >= 3)
        assert np.array_equal(split.test.lengths, held.astype(int))
        assert np.array_equal(split.valid.lengths, held.astype(int))
        histories = split.test_histories().lengths
        assert np.array_equal(histories[held], events.lengths[held] - 1)
    tested = np.sum([split.test.lengths for split in splits], axis=0)
    assert np.array_equal(tested, (events.lengths >= 3).astype(int))


# items held out


@given(logs(min_events=5), st.floats(0.05, 0.95), st.integers(0, 9))
def test_hold_out_items_properties(events: Interactions, fraction: float, seed: int) -> None:
    n_seen = np.count_nonzero(events.item_counts())
    assume(n_seen >= 2)
    warm, cold, held_out = hold_out_items(events, fraction, seed)
    assert len(warm) + len(held_out) == len(events)
    assert columns(warm) | columns(held_out) == columns(events)
    assert not cold[warm.item].any()
    assert cold[held_out.item].all()
    assert np.array_equal(cold, held_out.item_counts() > 0)
    assert 1 <= cold.sum() < n_seen
    assert abs(cold.sum() - fraction * n_seen) <= 1


def test_hold_out_items_refuses() -> None:
    with pytest.raises(ConfigError, match="fraction"):
        hold_out_items(LOG, 1.0)
    with pytest.raises(EmptyDataError, match="1 item"):
        hold_out_items(LOG.select(LOG.item == 3), 0.5)


# splits given with the data


@given(logs())
def test_from_parts_gives_the_parts_back(events: Interactions) -> None:
    split = temporal_tail(events, 0.3)
    given_split = Split.from_parts(split.train, split.valid, split.test)
    for part in ("train", "valid", "test", "events"):
        left, right = getattr(given_split, part), getattr(split, part)
        assert np.array_equal(left.offsets, right.offsets)
        assert np.array_equal(left.item, right.item)
        assert np.array_equal(left.time, right.time)


def test_from_parts_needs_one_vocabulary() -> None:
    other = Interactions.build(np.array([0]), np.array([0]), n_users=1, n_items=10)
    with pytest.raises(DataError, match="4 x 10, 4 x 10, 1 x 10"):
        Split.from_parts(LOG, LOG, other)


@pytest.mark.parametrize("make", [leave_one_out, temporal_tail, global_time])
@given(data=st.data())
def test_permuting_user_rows_permutes_the_split(make, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    events = data.draw(logs(min_events=5))
    order = data.draw(st.permutations(range(events.n_users)))
    moved = permute_users(events, order)
    try:
        split = make(events)
    except EmptyDataError:
        with pytest.raises(EmptyDataError):
            make(moved)
        return
    of_moved = make(moved)
    for part in ("train", "valid", "test"):
        expected, found = getattr(split, part).users(order), getattr(of_moved, part)
        assert np.array_equal(expected.offsets, found.offsets)
        assert np.array_equal(expected.item, found.item)
