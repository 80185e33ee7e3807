"""Orders of simultaneous events, and moments: the same question asked in two ways."""

import numpy as np

from quintet.data.batch import newest_windows
from quintet.data.interactions import Interactions
from quintet.data.states import Moments

LOG = Interactions.build(
    np.array([0, 0, 0, 0, 1, 1, 1]),
    np.array([5, 3, 4, 1, 2, 0, 6]),
    n_users=2,
    n_items=7,
    time=np.array([10, 20, 20, 30, 10, 10, 40]),
)


def test_only_simultaneous_events_change_places() -> None:
    orders = {tuple(LOG.retied(seed).item) for seed in range(40)}
    # 3 and 4 are tied, and so are 2 and 0: four orders in all
    expected = {(5, a, b, 1, c, d, 6) for a, b in ((3, 4), (4, 3)) for c, d in ((2, 0), (0, 2))}
    assert orders == expected
    assert all((LOG.retied(seed).time == LOG.time).all() for seed in range(5))


def test_a_log_without_times_keeps_its_order() -> None:
    log = Interactions.build(np.array([0, 0, 0]), np.array([2, 0, 1]), n_users=1, n_items=3)
    assert log.retied(7).item.tolist() == [2, 0, 1]


def test_histories_before_events_are_what_their_users_did_before() -> None:
    rows = np.array([2, 4, 6])
    batch = LOG.before(rows)
    assert batch.lengths.tolist() == [2, 0, 2]
    assert batch.item.tolist() == [*LOG.item[:2], *LOG.item[4:6]]
    assert batch.owners().tolist() == [0, 1, 1]
    assert LOG.before(rows, longest=1).item.tolist() == [LOG.item[1], LOG.item[5]]


def test_a_moment_before_an_event_sees_the_windows_of_its_history() -> None:
    rows = np.array([3, 5])
    before = newest_windows(Moments.before(LOG, rows), longest=2)
    newest = newest_windows(Moments.newest(LOG.before(rows)), longest=2)
    histories = LOG.before(rows)
    for one in range(2):
        expected = histories.item[newest.start[one] : newest.stop[one]]
        assert LOG.item[before.start[one] : before.stop[one]].tolist() == expected.tolist()
