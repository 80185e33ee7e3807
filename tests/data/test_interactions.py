"""Events as arrays: grouping, order, selection, and the seeded hash that breaks ties."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quintet.data.interactions import Interactions, seeded_hash

from .logs import logs


def sample() -> Interactions:
    """User 1 has items 3, 0, 2 in time order, user 0 item 1; user 2 nothing."""
    return Interactions.build(
        np.array([1, 0, 1, 1], np.int32),
        np.array([2, 1, 3, 0], np.int32),
        n_users=3,
        n_items=5,
        time=np.array([30, 5, 10, 20]),
        behaviour=np.array([7, 8, 9, 6]),
        scenario=np.array([1, 2, 3, 4]),
        value=np.array([0.5, 1.5, np.nan, 2.5]),
    )


def test_build_groups_by_user_and_orders_by_time() -> None:
    events = sample()
    assert events.offsets.tolist() == [0, 1, 4, 4]
    assert events.user.tolist() == [0, 1, 1, 1]
    assert events.item.tolist() == [1, 3, 0, 2]
    assert events.time.tolist() == [5, 10, 20, 30]
    assert events.behaviour.tolist() == [8, 9, 6, 7]
    assert events.scenario.tolist() == [2, 3, 4, 1]
    np.testing.assert_array_equal(events.value, np.array([1.5, np.nan, 2.5, 0.5], np.float32))
    assert (len(events), events.n_users, events.n_items) == (4, 3, 5)
    assert events.lengths.tolist() == [1, 3, 0]
    assert events.positions().tolist() == [0, 0, 1, 2]
    assert events.group().tolist() == [0, 1, 1, 1]
    assert events.item_counts().tolist() == [1, 1, 1, 1, 0]
    assert {events.user.dtype, events.item.dtype, events.time.dtype} == {np.dtype(np.int64)}
    assert events.value.dtype == np.float32


def test_build_without_the_optional_columns() -> None:
    events = Interactions.build(np.array([0, 1, 0]), np.array([2, 1, 0]), n_users=2, n_items=3)
    assert events.item.tolist() == [2, 0, 1]  # the order given
    assert not events.time.any()
    assert not events.behaviour.any()
    assert not events.scenario.any()
    assert np.isnan(events.value).all()


def test_an_empty_log() -> None:
    none = np.zeros(0, np.int64)
    events = Interactions.build(none, none, n_users=2, n_items=3, time=none)
    assert len(events) == 0
    assert events.lengths.tolist() == [0, 0]
    assert len(events.users([1, 0])) == 0
    assert len(events.tail(1)) == 0
    assert events.item_counts().tolist() == [0, 0, 0]


def test_ties_are_broken_by_hash_unless_told_otherwise() -> None:
    n = 50
    user, item, time = np.zeros(n, np.int64), np.arange(n), np.full(n, 9)

    def order(**options: object) -> list[int]:
        built = Interactions.build(user, item, n_users=1, n_items=n, time=time, **options)  # type: ignore[arg-type]
        return built.item.tolist()

    assert order(keep_order=True) == list(range(n))
    assert order() != list(range(n))
    assert order() == order(tie_seed=0)
    assert order() != order(tie_seed=1)
    assert sorted(order()) == list(range(n))


def test_ties_do_not_depend_on_items() -> None:
    n = 30
    time = np.zeros(n, np.int64)
    shuffled = np.random.default_rng(0).permutation(n)
    plain = Interactions.build(time, np.arange(n), n_users=1, n_items=n, time=time)
    renamed = Interactions.build(time, shuffled, n_users=1, n_items=n, time=time)
    assert np.array_equal(shuffled[plain.item], renamed.item)


@given(logs())
def test_build_keeps_every_event(events: Interactions) -> None:
    assert np.array_equal(events.user, events.group())
    assert events.lengths.sum() == len(events) == events.item_counts().sum()
    same = events.user[1:] == events.user[:-1]
    assert np.all(np.diff(events.user) >= 0)
    assert np.all(np.diff(events.time)[same] >= 0)


@given(logs(), st.data())
def test_select_keeps_users_and_order(events: Interactions, data: st.DataObject) -> None:
    size = len(events)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), np.bool_)
    chosen = events.select(keep)
    assert chosen.n_users == events.n_users
    for column in ("user", "item", "time", "behaviour", "scenario", "value"):
        assert np.array_equal(getattr(chosen, column), getattr(events, column)[keep])
    assert np.array_equal(chosen.group(), chosen.user)


@given(logs(), st.data())
def test_users_gathers_histories_in_the_order_asked(
    events: Interactions, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, events.n_users - 1), max_size=8))
    batch = events.users(rows)
    assert batch.n_users == len(rows)
    for place, row in enumerate(rows):
        mine = slice(batch.offsets[place], batch.offsets[place + 1])
        whole = slice(events.offsets[row], events.offsets[row + 1])
        assert np.array_equal(batch.item[mine], events.item[whole])
        assert np.array_equal(batch.value[mine], events.value[whole])
        assert np.all(batch.user[mine] == row)
    assert np.array_equal(batch.group(), np.repeat(np.arange(len(rows)), events.lengths[rows]))


@given(logs(), st.integers(0, 10))
def test_tail_keeps_the_last_events(events: Interactions, longest: int) -> None:
    last = events.tail(longest)
    assert np.array_equal(last.lengths, np.minimum(events.lengths, longest))
    for row in range(events.n_users):
        whole = events.users([row]).item
        assert np.array_equal(last.users([row]).item, whole[len(whole) - last.lengths[row] :])


def test_seeded_hash_is_the_same_on_all_machines() -> None:
    # splitmix64 of the state 0: its first output is 0xE220A8397B1DCDAF (Vigna's reference code)
    assert seeded_hash(np.array([0]), 0).tolist() == [0xE220A8397B1DCDAF >> 1]


@given(st.integers(0, 1000))
def test_seeded_hash_mixes_well(seed: int) -> None:
    hashed = seeded_hash(np.arange(2000), seed)
    assert np.all(hashed >= 0)
    assert len(np.unique(hashed)) == 2000
    assert abs(np.mean(hashed < 2**62) - 0.5) < 0.07  # 6 standard deviations of a fair coin
    ascents = np.mean(np.diff(hashed) > 0)
    assert abs(ascents - 0.5) < 0.05
