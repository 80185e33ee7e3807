"""What a call tells beside who asks turns an answer as it does offline."""

from __future__ import annotations

import numpy as np
import pytest

from quintet import Quintet
from quintet.serve.asking import asking as offline_asking
from quintet.serve.recommender import Recommender
from quintet.web.asked import asking
from quintet.web.models import AskedIn
from quintet.web.people import person
from tests.conftest import TINY
from tests.web.running import Running

MOMENT = 1_700_000_000_000_000


@pytest.fixture(scope="module")
def reading(market, tmp_path_factory):
    """The bundle of a model that reads all that a request can tell, and has learned from it."""
    settings = {
        "model": {**TINY["model"], "context": ["scenario", "time", "device", "query"]},
        "loop": {"epochs": 3, "tokens_per_batch": 100},
    }
    return Quintet(**settings).fit(market).save(tmp_path_factory.mktemp("reading") / "bundle")


@pytest.fixture(scope="module")
def offline(reading) -> Recommender:
    return Recommender.load(reading)


@pytest.fixture(scope="module")
def server(reading, tmp_path_factory):
    with Running(reading, tmp_path_factory.mktemp("state")) as started:
        yield started


def listed(server: Running, user: str, **asked) -> tuple[list[str], list[float]]:
    answer = server.post("/v1/recommend", {"user_id": user, "k": 8, "reasons": False, **asked})
    return [one["item_id"] for one in answer["items"]], [one["score"] for one in answer["items"]]


def expected(offline: Recommender, user: str, **asked) -> tuple[list[str], list[float]]:
    answer = offline.recommend([user], 8, **asked)
    return [one.item_id for one in answer], [one.score for one in answer]


def asked_ways(offline: Recommender) -> list[dict]:
    page = offline.trained.items.ids([7])[0]
    return [
        {"scenario": "shop"},
        {"scenario": "feed", "context": {"device": "phone"}},
        {"context": {"time": MOMENT}},
        {"context": {"page_item": page}},
        {"scenario": "shop", "context": {"page_item": page, "device": "web", "time": MOMENT}},
    ]


def test_lists_are_turned_as_offline(server, offline) -> None:
    for user in server.ids("users")[:4]:
        plain = dict(zip(*listed(server, user), strict=True))
        for asked in asked_ways(offline) * 2:  # the second time from what is kept
            items, scores = listed(server, user, **asked)
            ids, wanted = expected(offline, user, **asked)
            assert scores == pytest.approx(wanted, abs=1e-4)
            if np.diff(wanted).max() < -1e-4:
                assert items == ids
            both = zip(items, scores, strict=True)
            moved = [abs(score - plain[item]) for item, score in both if item in plain]
            assert not moved or max(moved) > 1e-5
        assert dict(zip(*listed(server, user), strict=True)) == plain


def test_a_query_turns_what_it_matches(server, offline) -> None:
    user = server.ids("users")[0]
    history = offline.histories([user])
    word = offline.trained.item_table["category"].to_pylist()[0]
    items, scores = listed(server, user, query=word)
    found, wanted = expected(offline, user, query=word)
    assert items == found
    assert scores == pytest.approx(wanted, abs=1e-4)
    texts = offline.trained.item_features.joined_text()[offline.trained.items.rows(items)]
    assert all(word.lower() in text.lower() for text in texts)
    assert listed(server, user, query="zzz")[0] == expected(offline, user, query="zzz")[0] == []
    answer = server.post("/v1/score", {"user_id": user, "items": items, "query": word})
    turned = offline.scorer.scores(offline_asking(offline.trained, history, query=word))[0]
    rows = offline.trained.items.rows(items)
    assert [one["score"] for one in answer["items"]] == pytest.approx(turned[rows], abs=1e-4)
    plain = offline.scorer.scores(history)[0]
    assert np.abs(turned - plain).max() > 1e-5


def test_chances_are_those_of_the_scenario(server, offline) -> None:
    user, items = server.ids("users")[4], server.ids("items")[:3]
    found = {}
    for scenario in ("shop", "search"):
        asked = {"user_id": user, "items": items, "scenario": scenario}
        answer = server.post("/v1/score", asked)["items"]
        table = offline.predict([(user, item) for item in items], scenario=scenario).to_pylist()
        for one, row in zip(answer, table, strict=True):
            assert one["probabilities"]["buy"] == pytest.approx(row["p_buy"], abs=1e-4)
            assert one["expected_value"] == pytest.approx(row["expected_value"], rel=1e-3)
        found[scenario] = answer[0]["probabilities"]["view"], answer[0]["probabilities"]["cart"]
    assert found["shop"] != found["search"]


def test_what_the_model_does_not_know_is_left_out(server) -> None:
    user = server.ids("users")[2]
    plain = listed(server, user)
    for context in ({"device": "fridge"}, {"time": "noon"}, {"time": -5}, {"mood": True}):
        assert listed(server, user, context=context) == plain
    unknown = {"user_id": user, "context": {"page_item": "nothing"}}
    assert server.http.post("/v1/recommend", json=unknown).status_code == 404
    wrong = {"user_id": user, "items": server.ids("items")[:1], "scenario": "nowhere"}
    refused = server.http.post("/v1/score", json=wrong)
    assert refused.status_code == 422
    assert "choose one of" in refused.json()["detail"]


def test_some_ask_in_a_scenario_beside_others_who_do_not(server, offline) -> None:
    """In one batch: a person for whom nothing is told is as if alone."""
    live = server.service.holder.live
    people = [person(live.trained, row, ()) for row in (3, 5)]
    turned = asking(live, people[0], AskedIn(scenario="video", context={"time": MOMENT}))
    alone = live.ranker.states([person(live.trained, 5, ())]).gated_BX[0]
    both = live.ranker.states([turned, people[1]]).gated_BX
    assert both[1] == pytest.approx(alone, abs=1e-5)
    assert np.abs(both[0] - live.ranker.states([people[0]]).gated_BX[0]).max() > 1e-5
