from __future__ import annotations

from dataclasses import replace

import numpy as np

from quintet.data.interactions import MICROSECONDS_PER_DAY
from quintet.memory.popularity import Popularity
from quintet.memory.trend import Trend

from .logs import log


def at_days(events, days: list[float]):
    return replace(events, time=(np.array(days) * MICROSECONDS_PER_DAY).astype(np.int64))


EVENTS = log([0, 1, 0], [0, 2], n_items=4)


def test_popularity_is_the_log_count_as_a_share_of_the_greatest() -> None:
    scores = Popularity().fit(EVENTS).score(log([], [1], n_items=4))
    row = [1, np.log(2) / np.log(4), np.log(2) / np.log(4), 0]
    np.testing.assert_allclose(scores, [row, row], rtol=1e-6)
    plain = Popularity(Popularity.Config(log=False)).fit(EVENTS).score(log([1], n_items=4))
    np.testing.assert_allclose(plain, [[1, 1 / 3, 1 / 3, 0]], rtol=1e-6)
    assert Popularity().fit(EVENTS).present().tolist() == [True, True, True, False]


def test_old_events_count_half_every_half_life() -> None:
    events = at_days(EVENTS, [0, 10, 20, 20, 10])
    config = Popularity.Config(half_life_days=10.0, log=False)
    scores = Popularity(config).fit(events).score(log([1], n_items=4))
    counts = [0.25 + 1 + 1, 0.5, 0.5, 0]
    np.testing.assert_allclose(scores, [np.array(counts) / counts[0]], rtol=1e-6)


def test_an_item_taken_long_ago_is_still_known() -> None:
    events = at_days(log([0, 1]), [0, 1e6])
    memory = Popularity(Popularity.Config(half_life_days=1.0)).fit(events)
    assert memory.present().tolist() == [True, True]


def test_trend_compares_late_events_with_their_expected_number() -> None:
    events = at_days(EVENTS, [0, 95, 100, 5, 99])
    memory = Trend(Trend.Config(days=10.0, smoothing=1.0)).fit(events)
    # 3 of 5 events are of the last 10 days: one each of 0, 1 and 2; 0 has 3 events in all
    expected = [np.log((1 + 1) / (3 * 0.6 + 1)), *[np.log((1 + 1) / (0.6 + 1))] * 2, 0]
    np.testing.assert_allclose(memory.score(log([1], n_items=4)), [expected], rtol=1e-6)


def test_without_times_nothing_trends() -> None:
    assert not Trend().fit(EVENTS).score(EVENTS).any()
