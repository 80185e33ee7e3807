"""Items that change while the service runs: what is not said stays, through restarts too."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pytest

from quintet.store import ItemUpsert
from quintet.web import items as items_module
from quintet.web.readable import all_readable
from web.running import Running


def test_what_a_change_does_not_name_stays(running) -> None:
    item = running.ids("items")[5]
    before = running.get(f"/v1/items/{item}")["attributes"]
    running.post("/v1/items", {"item_id": item, "attributes": {"price": 3.0}})
    assert running.get(f"/v1/items/{item}")["attributes"] == before | {"price": 3.0}
    running.post("/v1/items", {"item_id": item, "retired": True})
    running.post("/v1/items", {"item_id": item})  # offered again
    again = running.get(f"/v1/items/{item}")
    assert again["offered"]
    assert again["attributes"] == before | {"price": 3.0}
    running.post("/v1/items", {"item_id": item, "attributes": {"title": None}})
    assert running.get(f"/v1/items/{item}")["attributes"]["title"] is None


def test_a_retired_item_is_the_same_after_a_restart(bundle, tmp_path) -> None:
    with Running(bundle, tmp_path) as server:
        changed = {"item_id": server.ids("items")[3], "attributes": {"price": 77.0}}
        server.post("/v1/items", {"items": [changed, {"item_id": "late", "attributes": {}}]})
        ids = [changed["item_id"], "late"]
        for item in ids:
            server.post("/v1/items", {"item_id": item, "retired": True})
        before = [server.get(f"/v1/items/{item}")["attributes"] for item in ids]
    with Running(bundle, tmp_path) as again:
        after = [again.get(f"/v1/items/{item}") for item in ids]
        assert [one["attributes"] for one in after] == before
        assert before[0]["price"] == 77.0
        assert not any(one["offered"] for one in after)


def test_who_retires_an_unknown_item_added_none(running) -> None:
    told = running.post("/v1/items", {"item_id": "never", "retired": True})
    assert (told["added"], told["changed"], told["retired"]) == (0, 0, 0)
    assert running.http.get("/v1/items/never").status_code == 404


@pytest.mark.parametrize("attributes", [{"price": 1e308}, {"released": 1 << 62}])
def test_what_no_float_or_calendar_holds_is_refused(running, attributes) -> None:
    wrong = {"item_id": "dear", "attributes": attributes}
    assert running.http.post("/v1/items", json=wrong).status_code == 422
    assert running.http.get("/v1/items/dear").status_code == 404


def test_counts_of_all_people_outlive_a_change_of_an_item(bundle, tmp_path) -> None:
    with Running(bundle, tmp_path) as server:
        item, other = server.ids("items")[30:32]
        events = [{"user_id": f"new {n}", "item_id": item, "behaviour": "buy"} for n in range(400)]
        server.post("/v1/events", {"events": events})
        server.service.recounter.least_seconds = 1e-9
        assert server.service.recounter.run()
        counted = server.items_for("nobody", k=5)
        assert counted[0] == item
        server.post("/v1/items", {"item_id": other, "attributes": {"price": 3.0}})
        assert server.items_for("nobody", k=5)[0] == item


def test_a_pin_brings_in_nothing_that_may_not_be_shown(running) -> None:
    user, item, allowed = running.ids("users")[4], *running.ids("items")[9:11]
    folder = running.state / "rules"
    folder.mkdir(exist_ok=True)
    rule = f'[[rule]]\nname = "hero"\nkind = "pin"\nitem = "{item}"\nposition = 1\n'
    (folder / "pin.toml").write_text(rule, encoding="utf8")
    asked = {"user_id": user, "k": 3, "rules": "pin", "exclude_seen": False}
    shown = [one["item_id"] for one in running.post("/v1/recommend", asked)["items"]]
    assert shown[0] == item
    among = running.post("/v1/recommend", asked | {"candidates": [allowed]})["items"]
    assert [one["item_id"] for one in among] == [allowed]
    running.post("/v1/items", {"item_id": item, "retired": True})
    shown = [one["item_id"] for one in running.post("/v1/recommend", asked)["items"]]
    assert item not in shown
    assert len(shown) == 3


def test_a_query_puts_its_matches_first_under_rules_too(running) -> None:
    (running.state / "rules").mkdir(exist_ok=True)
    (running.state / "rules" / "none.toml").write_text("", encoding="utf8")
    asked = {"user_id": running.ids("users")[3], "k": 4, "query": "tea", "exclude_seen": False}
    plain = running.post("/v1/recommend", asked)["items"]
    ruled = running.post("/v1/recommend", asked | {"rules": "none"})["items"]
    assert [one["item_id"] for one in ruled] == [one["item_id"] for one in plain]


def test_an_arm_whose_rules_name_what_is_not_there_is_refused(running) -> None:
    (running.state / "rules").mkdir(exist_ok=True)
    text = '[[rule]]\nname = "odd"\nkind = "one_per"\nattribute = "nope"\n'
    (running.state / "rules" / "odd.toml").write_text(text, encoding="utf8")
    arms = [{"name": "a"}, {"name": "b", "rules": "odd"}]
    answer = running.http.post("/v1/experiments", json={"name": "e", "arms": arms})
    assert answer.status_code == 422
    assert "nope" in answer.text


def test_a_line_is_named_by_its_place_in_what_was_sent(running) -> None:
    good = '{"user_id": "u", "item_id": "i"}'
    answer = running.http.post(
        "/v1/events",
        content=f"\n\n{good}\n{{bad",
        headers={"content-type": "application/x-ndjson"},
    )
    assert answer.status_code == 422
    assert "line 4" in answer.json()["detail"]


def test_a_wanted_interest_counts_under_rules_too(running) -> None:
    (running.state / "rules").mkdir(exist_ok=True)
    (running.state / "rules" / "none.toml").write_text("", encoding="utf8")
    user = running.ids("users")[6]
    asked = {"user_id": user, "k": 6, "rules": "none", "exclude_seen": False}
    before = [one["item_id"] for one in running.post("/v1/recommend", asked)["items"]]
    kind = running.get(f"/v1/items/{before[-1]}")["attributes"]["category"]
    edit = {"interests": {kind: 1.0}}
    assert running.http.patch(f"/v1/profile/{user}", json=edit).status_code == 200
    after = [one["item_id"] for one in running.post("/v1/recommend", asked)["items"]]
    plain = running.post("/v1/recommend", asked | {"rules": None})["items"]
    assert after == [one["item_id"] for one in plain]
    assert after != before


def test_changes_of_one_item_at_once_are_all_kept(running) -> None:
    item = running.ids("items")[8]
    for number in range(6):
        start = threading.Barrier(2)

        def change(attributes: dict, start: threading.Barrier = start) -> None:
            start.wait()
            running.post("/v1/items", {"item_id": item, "attributes": attributes})

        told = {"title": f"title {number}"}, {"price": 100.0 + number}
        both = [threading.Thread(target=change, args=(one,)) for one in told]
        for one in both:
            one.start()
        for one in both:
            one.join()
        now = running.get(f"/v1/items/{item}")["attributes"]
        assert {name: now[name] for name in ("title", "price")} == told[0] | told[1]


def test_an_item_whose_number_is_none_can_be_changed(running, monkeypatch) -> None:
    live = running.service.holder.live
    assert items_module._is_finite([1.0, "a", 2])
    assert not items_module._is_finite([1.0, float("nan")])
    row = running.ids("items")[9]
    table = live.trained.item_table
    prices = table["price"].to_pylist()
    prices[9] = math.nan
    place = table.column_names.index("price")
    broken = table.set_column(place, table.schema.field("price"), pa.array(prices, pa.float64()))
    trained = replace(live.trained, item_table=broken)
    known = items_module._attributes(SimpleNamespace(trained=trained), row)
    assert "price" not in known
    assert "title" in known


def test_a_change_is_taken_in_by_every_model_that_can_read_it(running) -> None:
    live = running.service.holder.live
    change = ItemUpsert(upsert_id="c", item_id="new", timestamp=1, attributes={"price": 1.5})
    narrow = replace(live, base=SimpleNamespace(**vars_of(live.base, price="text")))
    assert all_readable(live, [change])
    assert all_readable(narrow, [change]) == []


def vars_of(trained, price: str) -> dict:
    """A catalogue of another column type, as far as reading a change looks at it."""
    table = trained.item_table
    words = pa.array([price] * len(table))
    place = table.column_names.index("price")
    other = table.set_column(place, pa.field("price", words.type), words)
    return {"items": trained.items, "item_table": other, "item_encoder": trained.item_encoder}
