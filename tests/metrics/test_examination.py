"""Position bias: recovered where it is known, refused where it cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.errors import DataError, EmptyDataError
from quintet.market import MarketConfig, generate
from quintet.market.exposures import EXAMINATION
from quintet.metrics.examination import fit_examination


def test_expected_clicks_give_the_truth_back() -> None:
    # two items at three places, 1,000 impressions each; clicks are the expectation itself
    examined, attracts = np.array([1.0, 0.6, 0.3]), np.array([0.5, 0.2])
    item = np.repeat([0, 1], 3)
    position = np.tile([0, 1, 2], 2)
    shown = 1000
    click = (attracts[:, None] * examined * shown).round().astype(int).ravel()
    rows = [np.repeat(column, shown) for column in (item, position)]
    clicked = np.concatenate([np.arange(shown) < n for n in click])
    found = fit_examination(*rows, clicked, smoothing=0.0, tolerance=1e-10, most_rounds=20_000)
    np.testing.assert_allclose(found.examined_P, examined, atol=1e-3)
    np.testing.assert_allclose(found.attracts_I, attracts, atol=1e-3)
    np.testing.assert_allclose(found.weights([0, 2]), [1, 1 / 0.3], rtol=1e-2)


def test_the_markets_truth_is_recovered_from_its_log() -> None:
    market = generate(
        MarketConfig(
            n_users=400, n_items=60, events_per_user=60, exposures=True, scenarios=("feed",)
        )
    )
    log = market.log.to_pydict()
    shown = [n for n, name in enumerate(log["behaviour"]) if name == "impression"]
    looked = {
        (log["request_id"][n], log["position"][n])
        for n, name in enumerate(log["behaviour"])
        if name == "view"
    }
    place = np.array([log["position"][n] for n in shown])
    items = {name: row for row, name in enumerate(sorted(set(log["item_id"])))}
    clicked = np.array([(log["request_id"][n], log["position"][n]) in looked for n in shown])
    item = np.array([items[log["item_id"][n]] for n in shown])
    found = fit_examination(item, place, clicked)
    assert len(shown) > 50_000
    np.testing.assert_allclose(found.examined_P, EXAMINATION, atol=0.03)


def test_good_items_at_the_top_do_not_flatter_it() -> None:
    rng = np.random.default_rng(0)
    examined, attracts = np.array([1.0, 0.7, 0.5, 0.35]), rng.uniform(0.05, 0.6, 40)
    item = rng.integers(0, 40, 60_000)
    # the better an item, the higher it mostly stands
    place = np.clip((3 - 4 * attracts[item] / 0.6 + rng.normal(0, 1.2, len(item))).round(), 0, 3)
    place = place.astype(int)
    clicked = rng.random(len(item)) < examined[place] * attracts[item]
    found = fit_examination(item, place, clicked)
    np.testing.assert_allclose(found.examined_P, examined, atol=0.05)
    plain = np.bincount(place, clicked) / np.bincount(place)
    assert np.abs(plain / plain[0] - examined).max() > 0.15
    plain_I = np.bincount(item, clicked) / np.bincount(item)
    own, naive = (np.abs(one - attracts).mean() for one in (found.attracts_I, plain_I))
    assert own < 0.5 * naive


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(EmptyDataError, match="no impressions"):
        fit_examination([], [], [])
    with pytest.raises(EmptyDataError, match="no click among 2"):
        fit_examination([0, 0], [0, 1], [0, 0])
    with pytest.raises(DataError, match="2 items, 1 places and 2 clicks"):
        fit_examination([0, 0], [0], [0, 1])
    with pytest.raises(DataError, match="no item stood at two places"):
        fit_examination([0, 1], [0, 1], [1, 0])
    with pytest.raises(DataError, match="negative"):
        fit_examination([-1, 1], [0, 1], [1, 0])
