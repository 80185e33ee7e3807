"""Limits of the wire: size, time, and that others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import time
from contextlib import ExitStack

import httptools
import pytest
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st

from quintet.web.protocol import Limits, plain_request
from quintet.web.server import LISTENERS, listeners
from quintet.web.service import Settings
from tests.web.running import Running, wait_for

SIZES = {"header_bytes": 4096, "body_bytes": 50_000}
#: far below what a test waits for, and above it: what one says about time holds on a busy machine
SOON, NEVER, PATIENCE = 0.6, 600.0, 60.0
CHUNK = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
POST = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def limited(bundle, tmp_path_factory):
    """A server with short deadlines."""
    limits = Limits(**SIZES, header_seconds=SOON, body_seconds=SOON, write_seconds=SOON)
    with Running(bundle, tmp_path_factory.mktemp("limited"), limits=limits) as server:
        yield server


@pytest.fixture(scope="module")
def patient(bundle, tmp_path_factory):
    """A server without deadlines: what it answers, it answers at once."""
    phases = ("header", "body", "write", "answer")
    limits = Limits(**SIZES, **{f"{phase}_seconds": NEVER for phase in phases})
    with Running(bundle, tmp_path_factory.mktemp("patient"), limits=limits) as server:
        yield server


@pytest.fixture(scope="module")
def full(bundle, tmp_path_factory):
    """A server that has no room for a single request."""
    settings = Settings(waiting=0, seed=0)
    with Running(bundle, tmp_path_factory.mktemp("full"), settings=settings) as server:
        yield server


def exchange(server: Running, sent: bytes) -> tuple[bytes, float]:
    """What comes back until the server closes, and how long that took."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as wire:
        answer = b""
        try:
            wire.sendall(sent)
            while more := wire.recv(65536):
                answer += more
        except (ConnectionResetError, BrokenPipeError):
            answer += b"<reset>"
    return answer, time.monotonic() - started


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health/li",
        b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ",
        POST + b"content-length: 100\r\n\r\n{",
        POST + b"transfer-encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_who_stops_sending_is_closed_on_deadline(limited, sent) -> None:
    answer, seconds = exchange(limited, sent)
    assert seconds >= SOON / 2  # not at once; to the millisecond no loop's clock is kept
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_who_dribbles_is_closed_too(limited) -> None:
    """A deadline that every byte put off would end at the limit of size, with another answer."""
    with socket.create_connection(("127.0.0.1", limited.port), PATIENCE) as wire:
        try:
            wire.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
            while not select.select([wire], [], [], 0.05)[0]:
                wire.sendall(b"x: 1\r\n")
            assert wire.recv(4096).startswith(b"HTTP/1.1 408")
        except (ConnectionResetError, BrokenPipeError):
            pass  # closed while a byte was on its way


def slow_clients(server: Running, stack: ExitStack) -> list[socket.socket]:
    """A hundred that promise a body and send its first byte."""
    wires = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(100)]
    for wire in wires:
        stack.enter_context(wire)
        wire.sendall(POST + b"content-length: 90\r\n\r\n{")
    return wires


def test_many_slow_clients_do_not_hinder_the_others(patient) -> None:
    with ExitStack() as stack:
        slow_clients(patient, stack)
        for _ in range(20):
            assert patient.http.get("/health/live").status_code == 200


def test_many_slow_clients_are_closed(limited) -> None:
    with ExitStack() as stack:
        for wire in slow_clients(limited, stack):
            assert wire.recv(4096)[:12] in (b"HTTP/1.1 408", b"")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 5000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 5000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"x: 1\r\n" * 900, b"431"),
        (POST + b"content-length: 50001\r\n\r\n", b"413"),
        (POST + b"content-length: 99999999999999999999\r\n\r\n", b"4"),
        (
            POST
            + b"transfer-encoding: chunked\r\n\r\n"
            + (b"4000\r\n" + b" " * 16384 + b"\r\n") * 4,
            b"413",
        ),
        (POST + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", b"415"),
        (b"\x16\x03\x01nonsense\r\n\r\n", b"400"),
    ],
)
def test_what_is_too_large_or_packed_is_refused_at_once(patient, sent, status) -> None:
    answer, _ = exchange(patient, sent)
    # a client that was still sending may see the connection reset before it reads the answer
    assert answer.startswith(b"HTTP/1.1 " + status) or answer == b"<reset>"


def test_the_largest_that_fits_is_read(patient) -> None:
    event = b'{"user_id": "u", "item_id": "i1"}'
    body = event + b" " * (SIZES["body_bytes"] - len(event))
    answer, _ = exchange(
        patient, POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    assert answer.startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(patient) -> None:
    one = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer, _ = exchange(patient, one * 3 + last)
    assert answer.count(b"HTTP/1.1 200") == 4


def test_a_client_that_does_not_read_is_dropped(limited) -> None:
    with socket.create_connection(("127.0.0.1", limited.port)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        mine = wire.getsockname()
        held = limited.server.server_state.connections
        wire.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 400)
        wait_for(lambda: any(one.client == mine for one in list(held)))
        wait_for(lambda: not any(one.client == mine for one in list(held)))


ASK = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
HEALTH = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        ASK + b"content-length: 2\r\n\r\n{}",
        ASK + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"GET /v1/recommend?user_id=u1 HTTP/1.1\r\nhost: x\r\n\r\n",
        ASK + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_one_too_many_is_refused_and_the_connection_goes_on(full, sent) -> None:
    answer, _ = exchange(full, sent * 2 + HEALTH)
    first, second, last = answer.split(b"HTTP/1.1 ")[1:]
    assert last.startswith(b"200")
    ids = set()
    for one in (first, second):
        head, _, body = one.partition(b"\r\n\r\n")
        assert head.startswith(b"503 Service Unavailable\r\n")
        assert b"retry-after: 1" in head
        assert b"x-request-id: " in head
        assert b"content-length: %d" % len(body) in head
        told = json.loads(body)
        assert told["detail"] == "too much is asked at once; try again"
        assert f"x-request-id: {told['request_id']}".encode() in head
        ids.add(told["request_id"])
    assert len(ids) == 2


def test_one_too_many_after_the_other_is_refused_on_the_same_connection(full) -> None:
    with socket.create_connection(("127.0.0.1", full.port), PATIENCE) as client:
        for _ in range(3):
            client.sendall(ASK + b"content-length: 2\r\n\r\n{}")
            assert client.recv(65_536).startswith(b"HTTP/1.1 503")
        client.sendall(HEALTH)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")


class Parsed:
    """What the parser makes of bytes."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.url, self.names = b"", []

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.names.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.ended += 1


LINES = [b"GET /v1/recommend?user_id=u1 HTTP/1.1", b"POST /v1/recommend HTTP/1.1"]
LINES += [b"GET / HTTP/1.0", b"GET  / HTTP/1.1", b"GET\t/ HTTP/1.1", b" POST / HTTP/1.1"]
FIELDS = [b"host: x", b"content-length: 2", b"Content-Length: 2", b"content-length: 02"]
FIELDS += [
    b"content-length:2",
    b"content-length : 2",
    b"content-length: 2, 2",
    b"x: content-length: 2",
]
FIELDS += [b"Connection: keep-alive", b"connection: keep-alive, close"]
FIELDS += [b"transfer-encoding: chunked", b"Connection: close", b"expect: 100-continue", b" x", b""]
BODIES = [b"", b"{}", b"{", b"2\r\n{}\r\n0\r\n\r\n", b"{}GET / HTTP/1.1\r\n\r\n"]
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@given(
    st.sampled_from(LINES),
    st.lists(st.tuples(ENDS, st.sampled_from(FIELDS)), max_size=4),
    st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\r\n", b"\n\n"]),
    st.sampled_from(BODIES),
)
@example(LINES[1], [(b"\r\n", b"content-length: 2")], b"\r\n\r\n", b"{}")
@example(LINES[1], [(b"\r\n", b"content-length:2")], b"\r\n\r\n", b"")
@example(
    LINES[1], [(b"\r\n", b"content-length: 2"), (b"\n", b"content-length:0")], b"\r\n\r\n", b"{}"
)
@example(LINES[1], [(b"\r\n", b"transfer-encoding: chunked")], b"\r\n\r\n", b"")
@example(LINES[0], [(b"\r\n", b"host: x"), (b"\n", b"host: y")], b"\r\n\r\n", b"")
@example(LINES[0], [(b"\r\n", b"host: x"), (b"\r\n", b" folded")], b"\r\n\r\n", b"")
@example(LINES[0], [(b"\r\n", b"connection: close")], b"\r\n\r\n", b"")
@example(LINES[0], [(b"\r\n", b"host: x")], b"\r\n\r\n", b"{}")
@example(LINES[0], [(b"\r\n", b"host: x")], b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")
def test_what_is_plain_is_one_whole_request_to_the_parser_too(line, fields, end, body) -> None:
    data = line + b"".join(ended + field for ended, field in fields) + end + body
    plain = plain_request(data, Limits())
    if plain is None:
        return
    told = Parsed()
    parser = httptools.HttpRequestParser(told)
    try:
        parser.feed_data(data)
    except httptools.HttpParserError:
        pytest.fail(f"the parser refuses what is taken for plain: {data!r}")
    assert (told.begun, told.ended) == (1, 1)
    assert plain == (parser.get_method().decode(), told.url.partition(b"?")[0].decode())
    assert parser.should_keep_alive()
    parser.feed_data(b"GET / HTTP/1.1\r\n\r\n")  # nothing of the first was left for the second
    assert told.ended == 2


def test_a_plain_request_is_known_as_one() -> None:
    asked = ASK + b"content-length: 2\r\n\r\n{}"
    assert plain_request(asked, Limits()) == ("POST", "/v1/recommend")
    kept = ASK + b"Connection: keep-alive\r\ncontent-length: 2\r\n\r\n{}"
    assert plain_request(kept, Limits()) == ("POST", "/v1/recommend")
    for more in (b"Connection: keep-alive, close", b"x: connection: keep-alive", b"upgrade: x"):
        assert plain_request(kept.replace(b"host: x", more), Limits()) is None
    assert plain_request(asked, Limits(body_bytes=1)) is None
    assert plain_request(asked, Limits(header_bytes=50)) is None


def test_copies_of_a_listener_do_not_wait_while_they_are_made() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, ExitStack() as stack:
        for one in listeners(first)[1:]:
            stack.enter_context(one)
        assert not os.get_blocking(first.fileno())


def test_many_who_connect_at_once_are_taken_in_at_once() -> None:
    taken = []

    class Counting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken.append(transport)

    async def turns() -> int:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0), backlog=64) as first, ExitStack() as stack:
            servers = [await loop.create_server(Counting, sock=one) for one in listeners(first)]
            for _ in range(2 * LISTENERS):
                stack.enter_context(socket.create_connection(first.getsockname()))
            needed = 0
            while len(taken) < 2 * LISTENERS:
                await asyncio.sleep(0)
                needed += 1
            for one in taken:
                one.close()
            for server in servers:
                server.close()
        return needed

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns()) < LISTENERS  # one a turn would take twice as many


def test_who_closes_after_one_too_many_is_told_so_too(full) -> None:
    answer, _ = exchange(full, ASK + b"connection: close\r\ncontent-length: 2\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 503")


def test_the_body_of_one_too_many_is_limited_like_any_other(full) -> None:
    answer, _ = exchange(full, ASK + b"content-length: 3000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_refusals_are_counted(full) -> None:
    name = 'quintet_refused_total{why="OverloadedError"}'

    def refused() -> float:
        lines = full.service.metrics.text().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    before = refused()
    assert full.http.post("/v1/recommend", json={"user_id": "u1"}).status_code == 503
    assert refused() == before + 1


def test_an_empty_line_after_an_answer_keeps_no_connection_open(limited) -> None:
    with socket.create_connection(("127.0.0.1", limited.port), PATIENCE) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in client.recv(65_536)
        client.sendall(b"\r\n")
        rest = b"."
        while rest:  # until the server ends it; a timeout fails the test
            rest = client.recv(65_536)
