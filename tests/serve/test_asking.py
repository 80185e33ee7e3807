"""What a caller says of a request, and what it changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import quintet
from quintet.data.states import Moments
from quintet.errors import ConfigError, UnknownIdError
from quintet.serve.asking import asking, expected_value, offered
from quintet.serve.recommender import Recommender


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    market = quintet.open_dataset("market", ["n_users=40", "n_items=48", "events_per_user=12"])
    model = quintet.Quintet(
        loop={"epochs": 1, "validate_every": 5},
        memories={},
        model={"width": 8, "context": ["scenario", "query", "time", "device"]},
    )
    return model.fit(market).recommender


def test_a_request_stands_at_the_end_of_every_history(recommender) -> None:
    trained = recommender.trained
    histories = trained.events.users([0, 1, 2])
    asked = asking(trained, histories, "video", "coffee", {"time": 5, "device": "phone"})
    shape = trained.model.shape
    assert asked.request["scenario"].tolist() == [shape.scenarios.index("video")] * 3
    assert asked.request["device"].tolist() == [shape.devices.index("phone")] * 3
    assert asked.request["time"].tolist() == [5] * 3
    assert (asked.request["query"][0] >= 0).sum() == 1
    silent = asking(trained, histories).request
    assert all((column == -1).all() for column in silent.values())
    assert asked.users([2, 0]).request["time"].tolist() == [5, 5]


def test_the_state_is_turned_by_the_request_and_by_nothing_unknown(recommender) -> None:
    evidence, events = recommender.scorer.evidence, recommender.trained.events
    histories = events.users([0, 1])

    def state(**said) -> np.ndarray:
        asked = asking(recommender.trained, histories, **said)
        return evidence.states(Moments.newest(asked)).hidden["identity"].numpy()

    np.testing.assert_allclose(
        state(), evidence.states(Moments.newest(histories)).hidden["identity"]
    )
    for said in ({"scenario": "video"}, {"query": "coffee beans"}, {"context": {"device": "web"}}):
        assert np.abs(state(**said) - state()).max() > 1e-6, said


def test_the_pages_item_counts_as_met_just_now(recommender) -> None:
    trained = recommender.trained
    histories = replace(trained.events.users([0, 3]))
    item = trained.items.ids([7])[0]
    beside = asking(trained, histories, context={"page_item": item})
    assert beside.lengths.tolist() == (histories.lengths + 1).tolist()
    last = beside.offsets[1:] - 1
    assert beside.item[last].tolist() == [7, 7]
    assert beside.behaviour[last].tolist() == [trained.model.shape.rules.look] * 2
    assert (np.delete(beside.item, last) == histories.item).all()
    nobody = asking(trained, recommender.histories(["nobody"]), context={"page_item": item})
    assert nobody.item.tolist() == [7]


def test_what_is_unknown_is_named(recommender) -> None:
    trained, histories = recommender.trained, recommender.trained.events.users([0])
    with pytest.raises(ConfigError, match=r"unknown scenario 'attic'; choose one of: shop, feed"):
        asking(trained, histories, "attic")
    with pytest.raises(ConfigError, match=r"context 'mood': choose from: time, device, page_item"):
        asking(trained, histories, context={"mood": 1})
    with pytest.raises(ConfigError, match="unknown device 'abacus'"):
        asking(trained, histories, context={"device": "abacus"})
    with pytest.raises(ConfigError, match="microseconds"):
        asking(trained, histories, context={"time": "noon"})
    with pytest.raises(UnknownIdError, match="item 'x9' is not in the catalogue"):
        asking(trained, histories, context={"page_item": "x9"})


def test_expected_value_is_chance_times_worth(recommender) -> None:
    trained = recommender.trained
    price = np.array(trained.item_table["price"].to_pylist(), float)
    rows = np.arange(len(price))
    chance = np.zeros((len(rows), len(trained.model.shape.behaviours)), np.float32)
    chance[:, trained.model.shape.behaviours.index("buy")] = 0.5
    got = expected_value(trained, rows, chance)
    np.testing.assert_allclose(got, np.nan_to_num(price) * 0.5, rtol=1e-5)
    assert (got == 0).any()  # what has no price is worth nothing


def test_a_scenario_offers_what_its_toml_says(recommender) -> None:
    trained = recommender.trained
    kind = np.array(trained.item_table["kind"].to_pylist())
    np.testing.assert_array_equal(offered(trained, "news"), kind == "article")
    assert offered(trained, "feed").all()
