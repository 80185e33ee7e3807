"""The console: a page that runs its own code alone, and the item that it asks about."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from quintet.serve.recommender import Recommender
from quintet.web import console


@pytest.fixture(scope="module")
def offline(bundle) -> Recommender:
    return Recommender.load(bundle)


@pytest.fixture(scope="module")
def page(running) -> str:
    answer = running.http.get("/console")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def test_only_its_own_code_may_run(running, page: str) -> None:
    policy = running.http.get("/console").headers["content-security-policy"]
    assert policy == console.policy()
    for kind in ("script", "style"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # nothing of another host, and no text that is made into markup
    assert not re.search(r"https?://|innerHTML|style=|\son\w+=\"", page)


def test_every_field_has_a_label(page: str) -> None:
    labelled = re.findall(r"<label[^>]*>(.*?)</label>", page, re.DOTALL)
    fields = re.findall(r"<input id=\"(\w+)\"", page)
    assert fields
    for field in fields:
        assert any(f'id="{field}"' in label for label in labelled), field


def test_what_it_asks_for_is_there(running, page: str) -> None:
    known = {route.split("/{")[0] for route in running.http.get("/openapi.json").json()["paths"]}
    asked = {path.rstrip("/") for path in re.findall(r"[\"`](/(?:v1|health)/[\w/]*)", page)}
    assert asked
    assert asked <= known


def test_an_item_is_described(running, offline) -> None:
    item = running.ids("items")[2]
    answer = running.get(f"/v1/items/{item}")
    assert answer["item_id"] == item
    (known,) = offline.trained.item_table.slice(2, 1).to_pylist()
    for name in ("title", "price", "category"):
        assert answer["attributes"][name] == known[name]
    assert answer["attributes"]["released"].startswith(known["released"].date().isoformat())
    assert answer["offered"] is True
    assert running.http.get("/v1/items/nothing").status_code == 404
