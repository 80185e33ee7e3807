"""HTTP/1.1 with limits: what a client may send, and how long it may take over it.

uvicorn alone keeps a connection open for as long as a client dribbles, and takes headers and bodies
of any size. Here every phase has a deadline, and what is too large is answered at once and closed,
before it is in memory. So is one request too many, unparsed if it came whole, else by its headers
alone: a service that makes a task for every request only to refuse it has no time left for those
that it took.
"""

from __future__ import annotations

import asyncio
import http
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes:
        header_bytes: of the request line and all headers.
        body_bytes: of the body.
        header_seconds: from the first byte, or from connecting, to the end of the headers.
        body_seconds: from there to the end of the body.
        write_seconds: a client may leave an answer unread.
        answer_seconds: to answer, after the whole request has come.
    """

    header_bytes: int = 16_384
    body_bytes: int = 2_000_000
    header_seconds: float = 5.0
    body_seconds: float = 10.0
    write_seconds: float = 10.0
    answer_seconds: float = 10.0


#: the whole answer, by method and path, to a request that is one too many; None for all others
Refusal = Callable[[str, str], bytes | None]
#: what makes more of a request than its first line and its length tell
UNUSUAL = (b"transfer-encoding", b"content-encoding", b"connection", b"expect", b"upgrade")
#: a request line and headers that every reader of HTTP reads alike (RFC 9112, sections 3 and 5)
PLAIN = re.compile(
    rb"([A-Z]+) (/[!->@-~]*)(?:\?[!-~]*)? HTTP/1\.1"
    rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)*"
)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with :class:`Limits` and a :data:`Refusal`."""

    limits = Limits()
    refusal: Refusal
    crowded: Callable[[], bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._body_bytes = 0
        self._unparsed = 0
        self._in_message = False
        self._in_head = True
        self._refused = False
        self._too_many: bytes | None = None

    # ------------------------------------------------------------------ deadlines

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :class:`asyncio.Protocol`."""
        super().connection_made(transport)
        self._arm(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._disarm()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser until something is refused; then nothing more is read."""
        if self._refused or (self.crowded() and self._turned_away(data)):
            return
        self._unparsed += len(data)
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self._in_message and self._deadline is None:
            self._arm(self.limits.header_seconds)  # what came began no request, such as empty lines
        # the parser tells of a header only when it is whole: an endless one would grow unseen
        if self._in_head and self._unparsed > self.limits.header_bytes:
            self._refuse(431)

    def _turned_away(self, data: bytes) -> bool:
        """Answer one request too many that came whole; whether it was one."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self._in_message or self._unparsed:
            return False
        asked = plain_request(data, self.limits)
        answer = None if asked is None else self.refusal(*asked)
        if answer is None:
            return False
        self._disarm()
        self._unset_keepalive_if_required()
        self.transport.write(answer)
        self.on_response_complete()
        return True

    def pause_writing(self) -> None:
        """The client does not read: give it some time, then drop it."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self._in_message:
            self._refuse(408)
        else:
            self.transport.close()

    # ------------------------------------------------------------------ what the parser meets

    def on_message_begin(self) -> None:
        """A request starts."""
        super().on_message_begin()
        self._header_bytes = self._body_bytes = 0
        self._in_message = self._in_head = True
        self._arm(self.limits.header_seconds)

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        if self._fits(len(name) + len(value) + 4):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse by what the headers say, else let the body come."""
        self._in_head = False
        if self._refused:
            return
        for name, value in self.headers:
            if name == b"content-length" and _length(value) > self.limits.body_bytes:
                self._refuse(413)
                return
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                self._refuse(415)
                return
        self._arm(self.limits.body_seconds)
        self._too_many = self._one_too_many()
        if self._too_many is None:
            super().on_headers_complete()

    def _one_too_many(self) -> bytes | None:
        """What to answer at once; None where the application is to answer.

        Who waits for leave to send a body, or closes the connection after it, or has asked for more
        before the last answer came, is left to the application.
        """
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            return None
        if self.expect_100_continue or not self.parser.should_keep_alive():
            return None
        path = self.url.partition(b"?")[0].decode("latin-1")
        return self.refusal(self.parser.get_method().decode("latin-1"), path)

    def on_body(self, body: bytes) -> None:
        """Count the body."""
        if self._refused:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self.limits.body_bytes:
            self._refuse(413)
            return
        if self._too_many is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has come whole."""
        self._disarm()
        self._in_message, self._in_head, self._unparsed = False, True, 0
        if self._refused:
            return
        if self._too_many is None:
            super().on_message_complete()
            return
        self.transport.write(self._too_many)
        self._too_many = None
        self.on_response_complete()

    def _fits(self, more: int) -> bool:
        self._header_bytes += more
        if self._header_bytes > self.limits.header_bytes:
            self._refuse(431)
        return not self._refused

    def _refuse(self, status: int) -> None:
        """Answer with a status and close, unless an answer is already under way."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # whoever waits for the body must not wait on
            cycle.message_event.set()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            phrase = http.HTTPStatus(status).phrase
            body = f'{{"title":"{phrase}","status":{status}}}'.encode()
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed; ``msg`` is uvicorn's own."""
        if not self._refused:
            super().send_400_response(msg)


def _length(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 16 else 1 << 62


def plain_request(data: bytes, limits: Limits) -> tuple[str, str] | None:
    """Method and path, if the data is one whole request with nothing unusual about it; else None.

    Whatever could be read in two ways is not plain: the parser is there for that.
    """
    head, ended, body = data.partition(b"\r\n\r\n")
    if not ended or len(head) > limits.header_bytes or len(body) > limits.body_bytes:
        return None
    # what many clients say, and means what goes without saying
    lines = (head.lower() + b"\r\n").replace(b"\r\nconnection: keep-alive\r\n", b"\r\n")
    if any(word in lines for word in UNUSUAL):
        return None
    _, told, behind = lines.partition(b"\r\ncontent-length: ")
    length = _length(behind.partition(b"\r\n")[0]) if told else 0
    if lines.count(b"content-length") != bool(told) or length != len(body):
        return None
    found = PLAIN.fullmatch(head)
    if found is None:
        return None
    method, path = found.groups()
    return method.decode("latin-1"), path.decode("latin-1")


def limited(limits: Limits, refusal: Refusal, crowded: Callable[[], bool]) -> type[LimitedProtocol]:
    """The protocol class with these limits, as uvicorn's ``http`` setting takes it.

    Args:
        limits: of a request.
        refusal: what is answered to those that are too many.
        crowded: whether there could be one too many now.
    """
    own = {
        "limits": limits,
        "refusal": staticmethod(refusal),
        "crowded": staticmethod(crowded),
    }
    return type("LimitedProtocol", (LimitedProtocol,), own)
