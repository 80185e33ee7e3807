"""What people may see, take back and have erased: all that is held of them."""

from __future__ import annotations

import pytest

from quintet.store import Event, Owner
from quintet.web import known as known_module
from quintet.web.journaling import other_owner


def test_an_export_holds_more_than_answers_rest_on(running, monkeypatch) -> None:
    monkeypatch.setattr(known_module, "MOST_RECORDS", 3)
    items = running.ids("items")[:6]
    events = [
        {"event_id": f"x{place}", "user_id": "many", "item_id": item}
        for place, item in enumerate(items)
    ]
    assert running.post("/v1/events", {"events": events})["accepted"] == 6
    told = running.get("/v1/profile/many", params={"export": "true"})
    assert [one["item_id"] for one in told["history"]] == items
    assert told["events"] == 3
    running.http.patch("/v1/profile/many", json={"forget_items": {items[5]: True}})
    told = running.get("/v1/profile/many", params={"export": "true"})
    assert [one["item_id"] for one in told["history"]] == items, "it is still stored"
    assert told["events"] == 2


def test_what_was_forgotten_counts_again_when_it_is_met_again(running) -> None:
    item, path = running.ids("items")[7], "/v1/profile/again"
    for number in range(2):
        event = {"event_id": f"again-{number}", "user_id": "again", "item_id": item}
        running.post("/v1/events", event)
        assert running.get(path)["events"] == 1
        if not number:
            running.http.patch(path, json={"forget_items": {item: True}})
            assert running.http.get(path).json()["events"] == 0


@pytest.mark.parametrize(
    ("one", "other"), [("5", 5), (5, "5"), ("05", None), ("ann", None), (str(2**63), None)]
)
def test_an_id_has_another_form_where_it_is_a_whole_number(one, other) -> None:
    expected = None if other is None else Owner.user(other)
    assert other_owner(Owner.user(one)) == expected


def test_an_erasure_reaches_what_a_former_bundle_wrote_by_another_type_of_ids(running) -> None:
    journal, item = running.service.journal, running.ids("items")[0]
    journal.append([Event(event_id="n", user_id=777, item_id=item, timestamp=2**51)])
    running.post("/v1/events", {"event_id": "t", "user_id": "777", "item_id": item})
    receipt = running.http.delete("/v1/users/777").json()
    assert receipt["records"] >= 2
    for user in (777, "777"):
        assert list(journal.read_owner(Owner.user(user))) == []


def test_a_draw_too_cold_for_chances_is_none_and_the_journal_stays_readable(running) -> None:
    user = running.ids("users")[0]
    told = {"user_id": user, "k": 3, "exploration": 1e-309}
    answer = running.get("/v1/recommend", params=told)
    assert answer["policy"] == "rank"
    assert running.post("/v1/recommend", told)["policy"] == "rank"
    assert list(running.service.journal.read(kinds=["exposure"]))
    assert running.service.journal.verify().problems == ()


def test_a_rule_file_that_cannot_be_read_fails_who_asked_for_it_alone(running) -> None:
    (running.state / "rules" / "folder.toml").mkdir(parents=True)
    question = {"user_id": running.ids("users")[1], "k": 3}
    refused = running.http.post("/v1/recommend", json=question | {"rules": "folder"})
    assert refused.status_code == 422
    assert "Is a directory" in refused.json()["detail"]
    assert running.items_for(question["user_id"], k=3)
