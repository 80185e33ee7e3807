"""Whatever is sent: no error of the service's own, no hang, no memory."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from benchmarks.faults.process import Serving
from benchmarks.faults.scene import Scene
from benchmarks.faults.tally import Tally
from quintet.web.api import Route
from quintet.web.openapi import describe
from quintet.web.routes import ROUTES

EXAMPLES, LONG_EXAMPLES = 200, 2000
PATIENCE, GROWTH = 10.0, 20.0
ODD = st.sampled_from(
    ["", "1", "7", "\x00", "\x7f", "é", "e\u0301", "\U0001f600", "a" * 600, "../x", "%00", "-1"]
)
NUMBERS = [0, -1, 1, 10**18, 2**63 - 1, 2**63, 10**40, 0.5, -1e308, 5e-324, 1e300]
LEAVES = st.none() | st.booleans() | st.sampled_from(NUMBERS) | ODD | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=8,
)
#: what JSON parsers take apart, and what they should not take at all
BROKEN = [
    b"", b"NaN", b'{"k": NaN}', b'{"k": 1e400}', rb'{"user_id": "\ud800"}', b"[" * 20_000,
    b'{"user_id": "a", "user_id": "b"}', b"\xff\xfe\x00", b"{" + b'"a":1,' * 5000 + b'"b":1}',
    b'{"k":' + b"9" * 5000 + b"}", b'"' + b"\xed\xa0\x80" + b'"', b"\xef\xbb\xbf{}", b"{}{}",
]  # fmt: skip


def bodies(scene: Scene) -> list[Tally]:
    """Values of all kinds in fields of all kinds, broken JSON, and what the description allows."""
    n = LONG_EXAMPLES if scene.long else scene.rounds(EXAMPLES)
    with Serving(scene.models.films.bundle, scene.folder / "state", "--quiet") as server:
        own = Tally(f"hostile bodies, {n} a route")
        described = Tally(f"schemathesis on the OpenAPI, {n} an operation")
        watch = Watch(server)
        for route in ROUTES:
            before = own.tried
            fuzzed(route, n, watch, own)
            assert own.tried - before >= n, "hypothesis ran fewer examples"
        schemed(n, watch, described)
        last = server.http.post("/v1/recommend", json={"user_id": "1"})
        own.count(ok=last.status_code == 200, trouble=f"a good request gets {last.text[:200]}")
    own.notes.append(f"{len(ROUTES)} routes, slowest {watch.slowest:.2f} s, {watch.statuses}")
    return [own, described]


class Watch:
    """Sends requests to one server and remembers what came."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, timeout=PATIENCE)
        self.slowest = 0.0
        self.statuses: dict[int, int] = {}

    def send(self, method: str, path: str, tally: Tally, **options: Any) -> None:
        """One request: anything below 500 in time is good."""
        started = time.perf_counter()
        try:
            answer = self.http.request(method, path, **options)
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError, ValueError):
            tally.count()  # the client itself refuses to send it
            return
        except httpx.TransportError as error:
            tally.count(1, trouble=f"{method} {path[:40]}: {type(error).__name__}")
            return
        took = time.perf_counter() - started
        self.slowest = max(self.slowest, took)
        status = answer.status_code
        self.statuses[status] = self.statuses.get(status, 0) + 1
        good = status < 500 or (path.startswith("/health") and status == 503)
        tally.count(ok=good, trouble=f"{method} {path[:40]}: {status} {options}"[:200])


def many(n: int) -> Callable[[Any], Any]:
    """Hypothesis without limits of its own, with the same examples every time."""
    quiet = settings(
        max_examples=n,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(0)(quiet(test))


def fuzzed(route: Route, n: int, watch: Watch, tally: Tally) -> None:
    """``n`` bodies, queries or paths for one route."""
    names = st.sampled_from([*fields(route), "unknown"])
    documents = st.dictionaries(names, VALUES, max_size=5) | VALUES
    texts = documents.map(lambda value: json.dumps(value).encode())
    content = texts | st.sampled_from(BROKEN) | st.binary(max_size=40) | texts.map(lambda t: t[:-1])
    media = st.sampled_from(["application/json"] * 8 + ["application/x-ndjson", "text/plain", ""])
    parameters = st.dictionaries(names | ODD, ODD | st.sampled_from(["1", "true", "x"]), max_size=3)

    @many(n)
    @given(content, media, parameters, st.text(min_size=1, max_size=20) | ODD)
    def send(data: bytes, kind: str, query: dict[str, str], place: str) -> None:
        path = re.sub(r"\{.*?\}", lambda _: quote(place, safe=""), route.path)
        options: dict[str, Any] = {"headers": {"content-type": kind}}
        if route.body is not None:
            options["content"] = data
        elif query:
            options["params"] = query
        watch.send(route.method, path, tally, **options)

    send()
    while tally.tried % n:  # hypothesis leaves out what it drew twice
        watch.send(route.method, re.sub(r"\{.*?\}", f"{tally.tried}", route.path), tally)


def fields(route: Route) -> list[str]:
    """Names of all fields of a route's body and query."""
    found: set[str] = set()
    for model in (route.body, route.query):
        schema = model.model_json_schema() if model is not None else {}
        for part in (schema, *schema.get("$defs", {}).values()):
            found |= set(part.get("properties", {}))
    return sorted(found)


def schemed(n: int, watch: Watch, tally: Tally) -> None:
    """``n`` requests an operation, made by schemathesis from the description."""
    import schemathesis
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_dict(describe(ROUTES))
    takes_nothing = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                cases = operation.as_strategy(generation_mode=mode)
            except Exception:
                continue

            @many(n // 2)
            @given(cases)
            def send(case: Any) -> None:
                options = case.as_transport_kwargs(base_url=watch.server.url)
                url = options.pop("url").removeprefix(watch.server.url)
                method = options.pop("method")
                options = {name: value for name, value in options.items() if value is not None}
                data = options.pop("data", None)
                if data is not None:
                    options["content"] = data
                options.pop("cookies", None)
                watch.send(method, url, tally, **options)

            before = tally.tried
            try:
                send()
            except Unsatisfiable:  # what takes nothing cannot be given anything wrong
                if mode is GenerationMode.POSITIVE or tally.tried > before:
                    raise
                takes_nothing += 1
    tally.notes.append(f"{takes_nothing} operations take nothing that could be wrong")


# ---------------------------------------------------------------- too large


def giants(scene: Scene) -> Tally:
    """60 MB bodies, 200 KB headers, gzip bombs: refused, with memory growth of 20 MB at most."""
    tally = Tally("60 MB bodies, 200 KB headers, gzip bombs; growth <= 20 MB")
    with Serving(scene.models.films.bundle, scene.folder / "state", "--quiet") as server:
        for number in range(20):  # what it needs for usual work is not growth
            server.http.post("/v1/recommend", json={"user_id": number})
        server.forget_peak()
        before, grown = server.memory(), 0.0
        for name, pieces in monsters().items():
            for _ in range(scene.rounds(5)):
                status = pushed(server.port, pieces)
                grown = max(grown, server.memory("VmHWM") - before)
                tally.count(
                    ok=status in (400, 408, 413, 415, 431) and grown <= GROWTH,
                    trouble=f"{name}: {status}, {grown:.1f} MB",
                )
        tally.count(ok=server.is_ready(), trouble="it does not answer any more")
    tally.notes.append(f"growth {grown:.1f} MB")
    return tally


def monsters() -> dict[str, Callable[[], Any]]:
    """Pieces of requests that are too large, by name."""
    post = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    megabyte = b" " * (1 << 20)
    bomb = gzip.compress(bytes(200 << 20), 9)
    chunk = b"%x\r\n" % len(megabyte) + megabyte + b"\r\n"
    zipped = post + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    return {
        "60 MB with a length": lambda: (
            [post + b"content-length: 62914560\r\n\r\n"] + [megabyte] * 60
        ),
        "60 MB in chunks": lambda: [post + b"transfer-encoding: chunked\r\n\r\n"] + [chunk] * 60,
        "one header of 200 KB": lambda: [post, b"x-long: " + b"a" * 204_800, b"\r\n\r\n"],
        "endless header": lambda: [post, b"x-long: ", *[b"a" * 4096] * 50],
        "5,000 headers": lambda: [post, *[b"x-%d: y\r\n" % n for n in range(5000)], b"\r\n"],
        "200 KB path": lambda: [b"GET /" + b"a" * 204_800 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
        "gzip bomb": lambda: [zipped, bomb],
        "gzip bomb in chunks": lambda: [
            post + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n",
            b"%x\r\n" % len(bomb) + bomb + b"\r\n0\r\n\r\n",
        ],
    }


def pushed(port: int, pieces: Callable[[], Any]) -> int:
    """The status that comes back while a request is being sent; 0 for none."""
    got: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as line:
        line.settimeout(PATIENCE)

        def read() -> None:
            try:
                while piece := line.recv(4096):
                    got.append(piece)
            except OSError:
                pass

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for piece in pieces():
                line.sendall(piece)
        except OSError:
            pass  # it has closed the door
        reader.join(PATIENCE + 5)
    words = b"".join(got).split(b" ", 2)
    return int(words[1]) if len(words) > 1 else 0


# ---------------------------------------------------------------- ids


def unicode_ids(scene: Scene) -> Tally:
    """Ids of all scripts come back as they were sent or are refused; no two fall together."""
    tally = Tally("unicode ids come back or are refused, none collide")
    item = scene.models.films.ids("items")[0]
    names = odd_ids(scene)
    with Serving(scene.models.films.bundle, scene.folder / "state", "--quiet") as server:
        taken = []
        for name in names:
            event = {"user_id": name, "item_id": item, "event_id": f"id-{len(taken)}"}
            status = server.http.post("/v1/events", json=event).status_code
            tally.count(ok=status in (200, 422), trouble=f"{name!r}: {status}")
            taken += [name] if status == 200 else []
        for name in taken:
            answer = server.http.get(f"/v1/profile/{quote(name, safe='')}")
            told = answer.json()
            good = answer.status_code == 200 and told["user_id"] == name and told["events"] == 1
            tally.count(ok=good, trouble=f"{name!r}: {told}"[:120])
    tally.notes.append(f"{len(taken)} taken, {len(names) - len(taken)} refused")
    return tally


def odd_ids(scene: Scene) -> list[str]:
    """Ids that other services confuse with one another."""
    letters = "éåñöç가각がぱ나क़ড়שׁΆ"
    made = {unicodedata.normalize(form, f"x{one}") for one in letters for form in ("NFC", "NFD")}
    made |= {unicodedata.normalize("NFKC", "ﬁ①Å") + "k", "ﬁ①Åk", "\u212b", "\u00c5"}
    made |= {"ID", "id", "Id", "ıd", "İD", "straße", "strasse", "STRASSE", "ß", "ẞ"}
    made |= {"a b", "a  b", " a", "a ", "a\u00a0b", "a\u200bb", "ab", "a\u202eb", "a\u2060b"}
    made |= {"0x1", "1e3", "+a", "%2e", "%2E", "a/b", "a%2fb", "a?b", "a#b", "a&b", "..", "."}
    made |= {"\U0001f600", "\U0001f468\u200d\U0001f469", "👍", "👍🏽", "\x00", "\x1f", "\x7f", ""}
    while len(made) < scene.rounds(200):
        points = [scene.chance.choice([0x41, 0x3B1, 0x627, 0x4E00, 0x1F300]) for _ in range(4)]
        made.add("".join(chr(point + scene.chance.randrange(20)) for point in points))
    return sorted(made)
