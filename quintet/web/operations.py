"""Answers to those who run the service: whether it is well, its numbers, and the page to look."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from quintet.web import console
from quintet.web.api import Call


async def live(call: Call) -> dict[str, Any]:
    """The process answers."""
    del call
    return {"status": "ok"}


async def ready(call: Call) -> Response | dict[str, Any]:
    """Whether traffic should come here."""
    service = call.service
    problems = [f"{part}: {what}" for part, what in service.problems.items()]
    problems += ["draining"] if service.draining else []
    body = {
        "request_id": call.request_id,
        "status": "unavailable" if problems else "ok",
        "model": service.holder.live.version,
        "offset": service.known.offset,
        "problems": problems,
    }
    return Response(
        msgspec.json.encode(body), 503 if problems else 200, media_type="application/json"
    )


async def metrics(call: Call) -> Response:
    """Numbers for Prometheus."""
    return Response(call.service.metrics.text(), media_type="text/plain; version=0.0.4")


async def look(call: Call) -> Response:
    """The page to look at it all."""
    del call
    return console.response()
