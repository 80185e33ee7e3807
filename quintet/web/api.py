"""From a table of routes to HTTP: keys, limits, strict bodies, request ids, numbers and log lines.

A handler gets a :class:`Call` and gives a dictionary or JSON bytes; all else is here, once, so that
no route can lack a scope, echo a body or forget a deadline.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Mounted
from starlette.types import Receive, Scope, Send

from quintet.errors import InvalidRequestError, OverloadedError, QuintetError
from quintet.web.problems import Unfit, fitted, of_error, problem
from quintet.web.protocol import Limits
from quintet.web.security import Caller, Gatekeeper
from quintet.web.security import Scope as KeyScope
from quintet.web.service import Service
from quintet.web.strict import check_path, read_json, read_query
from quintet.web.telemetry import Log, Metrics

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
JSON = "application/json"
NDJSON = "application/x-ndjson"


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

    async def pass_through(self, route: Route, request: Request, send: Send) -> None:
        """Answer one request; never raises."""
        started, request_id = time.perf_counter(), secrets.token_hex(12)
        caller = Caller()
        self.busy += 1
        self.metrics.busy.inc()
        try:
            caller = self._admit(route, request)
            async with asyncio.timeout(route.seconds or self.limits.answer_seconds):
                response = await self._answer(route, request, request_id, caller)
        except Exception as error:
            response = self._failed(error, request_id)
        finally:
            self.busy -= 1
            self.metrics.busy.dec()
        response.raw_headers.append((b"x-request-id", request_id.encode()))
        took = time.perf_counter() - started
        self.metrics.answered(route.path, response.status_code, took)
        if self.access_log:
            self.log.write(
                "request",
                route=f"{route.method} {route.path}",
                status=response.status_code,
                ms=round(took * 1000, 2),
                request_id=request_id,
                key=caller.key,
            )
        await response(request.scope, request.receive, send)

    def _admit(self, route: Route, request: Request) -> Caller:
        check_path(request.scope.get("raw_path") or b"")
        if route.scope == "public":
            return Caller()
        if self.busy > self.service.settings.waiting:
            raise OverloadedError("too much is asked at once; try again", 1.0)
        return self.keeper.admit(request.headers.get("authorization"), route.scope)

    async def _answer(
        self, route: Route, request: Request, request_id: str, caller: Caller
    ) -> Response:
        query = body = None
        sent = read_query(request.scope["query_string"])
        if route.query is not None:
            query = fitted(route.query, sent, strict=False)
        elif sent:
            raise InvalidRequestError("this route takes no query parameters")
        if route.body is not None:
            body = await self._body(route, request)
        made = await route.handler(
            Call(self.service, request_id, caller, body, query, request.path_params)
        )
        if isinstance(made, Response):
            return made
        if isinstance(made, dict):
            made = msgspec.json.encode({"request_id": request_id, **made})
        return Response(made, 200, HEADERS, JSON)

    async def _body(self, route: Route, request: Request) -> Any:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in route.media:
            raise InvalidRequestError(f"content-type must be {' or '.join(route.media)}")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self.limits.body_bytes:
                raise InvalidRequestError("the body is too large")
            parts.append(part)
        data = b"".join(parts)
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
        await self.gate.pass_through(self.route, Request(scope, receive), send)


class Application(FastAPI):
    """An application that finds routes without parameters in one look-up.

    The framework's layers around an endpoint take longer than a list does; what they would add
    (errors as answers, limits) is in the :class:`Gate`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(openapi_url=None, redirect_slashes=False, **settings)
        self.direct: dict[tuple[str, str], Endpoint] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        known = scope["type"] == "http"
        endpoint = self.direct.get((scope["method"], scope["path"])) if known else None
        await (endpoint or super().__call__)(scope, receive, send)

    def install(self, gate: Gate, routes: Sequence[Route]) -> None:
        """Add routes; their description is written in openapi.py, from the same table."""
        for route in routes:
            endpoint = Endpoint(gate, route)
            name = f"{route.method} {route.path}"
            self.router.routes.append(
                Mounted(route.path, endpoint, methods=[route.method], name=name)
            )
            if "{" not in route.path:
                self.direct[route.method, route.path] = endpoint
