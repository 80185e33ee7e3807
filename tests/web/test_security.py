"""Keys, scopes, limits; and that nothing of a person or a key is in a log."""

from __future__ import annotations

import json
import re
import time

import pytest
from starlette.routing import Route as StarletteRoute

from quintet.errors import ConfigError, ForbiddenError, TooManyRequestsError, UnauthorizedError
from quintet.web.routes import ROUTES
from quintet.web.security import SCOPES, Gatekeeper, new_key, read_keys, write_keys
from quintet.web.server import Options
from tests.web.running import Running, keys_file

PUBLIC = {"/health/live", "/health/ready", "/openapi.json", "/console"}
TRAVERSALS = [
    f"{up}{name}"
    for up in ("../", "..\\", "%2e%2e/", "....//", "/", "~/", "./../", "bundle/../../", "..;/")
    for name in ("etc", "bundle", "x.json", "")
]


@pytest.fixture(scope="module")
def guarded(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    keys = keys_file(
        folder / "keys.json", read=["read"], write=["write"], admin=["admin"], all=list(SCOPES)
    )
    with Running(bundle, folder / "state", keys=folder / "keys.json") as server:
        server.given = keys
        yield server


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# ---------------------------------------------------------------- scopes


def test_every_route_of_the_application_has_a_declared_scope(guarded) -> None:
    declared = {(route.method, route.path): route.scope for route in ROUTES}
    served = {
        (method, route.path)
        for route in guarded.app.routes
        if isinstance(route, StarletteRoute)
        for method in route.methods - {"HEAD"}
    }
    assert served == set(declared)
    assert set(declared.values()) <= {*SCOPES, "public"}
    assert {path for (_, path), scope in declared.items() if scope == "public"} == PUBLIC


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_scope_matrix(guarded, route) -> None:
    """Without a key 401, with one of another scope 403, with the right one neither."""
    path = route.path.replace("{user:path}", "nobody").replace("{item:path}", "nothing")
    status = {
        name: guarded.http.request(route.method, path, headers=bearer(key)).status_code
        for name, key in guarded.given.items()
    }
    status["none"] = guarded.http.request(route.method, path).status_code
    if route.scope == "public":
        assert set(status.values()) == {200}
        return
    assert status["none"] == 401
    for name in SCOPES:
        assert (status[name] == 403) == (name != route.scope), name
    assert status["all"] not in (401, 403)


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer x", "Basic abc", "Bearer qk_00000000_" + "a" * 43, "\xff"]
)
def test_what_is_no_key_is_refused(guarded, sent) -> None:
    headers = {"authorization": sent.encode("latin1")}
    answer = guarded.http.get("/v1/similar/x", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_of_another_with_the_same_id_is_refused(guarded) -> None:
    key = guarded.given["read"]
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert guarded.http.get("/v1/similar/x", headers=bearer(forged)).status_code == 401


# ---------------------------------------------------------------- the keys file


def test_the_file_holds_no_key(tmp_path) -> None:
    key, record = new_key("shop", ["read"])
    write_keys(tmp_path / "keys.json", [record])
    secret = key.split("_", 2)[2]
    assert secret not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    assert read_keys(tmp_path / "keys.json") == {record.id: record}
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a keys file"):
        read_keys(tmp_path / "keys.json")


def test_a_revoked_key_is_dead_within_a_second_and_a_new_one_works(bundle, tmp_path) -> None:
    keys = keys_file(tmp_path / "keys.json", one=["read"], two=["read"])
    keeper = Gatekeeper(tmp_path / "keys.json")
    assert keeper.admit(f"Bearer {keys['one']}", "read").scopes == {"read"}
    held = read_keys(tmp_path / "keys.json")
    gone = keys["one"].split("_")[1]
    fresh, record = new_key("three", ["read"])
    write_keys(tmp_path / "keys.json", [*(r for i, r in held.items() if i != gone), record])
    later = time.monotonic() + 0.5
    with pytest.raises(UnauthorizedError):
        keeper.admit(f"Bearer {keys['one']}", "read", later)
    keeper.admit(f"Bearer {keys['two']}", "read", later)
    keeper.admit(f"Bearer {fresh}", "read", later)


def test_a_file_that_cannot_be_read_admits_nobody_until_it_can(tmp_path) -> None:
    keys = keys_file(tmp_path / "keys.json", one=["read"])
    keeper = Gatekeeper(tmp_path / "keys.json")
    good = (tmp_path / "keys.json").read_text()
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(UnauthorizedError):
        keeper.admit(f"Bearer {keys['one']}", "read", time.monotonic() + 1)
    assert keeper.fault
    (tmp_path / "keys.json").write_text(good)
    keeper.admit(f"Bearer {keys['one']}", "read", time.monotonic() + 2)
    assert not keeper.fault


def test_rates_and_quotas(tmp_path) -> None:
    """Rate 2 a second, 4 at once: a fifth at once is refused, half a second later one passes."""
    key, record = new_key("slow", ["read"], rate=2.0)
    capped, quota = new_key("capped", ["read"], daily=3)
    write_keys(tmp_path / "keys.json", [record, quota])
    keeper = Gatekeeper(tmp_path / "keys.json")
    now = time.monotonic()
    for _ in range(4):
        keeper.admit(f"Bearer {key}", "read", now)
    with pytest.raises(TooManyRequestsError) as error:
        keeper.admit(f"Bearer {key}", "read", now)
    assert error.value.retry_after == pytest.approx(0.5)
    keeper.admit(f"Bearer {key}", "read", now + 0.5)
    for _ in range(3):
        keeper.admit(f"Bearer {capped}", "read", now)
    with pytest.raises(TooManyRequestsError, match="quota"):
        keeper.admit(f"Bearer {capped}", "read", now)
    with pytest.raises(ForbiddenError):
        keeper.admit(f"Bearer {capped}", "write", now)


def test_workers_share_a_rate(tmp_path) -> None:
    key, record = new_key("slow", ["read"], rate=2.0)
    write_keys(tmp_path / "keys.json", [record])
    halves = [Gatekeeper(tmp_path / "keys.json", workers=2) for _ in range(2)]
    now, passed = time.monotonic(), 0
    for keeper in halves * 5:
        try:
            keeper.admit(f"Bearer {key}", "read", now)
            passed += 1
        except TooManyRequestsError:
            pass
    assert passed == 4


# ---------------------------------------------------------------- what is open, what is logged


def test_without_keys_only_this_machine_may_ask() -> None:
    Options("bundle", "state").check()
    with pytest.raises(ConfigError, match="only this machine"):
        Options("bundle", "state", host="0.0.0.0").check()
    with pytest.raises(ConfigError, match="one process"):
        Options("bundle", "state", workers=2).check()
    Options("bundle", "state", workers=2, store="redis://localhost/0").check()


def test_no_key_and_nothing_that_was_sent_is_in_the_log(guarded) -> None:
    marker = "Zxq7marker"
    headers = bearer(guarded.given["all"])
    asks = [
        ("POST", "/v1/recommend", {"user_id": marker, "query": marker}),
        ("POST", "/v1/recommend", {marker: marker}),
        ("POST", "/v1/recommend", {"user_id": marker, "scenario": marker}),
        ("POST", "/v1/events", {"user_id": marker, "item_id": marker}),
        ("GET", f"/v1/profile/{marker}", None),
        ("GET", f"/v1/similar/{marker}?{marker}=1", None),
        ("DELETE", f"/v1/users/{marker}", None),
        ("GET", f"/{marker}", None),
        ("POST", "/v1/model", {"name": marker}),
    ]
    for method, path, body in asks:
        answer = guarded.http.request(method, path, json=body, headers=headers)
        if answer.status_code == 422:
            assert marker not in answer.text
    text = guarded.lines.getvalue()
    assert text.count("\n") >= len(asks)
    assert marker not in text
    assert guarded.given["all"] not in text
    assert not re.search(r"[A-Za-z0-9_-]{43}", text)
    for line in guarded.log():
        assert {"time", "event"} <= set(line)
    assert marker not in guarded.http.get("/metrics", headers=headers).text


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_bundle_is_never_looked_for_elsewhere(guarded, name) -> None:
    headers = bearer(guarded.given["admin"])
    before = guarded.service.holder.live
    answer = guarded.http.post("/v1/model", json={"name": name}, headers=headers)
    assert answer.status_code == 422
    assert guarded.service.holder.live is before


def test_a_link_out_of_the_shelf_is_not_followed(guarded, bundle, tmp_path) -> None:
    (bundle.parent / "linked").symlink_to(tmp_path)
    try:
        headers = bearer(guarded.given["admin"])
        answer = guarded.http.post("/v1/model", json={"name": "linked"}, headers=headers)
        assert "must lie in" in answer.json()["detail"]
    finally:
        (bundle.parent / "linked").unlink()


def test_the_description_names_scopes_and_examples(guarded) -> None:
    described = guarded.get("/openapi.json")
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert len(operations) == len(ROUTES)
    for one in operations:
        assert one["x-scope"] in (*SCOPES, "public")
        body = one.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            assert body["examples"]
    text = json.dumps(described)
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in described["components"]["schemas"]


def test_the_examples_of_the_description_are_answered(guarded) -> None:
    """Ids of the examples may be unknown; their form never is."""
    headers = bearer(guarded.given["all"])
    for route in ROUTES:
        for body in route.examples.values():
            path = route.path.replace("{user:path}", "u1")
            answer = guarded.http.request(route.method, path, json=body, headers=headers)
            assert answer.status_code in (200, 404) or route.path == "/v1/model", answer.text


def test_a_keys_file_that_cannot_be_read_admits_nobody(tmp_path) -> None:
    given = keys_file(tmp_path / "keys.json", read=["read"])
    keeper = Gatekeeper(tmp_path / "keys.json")
    keeper.admit(f"Bearer {given['read']}", "read", now=time.monotonic())
    (tmp_path / "keys.json").unlink()
    (tmp_path / "keys.json").mkdir()
    for later in (5, 10):
        with pytest.raises(UnauthorizedError):
            keeper.admit(f"Bearer {given['read']}", "read", now=time.monotonic() + later)
