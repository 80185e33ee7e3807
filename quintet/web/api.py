"""From a table of routes to HTTP: keys, limits, strict bodies, request ids, numbers and log lines.

A handler gets a :class:`Call` and gives a dictionary or JSON bytes; all else is here, once, so that
no route can lack a scope, echo a body or forget a deadline.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route as Mounted
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from quintet.errors import InvalidRequestError, OverloadedError, QuintetError
from quintet.web.deadlines import Deadlines
from quintet.web.problems import Unfit, fitted, of_error, problem
from quintet.web.protocol import Limits
from quintet.web.security import NOBODY, Caller, Gatekeeper
from quintet.web.security import Scope as KeyScope
from quintet.web.service import Service
from quintet.web.strict import check_path, read_json, read_query
from quintet.web.telemetry import Log, Metrics

JSON = "application/json"
HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-type", JSON.encode()),
]
NDJSON = "application/x-ndjson"
IDS_AT_ONCE = 256
ID_BYTES = 12
BLANK_ID = "-" * (2 * ID_BYTES)
TOO_MUCH = "too much is asked at once; try again"


@dataclass(frozen=True)
class Call:
    """One request on its way.

    Attributes:
        service: what answers.
        request_id: drawn for it.
        caller: whose key came with it.
        body: as its model.
        query: as its model.
        path: parameters of the path.
    """

    service: Service
    request_id: str
    caller: Caller
    body: Any
    query: Any
    path: dict[str, str]


Handler = Callable[[Call], Awaitable[dict[str, Any] | bytes | Response]]
Reader = Callable[[bytes, str], Any]


@dataclass(frozen=True)
class Route:
    """What a route takes, asks for and gives.

    Attributes:
        method: of HTTP.
        path: its template.
        scope: what a key needs; "public" needs none.
        handler: what answers.
        answer: the model of the answer.
        summary: for the documentation.
        body: the model of the body, if it takes one.
        query: the model of the query, if it takes one.
        read: from the body's bytes and media type to what the handler gets, where a model is not
            all there is to it.
        media: types of body that it takes.
        examples: bodies, by name.
        seconds: to answer, where the limits' own are too few: what loads a bundle takes its time.
    """

    method: str
    path: str
    scope: KeyScope
    handler: Handler
    answer: type[BaseModel] | None
    summary: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    read: Reader | None = None
    media: tuple[str, ...] = (JSON,)
    examples: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


class Ids:
    """Ids that nobody can guess; the system is asked for many at once."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def __call__(self) -> str:
        """The next one."""
        if not self._left:
            drawn, step = secrets.token_hex(ID_BYTES * IDS_AT_ONCE), 2 * ID_BYTES
            self._left = [drawn[start : start + step] for start in range(0, len(drawn), step)]
        return self._left.pop()


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of this name (in small letters)."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


@dataclass
class Gate:
    """What every request passes."""

    service: Service
    keeper: Gatekeeper
    limits: Limits
    metrics: Metrics
    log: Log
    access_log: bool = True
    busy: int = 0
    deadlines: Deadlines = field(default_factory=Deadlines)
    new_id: Callable[[], str] = field(default_factory=Ids)

    async def pass_through(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; never raises."""
        started, request_id = time.perf_counter(), self.new_id()
        caller = NOBODY
        self.busy += 1
        self.metrics.in_flight(self.busy)
        task = asyncio.current_task()
        assert task is not None
        self.deadlines.set(task, route.seconds or self.limits.answer_seconds)
        response: Response | bytes
        try:
            caller = self._admit(route, scope)
            response = await self._answer(route, scope, receive, request_id, caller)
        except asyncio.CancelledError:
            if not self.deadlines.late(task):
                raise
            response = self._failed(TimeoutError(), request_id)
        except Exception as error:
            response = self._failed(error, request_id)
        finally:
            self.deadlines.clear(task)
            self.busy -= 1
            self.metrics.in_flight(self.busy)
        status = 200 if isinstance(response, bytes) else response.status_code
        self._note(route, status, started, request_id, caller)
        told = (b"x-request-id", request_id.encode())
        if isinstance(response, bytes):
            length = (b"content-length", b"%d" % len(response))
            headers = [*HEADERS, length, told]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": response})
        else:
            response.raw_headers.append(told)
            await response(scope, receive, send)

    def _note(
        self, route: Route, status: int, started: float, request_id: str, caller: Caller
    ) -> None:
        """An answer for the numbers and the log."""
        took = time.perf_counter() - started
        self.metrics.answered(route.path, status, took)
        if self.access_log:
            self.log.write(
                "request",
                route=f"{route.method} {route.path}",
                status=status,
                ms=round(took * 1000, 2),
                request_id=request_id,
                key=caller.key,
            )

    def crowded(self) -> bool:
        """Whether one more request would be one too many."""
        return self.busy >= self.service.settings.waiting

    def refusal(self, route: Route) -> bytes | None:
        """The whole answer to a request that is one too many; None where there is room for it."""
        if route.scope == "public" or not self.crowded():
            return None
        started, request_id = time.perf_counter(), self.new_id()
        self.metrics.refused.labels(OverloadedError.__name__).inc()
        self._note(route, OverloadedError.http_status, started, request_id, NOBODY)
        return self._too_much.replace(BLANK_ID.encode(), request_id.encode())

    @functools.cached_property
    def _too_much(self) -> bytes:
        """A refusal with a blank in place of the request's id: it must cost next to nothing."""
        response = of_error(OverloadedError(TOO_MUCH, 1.0), BLANK_ID)
        told = [*response.raw_headers, (b"x-request-id", BLANK_ID.encode())]
        head = b"".join(b"%b: %b\r\n" % pair for pair in told)
        return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)

    def _admit(self, route: Route, scope: Scope) -> Caller:
        check_path(scope.get("raw_path") or b"")
        if route.scope == "public":
            return NOBODY
        if self.busy > self.service.settings.waiting:
            raise OverloadedError(TOO_MUCH, 1.0)
        return self.keeper.admit(header(scope, b"authorization"), route.scope)

    async def _answer(
        self, route: Route, scope: Scope, receive: Receive, request_id: str, caller: Caller
    ) -> Response | bytes:
        query = body = None
        sent = read_query(scope["query_string"])
        if route.query is not None:
            query = fitted(route.query, sent, strict=False)
        elif sent:
            raise InvalidRequestError("this route takes no query parameters")
        if route.body is not None:
            body = await self._body(route, scope, receive)
        path = scope.get("path_params", {})
        made = await route.handler(Call(self.service, request_id, caller, body, query, path))
        if isinstance(made, dict):
            return msgspec.json.encode({"request_id": request_id, **made})
        return made

    async def _body(self, route: Route, scope: Scope, receive: Receive) -> Any:
        media = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        if media not in route.media:
            raise InvalidRequestError(f"content-type must be {' or '.join(route.media)}")
        data, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            data += message.get("body", b"")
            if len(data) > self.limits.body_bytes:
                raise InvalidRequestError("the body is too large")
            more = message.get("more_body", False)
        if route.read is not None:
            return route.read(data, media)
        assert route.body is not None
        return fitted(route.body, read_json(data))

    def _failed(self, error: Exception, request_id: str) -> Response:
        if isinstance(error, Unfit):
            return problem(
                422, "the request does not fit", request_id=request_id, errors=error.errors
            )
        if isinstance(error, QuintetError):
            if error.http_status in (401, 403, 429, 503):
                self.metrics.refused.labels(type(error).__name__).inc()
            return of_error(error, request_id)
        if isinstance(error, TimeoutError):
            self.metrics.refused.labels("timeout").inc()
            return problem(503, "not in time", request_id=request_id, retry_after=1.0)
        if isinstance(error, ClientDisconnect):
            return problem(408, request_id=request_id)
        # where it was raised, but not its message: that may hold what was sent
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
        self.log.write("error", kind=type(error).__name__, at=place, request_id=request_id)
        return problem(500, "an error of the service", request_id=request_id)


@dataclass(frozen=True)
class Endpoint:
    """One route as an ASGI application."""

    gate: Gate
    route: Route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        await self.gate.pass_through(self.route, scope, receive, send)


class Application(FastAPI):
    """An application that finds routes without parameters in one look-up.

    The framework's layers around an endpoint take longer than a list does; what they would add
    (errors as answers, limits) is in the :class:`Gate`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(openapi_url=None, redirect_slashes=False, **settings)
        self.direct: dict[tuple[str, str], Endpoint] = {}
        self.crowded: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        known = scope["type"] == "http"
        endpoint = self.direct.get((scope["method"], scope["path"])) if known else None
        await (endpoint or super().__call__)(scope, receive, send)

    def refusal(self, method: str, path: str) -> bytes | None:
        """See :data:`~quintet.web.protocol.Refusal`; of routes without parameters."""
        endpoint = self.direct.get((method, path))
        return None if endpoint is None else endpoint.gate.refusal(endpoint.route)

    def install(self, gate: Gate, routes: Sequence[Route]) -> None:
        """Add routes; their description is written in openapi.py, from the same table."""
        self.crowded = gate.crowded
        for route in routes:
            endpoint = Endpoint(gate, route)
            name = f"{route.method} {route.path}"
            self.router.routes.append(
                Mounted(route.path, endpoint, methods=[route.method], name=name)
            )
            if "{" not in route.path:
                self.direct[route.method, route.path] = endpoint
