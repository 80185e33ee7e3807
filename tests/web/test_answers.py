"""What the service answers: the model's own numbers, and state that follows at once."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.serve.recommender import Recommender
from tests.web.running import Running


@pytest.fixture(scope="module")
def offline(bundle) -> Recommender:
    return Recommender.load(bundle)


def refused(server: Running, method: str, path: str, **options) -> dict:
    response = server.http.request(method, path, **options)
    assert response.status_code == 422, response.text
    return response.json()


# ---------------------------------------------------------------- lists


def test_online_equals_offline(running, offline) -> None:
    """Same items in the same order, but where adjacent offline scores are closer than 1e-4."""
    users = running.ids("users")[20:]
    ranked = offline.rank(offline.histories(users), 10, mask_history=offline.masks(None))
    swapped = 0
    for row, user in enumerate(users):
        answer = running.post("/v1/recommend", {"user_id": user, "k": 10, "reasons": False})
        expected = offline.trained.items.ids(ranked.items_BK[row])
        scores = [one["score"] for one in answer["items"]]
        assert scores == pytest.approx(ranked.scores_BK[row], abs=1e-4)
        found = [one["item_id"] for one in answer["items"]]
        if found != expected:
            gaps = np.abs(np.diff(ranked.scores_BK[row]))
            assert gaps.min() < 1e-4
            swapped += 1
        assert answer["basis"] == "personal"
        assert answer["fallback"] is None
    assert swapped <= 2


def test_an_answer_names_what_it_rests_on(running) -> None:
    user = running.ids("users")[0]
    answer = running.post("/v1/recommend", {"user_id": user, "k": 4})
    assert answer["model"] == running.service.holder.live.version
    assert answer["exposure"] == "durable"
    assert answer["delta_offset"] >= 1
    assert len(answer["request_id"]) == 24
    assert answer["propensity_note"]
    assert [one["rank"] for one in answer["items"]] == [1, 2, 3, 4]
    for one in answer["items"]:
        assert one["propensity"] is None
        parts = [reason["contribution"] for reason in one["reasons"]]
        assert parts == sorted(parts, reverse=True)
        assert min(parts) > 0


def test_what_was_shown_is_in_the_journal(running) -> None:
    user = running.ids("users")[1]
    answer = running.post("/v1/recommend", {"user_id": user, "k": 3, "exploration": 1.0})
    (entry,) = [
        entry
        for entry in running.service.journal.read(kinds=("exposure",))
        if entry.record.request_id == answer["request_id"]
    ]
    shown = entry.record
    assert list(shown.items) == [one["item_id"] for one in answer["items"]]
    assert list(shown.propensities) == [one["propensity"] for one in answer["items"]]
    assert shown.user_id == user
    assert set(shown.items) <= set(shown.candidates)
    assert shown.policy == answer["policy"]


def test_a_draw_is_not_always_the_same(running) -> None:
    user = running.ids("users")[2]
    lists = {tuple(running.items_for(user, k=5, exploration=1.0)) for _ in range(5)}
    assert len(lists) > 1


def test_a_stranger_gets_what_is_popular_and_is_told_so(running, offline) -> None:
    answer = running.get("/v1/recommend", params={"user_id": "somebody new", "k": "3"})
    assert answer["basis"] == "popular"
    assert "popular" in answer["fallback"]
    count_I = offline.trained.count_I
    rows = offline.trained.items.rows([one["item_id"] for one in answer["items"]])
    assert sorted(count_I[rows])[::-1] == sorted(count_I)[::-1][:3]


def test_a_session_by_its_own_history(running, offline) -> None:
    met = running.ids("items")[:2]
    body = {"session_id": "s", "history": met, "k": 5, "reasons": False}
    answer = running.post("/v1/recommend", body)
    ranked = offline.rank(offline.history_of(met), 5, mask_history=offline.masks(None))
    expected = offline.trained.items.ids(ranked.items_BK[0])
    assert [one["item_id"] for one in answer["items"]] == expected
    assert answer["basis"] == "personal"


def test_filters_candidates_scenario_and_query(running, offline) -> None:
    user = running.ids("users")[3]
    table = offline.trained.item_table
    price = dict(zip(running.ids("items"), table["price"].to_pylist(), strict=True))
    limit = sorted(p for p in price.values() if p is not None)[10]
    cheap = running.items_for(
        user, k=50, exclude_seen=False, filters=[{"column": "price", "at_most": limit}]
    )
    assert set(cheap) == {item for item, p in price.items() if p is not None and p <= limit}
    wanted = running.ids("items")[4:8]
    assert set(running.items_for(user, k=50, exclude_seen=False, candidates=wanted)) == set(wanted)
    word = table["category"].to_pylist()[0]
    words = [
        f"{row['title']} {row['category']} {row['subcategory']}".lower()
        for row in table.to_pylist()
    ]
    matching = {i for i, text in zip(running.ids("items"), words, strict=True) if word in text}
    assert set(running.items_for(user, k=50, exclude_seen=False, query=word)) <= matching
    assert (
        "choose one of"
        in refused(running, "POST", "/v1/recommend", json={"user_id": user, "scenario": "nowhere"})[
            "detail"
        ]
    )
    wrong = {"user_id": user, "filters": [{"column": "nothing", "at_most": 1.0}]}
    assert "column" in refused(running, "POST", "/v1/recommend", json=wrong)["detail"]
    wrong = {"user_id": user, "filters": [{"column": "price", "any_of": ["x"]}]}
    assert "type" in refused(running, "POST", "/v1/recommend", json=wrong)["detail"]


def test_rules_by_name(running, offline) -> None:
    user = running.ids("users")[8]
    plain = running.items_for(user, k=5)
    folder = running.state / "rules"
    folder.mkdir()
    rule = f'[[rule]]\nname = "not this"\nkind = "block"\nitems = ["{plain[0]}"]\n'
    (folder / "shop.toml").write_text(rule)
    answer = running.post("/v1/recommend", {"user_id": user, "k": 5, "rules": "shop"})
    assert [one["item_id"] for one in answer["items"]][:4] == plain[1:]
    assert answer["policy"] == "rules:shop"
    assert plain[0] in {one["item_id"] for one in answer["moves"] if one["rule"] == "not this"}
    drawn = {"user_id": user, "k": 5, "rules": "shop", "exploration": 0.5}
    answer = running.post("/v1/recommend", drawn)
    assert all(0 < one["propensity"] <= 1 for one in answer["items"])
    assert plain[0] not in [one["item_id"] for one in answer["items"]]
    nothing = {"user_id": user, "rules": "nothing"}
    assert "no rule set" in refused(running, "POST", "/v1/recommend", json=nothing)["detail"]


# ---------------------------------------------------------------- events


def test_the_next_answer_reflects_an_event(running) -> None:
    user = "newcomer"
    before = running.items_for(user, k=10)
    event = {"event_id": "first", "user_id": user, "item_id": before[0], "behaviour": "view"}
    told = running.post("/v1/events", event)
    assert told["accepted"] == 1
    answer = running.post("/v1/recommend", {"user_id": user, "k": 10, "exclude_seen": True})
    assert answer["delta_offset"] >= told["events"][0]["offset"]
    assert answer["basis"] == "personal"
    assert before[0] not in [one["item_id"] for one in answer["items"]]


def test_an_event_again_is_the_same_event(running) -> None:
    event = {"event_id": "again", "user_id": "repeater", "item_id": running.ids("items")[0]}
    first = running.post("/v1/events", event)["events"][0]
    for _ in range(2):
        second = running.post("/v1/events", event)
        assert second["duplicates"] == 1
        assert second["events"][0]["offset"] == first["offset"]
    other = running.post("/v1/events", {**event, "item_id": running.ids("items")[1]})
    assert other["conflicts"] == 1
    assert running.get("/v1/profile/repeater")["events"] == 1


def test_batches_and_lines(running) -> None:
    items = running.ids("items")
    events = [{"user_id": "several", "item_id": items[n], "timestamp": 1e9 + n} for n in range(3)]
    assert running.post("/v1/events", {"events": events})["accepted"] == 3
    lines = b'{"user_id":"several","item_id":"%s"}\n' % items[3].encode() * 2
    headers = {"content-type": "application/x-ndjson"}
    told = running.http.post("/v1/events", content=lines, headers=headers).json()
    assert told["accepted"] == 2
    history = running.get("/v1/profile/several", params={"export": "true"})["history"]
    assert [one["item_id"] for one in history] == [*items[:3], items[3], items[3]]
    lines = b'{"user_id":"several","item_id":"x"}\n{"user_id":"several"}'
    wrong = running.http.post("/v1/events", content=lines, headers=headers)
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["where"] == "2.item_id"
    assert running.get("/v1/profile/several")["events"] == 5  # none of a refused batch


def test_events_that_the_model_cannot_read(running) -> None:
    event = {"user_id": "odd", "item_id": "of another shop"}
    assert running.post("/v1/events", event)["unknown_items"] == 1
    wrong = {**event, "behaviour": "levitate"}
    assert "choose one of" in refused(running, "POST", "/v1/events", json=wrong)["detail"]
    assert "session_id" in refused(running, "POST", "/v1/events", json={"item_id": "x"})["detail"]


# ---------------------------------------------------------------- the other answers


def test_score_similar_explain(running, offline) -> None:
    user, items = running.ids("users")[4], running.ids("items")[:3]
    answer = running.post("/v1/score", {"user_id": user, "items": items})
    table = offline.predict([(user, item) for item in items]).to_pylist()
    fused = offline.scorer.scores(offline.histories([user]))[0]
    for row, one in enumerate(answer["items"]):
        assert one["score"] == pytest.approx(fused[row], abs=1e-4)
        assert one["value"] == pytest.approx(table[row]["value"], abs=1e-4)
        assert one["probabilities"]["buy"] == pytest.approx(table[row]["p_buy"], abs=1e-4)
    near = running.get(f"/v1/similar/{items[0]}", params={"k": 3})["items"]
    assert near == offline.similar(items[0], k=3)
    why = running.post("/v1/explain", {"user_id": user, "item_id": items[0]})
    expected = offline.recommend([user], 1, candidates=[items[0]], exclude_seen=False, reasons=True)
    assert [one["evidence"] for one in why["reasons"]] == [r.evidence for r in expected[0].reasons]
    assert running.http.get("/v1/similar/nothing").status_code == 404
    assert running.http.get("/v1/profile/nobody-at-all").status_code == 404


def test_edits_change_the_next_answer(running) -> None:
    user = running.ids("users")[5]
    before = running.items_for(user, k=10)
    path = f"/v1/profile/{user}"
    assert running.http.patch(path, json={"mute_items": {before[0]: True}}).status_code == 200
    assert running.items_for(user, k=9) == before[1:]
    running.http.patch(path, json={"mute_items": {before[0]: None}})
    assert running.items_for(user, k=10) == before
    profile = running.get(path)
    wanted = profile["interests"][-1]["name"]
    running.http.patch(path, json={"interests": {wanted: 1.0}})
    after = running.items_for(user, k=10)
    assert after != before
    assert running.get(path)["edits"] == {"interests": {wanted: 1.0}}
    running.http.patch(path, json={"interests": None})
    assert running.items_for(user, k=10) == before
    met = running.get(path, params={"export": "true"})["history"][-1]["item_id"]
    running.http.patch(path, json={"forget_items": {met: True}})
    assert running.get(path)["events"] < profile["events"]
    assert (
        "categories" in refused(running, "PATCH", path, json={"interests": {"no": 1.0}})["detail"]
    )


def test_who_takes_back_all_they_ever_said_is_told_so(running) -> None:
    path, item = "/v1/profile/only-mutes", running.ids("items")[0]
    assert running.http.patch(path, json={"mute_items": {item: True}}).json()["edits"]
    taken_back = running.http.patch(path, json={"mute_items": {item: None}})
    assert (taken_back.status_code, taken_back.json()["edits"]) == (200, {})
    assert running.http.get(path).status_code == 404


def test_muted_categories_are_not_shown(running, offline) -> None:
    user = running.ids("users")[6]
    category = offline.trained.item_table["category"].to_pylist()[0]
    path = f"/v1/profile/{user}"
    assert running.http.patch(path, json={"mute_categories": {category: True}}).status_code == 200
    shown = running.items_for(user, k=50, exclude_seen=False)
    rows = offline.trained.items.rows(shown)
    assert category not in {offline.trained.item_table["category"][int(r)].as_py() for r in rows}
    assert shown


# ---------------------------------------------------------------- items


def test_a_new_item_is_there_at_once_and_goes_when_retired(running) -> None:
    user = running.ids("users")[7]
    others = running.items_for(user, k=50, exclude_seen=False)
    item = {"item_id": "brand new", "attributes": {"title": "a tea cup", "price": 3.5}}
    told = running.post("/v1/items", item)
    shown = running.items_for(user, k=60, exclude_seen=False)
    assert told["added"] == 1
    assert "brand new" in shown
    assert [one for one in shown if one != "brand new"] == others
    event = {"user_id": user, "item_id": "brand new", "behaviour": "view"}
    assert running.post("/v1/events", event)["unknown_items"] == 0
    assert "brand new" not in running.items_for(user, k=60, exclude_seen=True)
    assert running.post("/v1/items", {"item_id": "brand new", "retired": True})["retired"] == 1
    assert "brand new" not in running.items_for(user, k=60, exclude_seen=False)
    wrong = {"item_id": "x", "attributes": {"price": "dear"}}
    assert "price: double" in refused(running, "POST", "/v1/items", json=wrong)["detail"]
    wrong = {"item_id": "x", "attributes": {"colour": "red"}}
    assert "columns" in refused(running, "POST", "/v1/items", json=wrong)["detail"]


# ---------------------------------------------------------------- erasure and restart


def test_an_erased_person_is_a_stranger(bundle, tmp_path) -> None:
    with Running(bundle, tmp_path) as server:
        user = server.ids("users")[0]
        server.post("/v1/events", {"user_id": user, "item_id": server.ids("items")[0]})
        receipt = server.http.delete(f"/v1/users/{user}").json()
        assert receipt["records"] >= 1
        assert len(receipt["digest"]) == 64
        assert server.post("/v1/recommend", {"user_id": user})["basis"] == "popular"
        assert server.http.get(f"/v1/profile/{user}").status_code == 404
        other = server.ids("users")[1]
        server.post("/v1/events", {"user_id": other, "item_id": server.ids("items")[0]})
        server.post("/v1/items", {"item_id": "kept", "attributes": {"title": "tea"}})
        lists = server.items_for(other, k=60)
    with Running(bundle, tmp_path) as again:
        assert again.post("/v1/recommend", {"user_id": user})["basis"] == "popular"
        assert again.items_for(other, k=60) == lists
        assert "kept" in lists


def test_an_export_holds_what_the_model_has_no_use_for_too(running) -> None:
    event = {"event_id": "odd", "user_id": "exporter", "item_id": "never heard of", "timestamp": 7}
    assert running.post("/v1/events", event)["unknown_items"] == 1
    running.post("/v1/events", {"user_id": "exporter", "item_id": running.ids("items")[0]})
    told = running.get("/v1/profile/exporter?export=true")["history"]
    assert [one["item_id"] for one in told] == ["never heard of", running.ids("items")[0]]


def test_a_field_that_is_none_is_answered_with_those_that_are(running) -> None:
    found = refused(running, "POST", "/v1/recommend", json={"userid": "me"})["errors"]
    assert found[0]["what"].startswith("not a field here; the fields are: ")
    assert "user_id" in found[0]["what"]
    assert "userid" not in str(found)
