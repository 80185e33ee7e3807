"""Whatever is sent, the service answers, and never with an error of its own."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quintet.web.routes import ROUTES

WITH_BODY = [route for route in ROUTES if route.body is not None]
JSON = {"content-type": "application/json"}
FEW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = st.sampled_from(
    ["", "u1", "i1", "\u0000", "\x7f", "é", "e\u0301", "\U0001f600", "a" * 600, "../x", "%00", "-1"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 10**18, 2**63 - 1, 0.5, -1e308, 5e-324, 1e300])
    | ODD
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)


def fields(route) -> list[str]:
    schema = route.body.model_json_schema()
    parts = (schema, *schema.get("$defs", {}).values())
    return sorted({name for part in parts for name in part.get("properties", {})})


def asked(server, route, content: bytes, headers=None):
    path = route.path.replace("{user:path}", "u1")
    answer = server.http.request(route.method, path, content=content, headers=headers or JSON)
    assert answer.status_code < 500 or answer.status_code == 503, (content, answer.text)
    return answer


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
def test_values_of_all_kinds_in_fields_of_all_kinds(running, route) -> None:
    names = st.sampled_from([*fields(route), "unknown"])

    @FEW
    @given(st.dictionaries(names, VALUES, max_size=4) | VALUES)
    def ask(body) -> None:
        answer = asked(running, route, json.dumps(body).encode())
        assert answer.status_code in (200, 404, 422)

    ask()


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b'{"k": NaN}',
        b'{"k": 1e400}',
        b'{"k": 123456789012345678901234567890}',
        rb'{"user_id": "\ud800"}',
        rb'{"user_id": "\u0000"}',
        b'{"user_id": "a", "user_id": "b"}',
        b'{"k": true}',
        b'{"k": "10"}',
        b"[" * 20_000,
        b"\xff\xfe\x00",
        b"{" + b'"a":1,' * 5000 + b'"b":1}',
    ],
    ids=lambda body: body[:12].decode("latin1"),
)
def test_what_other_services_stumble_over(running, route, body) -> None:
    assert asked(running, route, body).status_code == 422


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
def test_other_types_of_body_are_refused(running, route) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"):
        assert asked(running, route, b"{}", {"content-type": media}).status_code == 422


@pytest.mark.parametrize(
    "query", ["k=0", "k=1001", "k=x", "k=1&k=2", "k=", "nothing=1", "user_id=%ff", "user_id=%00"]
)
def test_queries_are_strict_too(running, query) -> None:
    assert running.http.get(f"/v1/recommend?{query}").status_code == 422


@pytest.mark.parametrize(
    "one", ["é", "e\u0301", "\U0001f600", "a/b", "a b", "a%2Fb", "?", "#", "+"]
)
def test_ids_of_all_scripts_come_back_and_do_not_fall_together(running, one) -> None:
    from urllib.parse import quote

    event = {"user_id": one, "item_id": running.ids("items")[0], "session_id": one}
    answer = running.post("/v1/events", event)
    assert answer["accepted"] == 1
    profile = running.get(f"/v1/profile/{quote(one, safe='')}")
    assert profile["user_id"] == one
    assert profile["events"] == 1
    listed = running.post("/v1/recommend", {"user_id": one})
    assert listed["user_id"] == one


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/recommend/", 404),
        ("PUT", "/v1/events", 405),
        ("GET", "/v1/profile/", 422),
        ("GET", "/v1/profile/%00", 422),
        ("GET", "/v1/profile/%ff", 422),
        ("DELETE", "/v1/users/", 422),
        ("GET", "/docs", 404),
    ],
)
def test_paths(running, method, path, status) -> None:
    answer = running.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
