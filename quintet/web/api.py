"""From a table of routes to HTTP: keys, limits, strict bodies, request ids, numbers and log lines.

A handler gets a :class:`Call` and gives a dictionary or JSON bytes; all else is here, once, so that
no route can lack a scope, echo a body or forget a deadline.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from quintet.errors import InvalidRequestError, OverloadedError, QuintetError
from quintet.web.problems import Unfit, fitted, of_error, problem
from quintet.web.protocol import Limits
from quintet.web.security import Caller, Gatekeeper, Scope
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
    scope: Scope
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

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        """The route as an endpoint; it never raises."""
        seconds = self.metrics.seconds.labels(route.path)

        async def endpoint(request: Request) -> Response:
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
            response.headers["x-request-id"] = request_id
            took = time.perf_counter() - started
            seconds.observe(took)
            self.metrics.requests.labels(route.path, response.status_code).inc()
            if self.access_log:
                self.log.write(
                    "request",
                    route=f"{route.method} {route.path}",
                    status=response.status_code,
                    ms=round(took * 1000, 2),
                    request_id=request_id,
                    key=caller.key,
                )
            return response

        return endpoint

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


def install(app: FastAPI, gate: Gate, routes: list[Route]) -> None:
    """Add routes to an application."""
    for route in routes:
        app.add_api_route(
            route.path,
            gate.endpoint(route),
            methods=[route.method],
            summary=route.summary,
            name=f"{route.method} {route.path}",
            include_in_schema=False,  # written in openapi.py, from the same table
        )
