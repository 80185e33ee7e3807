"""The application: routes over a service, and what runs beside them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quintet.errors import QuintetError
from quintet.web.api import Application, Gate
from quintet.web.problems import problem
from quintet.web.protocol import Limits
from quintet.web.routes import ROUTES
from quintet.web.security import Gatekeeper
from quintet.web.service import Service
from quintet.web.swapping import Swapper

WATCH_SECONDS = 0.5
#: objects that may gather before the collector looks; an answer makes hundreds that soon go
GARBAGE = (20_000, 20, 20)


def create_app(
    service: Service,
    keeper: Gatekeeper | None = None,
    limits: Limits | None = None,
    *,
    access_log: bool = True,
) -> Application:
    """The ASGI application.

    Args:
        service: what answers; started and closed with the application.
        keeper: of the keys; everybody may do everything without one.
        limits: of one request.
        access_log: whether every request is a line of the log.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        await service.start()
        spare_the_collector()
        watching = asyncio.create_task(watch(service))
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await service.close()
            gc.unfreeze()

    app = Application(lifespan=lifespan)
    gate = Gate(
        service,
        keeper or Gatekeeper(),
        limits or Limits(),
        service.metrics,
        service.log,
        access_log,
    )
    app.install(gate, ROUTES)

    async def refused(request: Request, error: Exception) -> Response:
        del request
        return problem(error.status_code if isinstance(error, HTTPException) else 500)

    app.add_exception_handler(HTTPException, refused)
    return app


def spare_the_collector() -> None:
    """What is loaded by now stays: looking through it again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


async def watch(service: Service) -> None:
    """Follow what other workers of the machine do: swaps and experiments."""
    swapper = Swapper(service)
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        service.metrics.flush()  # for who looks at another worker
        try:
            await swapper.follow()
            await service.build(service.experiments.refresh)
            if not service.journal.local:  # an idle worker, too, must forget whom another erased
                await service.think(lambda: None)
            service.problems.pop("experiments", None)
            if await service.build(service.recounter.due):
                await service.build(service.recounter.run)
        except QuintetError as error:
            service.problems["experiments"] = type(error).__name__
