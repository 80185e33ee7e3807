"""Who may do what, which files can be reached, and what the log tells of people."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.faults.process import Serving, wait_for
from benchmarks.faults.scene import Scene
from benchmarks.faults.tally import Tally
from quintet.web.routes import ROUTES
from quintet.web.security import SCOPES, new_key, read_keys, write_keys

#: what a caller without the right gets, and what one with it never gets
DENIED = (401, 403)


def scopes(scene: Scene) -> Tally:
    """Every route with no key, a wrong one, and a key of each scope alone."""
    tally = Tally("scope matrix of every route")
    path = scene.folder / "keys.json"
    made = {scope: new_key(scope, [scope], rate=1e6) for scope in SCOPES}
    write_keys(path, [record for _, record in made.values()])
    keys = {scope: key for scope, (key, _) in made.items()}
    right = keys["read"]
    wrong = {
        "": "no key",
        "qk_nobody": "no key's form",
        right[:-1] + ("A" if right[-1] != "A" else "B"): "one character off",
        right.swapcase(): "other case",
        f" {right}": "a space before",
    }
    state = scene.folder / "state"
    with Serving(scene.models.films.bundle, state, "--quiet", "--keys", path) as server:
        for route in ROUTES:
            public = route.scope == "public"
            for scope, key in keys.items():
                status = asked(server, route, key)
                allowed = public or scope == route.scope
                good = (status not in DENIED) if allowed else status == 403
                tally.count(ok=good, trouble=f"{route.method} {route.path} {scope}: {status}")
            for key, what in wrong.items():
                status = asked(server, route, key)
                good = (status not in DENIED) if public else status == 401
                tally.count(ok=good, trouble=f"{route.method} {route.path} {what}: {status}")
    tally.notes.append(f"{len(ROUTES)} routes")
    return tally


def asked(server: Serving, route: Any, key: str) -> int:
    """The status of a harmless request to a route, with a key."""
    path = re.sub(r"\{.*?\}", "nobody", route.path)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"json": {"name": "no-such"}} if route.body is not None else {}
    return server.http.request(route.method, path, headers=headers, **body).status_code


def traversal(scene: Scene) -> Tally:
    """60 paths that lead elsewhere, wherever a name is taken: refused, and nothing is read."""
    tally = Tally("traversal strings refused")
    secret = f"secret-{scene.chance.randbytes(12).hex()}"
    (scene.folder / "secret.toml").write_text(f'note = "{secret}"')
    outside = scene.folder / "outside"
    outside.mkdir()
    (outside / "manifest.json").write_text("{}")
    state = scene.folder / "shelf" / "state"
    strings = traversal_strings(str(scene.folder / "secret"))
    with Serving(scene.models.films.bundle, state, "--quiet") as server:
        before = server.http.get("/v1/model").json()["model"]
        for text in strings:
            found = [*names_sent(server, text), *paths_sent(server, text)]
            refused = all(one.status_code in (400, 404, 405, 422, 431) for one in found[:-1])
            leaked = sum(secret in one.text for one in found)
            alive = found[-1].status_code == 200 and found[-1].json()["model"] == before
            statuses = [one.status_code for one in found]
            tally.count(leaked, ok=refused and alive, trouble=f"{text[:40]!r}: {statuses}")
        tally.count(secret in server.log(), ok=True)
    return tally


def names_sent(server: Serving, text: str) -> list[httpx.Response]:
    """The text wherever a body takes a name."""
    arms = [{"name": "a", "model": text}, {"name": "b", "rules": text}]
    bodies = {
        "/v1/model": {"name": text},
        "/v1/recommend": {"user_id": "1", "rules": text},
        "/v1/experiments": {"name": "x", "arms": arms},
    }
    return [server.http.post(path, json=body) for path, body in bodies.items()]


def paths_sent(server: Serving, text: str) -> list[httpx.Response]:
    """The text as part of a path, as it is and escaped; the last is a look at the live model."""
    found = []
    for path in (f"/v1/similar/{quote(text, safe='')}", f"/{text}", f"/v1/../{text}"):
        try:
            found.append(server.http.get(path))
        except (httpx.InvalidURL, ValueError):
            continue  # the client itself does not send it
    return [*found, server.http.get("/v1/model")]


def traversal_strings(target: str) -> list[str]:
    """60 ways to say "not here"."""
    depths = ["../" * n + "secret" for n in range(1, 9)]
    depths += ["..\\" * n + "secret" for n in range(1, 5)]
    tails = ["/etc/passwd", "\\etc\\passwd", "C:\\secret", "\\\\host\\share", "//host/share"]
    schemes = ["file:///etc/passwd", "http://127.0.0.1/", "data:,x", "zip://a!b", "s3://b/k"]
    coded = ["%2e%2e%2fsecret", "%252e%252e%252fsecret", "..%2fsecret", "..%5csecret"]
    coded += ["%c0%ae%c0%ae%c0%afsecret", "..%c0%afsecret", "%2e%2e/secret", ".%2e/secret"]
    dots = [".", "..", "...", "....//secret", "..;/secret", "./../secret", "a/../../secret"]
    dots += ["..//secret", "/../secret", "/./secret", "secret/.", "secret/..", ".secret", "-secret"]
    bytes_ = ["..\x00/secret", "secret\x00.toml", "../secret\n", "\r\n../secret", "\u2025/secret"]
    bytes_ += ["\uff0e\uff0e\uff0fsecret", "\u2215etc\u2215passwd", "~/secret", "~root", "$HOME/x"]
    more = ["${HOME}", "`id`", "$(id)", "|id", "con", "nul:", target, f"{target}.toml"]
    found = list(dict.fromkeys([*depths, *tails, *schemes, *coded, *dots, *bytes_, *more]))
    # a plain name is no way out: it is refused only because nothing of that name is there
    return found[:60]


def revoked(scene: Scene) -> Tally:
    """A key that is taken out of the file is dead within a second."""
    tally, slowest = Tally("revoked key dead within 1 s"), 0.0
    path = scene.folder / "keys.json"
    made = [new_key(f"k{number}", ["read"]) for number in range(scene.rounds(10))]
    write_keys(path, [record for _, record in made])
    state = scene.folder / "state"
    with Serving(scene.models.films.bundle, state, "--quiet", "--keys", path) as server:
        for key, record in made:
            headers = {"authorization": f"Bearer {key}"}

            def status(headers: dict[str, str] = headers) -> int:
                body = {"user_id": "1", "k": 1}
                return server.http.post("/v1/recommend", json=body, headers=headers).status_code

            alive = status() == 200
            held = read_keys(path)
            write_keys(path, [one for one in held.values() if one.id != record.id])
            started = time.monotonic()
            try:
                wait_for(lambda status=status: status() == 401, 5)
            except TimeoutError:
                alive = False
            took = time.monotonic() - started
            slowest = max(slowest, took)
            tally.count(ok=alive and took <= 1.0, trouble=f"alive for {took:.2f} s")
    tally.notes.append(f"slowest {slowest * 1000:.0f} ms")
    return tally


def silent_logs(scene: Scene) -> Tally:
    """Keys and ids go through every route, well and badly; no log and no metric holds them."""
    tally = Tally("keys and raw ids in logs and metrics")
    path, state = scene.folder / "keys.json", scene.folder / "state"
    made = [new_key(f"k{number}", SCOPES, rate=1e6) for number in range(scene.rounds(5))]
    write_keys(path, [record for _, record in made])
    ids = [f"person-{scene.chance.randbytes(8).hex()}" for _ in range(scene.rounds(50))]
    with Serving(scene.models.films.bundle, state, "--keys", path) as server:
        for number, name in enumerate(ids):
            key = made[number % len(made)][0]
            mention(server, name, {"authorization": f"Bearer {key}"})
            server.http.post("/v1/recommend", headers={"authorization": f"Bearer {key}x{name}"})
        metrics = {"authorization": f"Bearer {made[0][0]}"}
        told = server.http.get("/metrics", headers=metrics).text
    log = contents_of_logs(state) + told
    for secret in [*ids, *(key.split("_", 2)[2] for key, _ in made)]:
        tally.count(log.count(secret))
    tally.notes.append(f"{len(log) / 1e6:.2f} MB of log and metrics")
    return tally


def mention(server: Serving, name: str, headers: dict[str, str]) -> None:
    """A name in every place that takes one, in requests that fit and in some that do not."""
    for route in ROUTES:
        path = re.sub(r"\{.*?\}", name, route.path)
        bodies: list[dict[str, Any]] = [{}]
        if route.body is not None:
            event = {"user_id": name, "item_id": name, "event_id": f"e-{name}"}
            bodies = [{"json": event}, {"json": {name: name}}, {"content": name.encode()}]
        elif route.query is not None:
            bodies = [{"params": {"user_id": name}}, {"params": {name: name}}]
        for body in bodies:
            typed = {"content-type": "application/json"} if "content" in body else {}
            server.http.request(route.method, path, headers={**headers, **typed}, **body)


def contents_of_logs(state: Any) -> str:
    """The log, and whatever else was written as text beside the journal."""
    texts = [state.with_suffix(".log").read_text()]
    texts += [one.read_text() for one in state.glob("*.json")]
    return "\n".join(texts)
