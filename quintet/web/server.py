"""From a command line to running processes: one worker or several, signals, graceful ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quintet.errors import ConfigError, MissingExtraError, QuintetError

try:
    import uvicorn
    from fastapi import FastAPI
    from starlette.types import ASGIApp
except ImportError:
    raise MissingExtraError("quintet serve", "serve") from None

from quintet.store import open_store
from quintet.web.api import Application
from quintet.web.app import create_app
from quintet.web.experiments import Experiments
from quintet.web.live import Holder
from quintet.web.protocol import Limits, limited
from quintet.web.security import Gatekeeper, read_keys
from quintet.web.service import Service, Settings
from quintet.web.swapping import Swapper
from quintet.web.telemetry import MULTIPROCESS, Log

OPTIONS = "QUINTET_SERVE"
BACKLOG = 2048
#: connections taken in at one turn of the loop, which takes one from each listener (libuv 1.52): a
#: turn is long where many are refused, and who has to wait for one gets no quick refusal
LISTENERS = 16
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Options:
    """What a server is started with; workers get it through the environment.

    Attributes:
        bundle: folder of the model.
        state: folder of the journal, the experiments and the name of the live bundle.
        store: of the journal, as ``open_store`` takes it; a folder in ``state`` when empty.
        host: address to listen on.
        port: likewise; 0 takes a free one.
        keys: file of the keys; empty for none.
        workers: processes.
        waiting: requests under way at once in each; above, they are turned away.
        drain_seconds: that requests under way are given when the server is told to stop.
        access_log: whether every request is a line of the log.
        recount_seconds: between two counts of what all people did; 0 for never.
        backup: folder of backups; in ``state`` when empty.
        backup_keys: file that the keys are copied to with each backup; empty for no copy.
        limits: of one request.
    """

    bundle: str
    state: str
    store: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    keys: str = ""
    workers: int = 1
    waiting: int = 256
    drain_seconds: int = 30
    access_log: bool = True
    recount_seconds: float = 60.0
    backup: str = ""
    backup_keys: str = ""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def read(cls, text: str) -> Options:
        """What :meth:`text` gave."""
        values = json.loads(text)
        return cls(**{**values, "limits": Limits(**values["limits"])})

    def text(self) -> str:
        """All of it as JSON."""
        return json.dumps(asdict(self))

    def check(self) -> None:
        """Refuse what could not work, or should not.

        Raises:
            ConfigError: the address is open to others but no key is needed, or several workers
                would share an embedded store.
        """
        if not self.keys and self.host not in LOOPBACK:
            raise ConfigError(
                f"no keys, so only this machine may ask: leave --host at 127.0.0.1 "
                f"(not {self.host}), or make keys: quintet keys add keys.json --scope read"
            )
        if self.keys:
            read_keys(Path(self.keys))
        if self.workers > 1 and "://" not in self.store.replace("sqlite://", ""):
            raise ConfigError(
                "an embedded store belongs to one process: give --store redis://... or "
                "postgresql://..., or --workers 1"
            )


def build_app(options: Options) -> Application:
    """The application of one worker.

    Raises:
        BundleError: the bundle cannot be served.
        StoreError: the journal cannot be opened.
    """
    state = Path(options.state)
    state.mkdir(parents=True, exist_ok=True)
    log = Log()
    holder = Holder(_live_bundle(options, log))
    service = Service(
        holder,
        open_store(options.store or state / "journal"),
        Experiments(state / "experiments.json", holder.keep_beside),
        settings=Settings(
            waiting=options.waiting,
            recount_seconds=options.recount_seconds,
            backup_folder=options.backup,
            backup_keys=options.backup_keys,
        ),
        log=log,
    )
    keeper = Gatekeeper(Path(options.keys) if options.keys else None, options.workers)
    app = create_app(service, keeper, options.limits, access_log=options.access_log)
    app.router.lifespan_context = _with_reload(app.router.lifespan_context, service)
    return app


def _wanted(options: Options) -> dict[str, Any] | None:
    """What was put in the place of the command line's bundle."""
    return Swapper.wanted(Path(options.state) / "active.json")


def _live_bundle(options: Options, log: Log) -> Path:
    """The bundle of the command line, or the one that was put in its place since."""
    bundle = Path(options.bundle).absolute()
    wanted = _wanted(options)
    if wanted is None or wanted["bundle"] == bundle.name:
        return bundle
    swapped = bundle.parent / wanted["bundle"]
    log.write("serving the bundle swapped in before", bundle=swapped.name)
    return swapped if swapped.is_dir() else bundle


def _with_reload(lifespan: Any, service: Service) -> Any:
    """SIGHUP reads the bundle again; a refused one leaves everything as it is."""

    @contextlib.asynccontextmanager
    async def wrapped(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = asyncio.create_task(_reload(service))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGHUP, reload)
        async with lifespan(app):
            yield

    return wrapped


async def _reload(service: Service) -> None:
    with contextlib.suppress(QuintetError):  # the log has said so
        await Swapper(service).swap(None)


def worker(listening: socket.socket, may_answer: Callable[[], None]) -> None:
    """What every worker process runs; see :data:`OPTIONS`.

    Args:
        listening: the socket of all workers.
        may_answer: returns when this one is to answer; a spare reads its bundle before that.
    """
    options = Options.read(os.environ[OPTIONS])
    wanted, app = _wanted(options), build_app(options)
    may_answer()
    if _wanted(options) != wanted:  # another bundle was swapped in while the spare waited
        app = build_app(options)
    _run(options, app, listening)


def _run(options: Options, app: Application, listening: socket.socket) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again when it has drained: that is a good end
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(uvicorn_config(options, app)).run(sockets=listeners(listening))


def listeners(listening: socket.socket) -> list[socket.socket]:
    """One socket several times; see :data:`LISTENERS`.

    Copies share the flag that says whether to wait, with each other and in every process: a copy of
    one that waits would make the loops of all workers wait for a connection.
    """
    listening.setblocking(False)
    return [listening, *(listening.dup() for _ in range(LISTENERS - 1))]


def uvicorn_config(
    options: Options, app: Application, whole: ASGIApp | None = None
) -> uvicorn.Config:
    """Settings of uvicorn: our protocol, our log, nothing that tells who we are.

    ``whole`` is what is run, where something stands around the application.
    """
    return uvicorn.Config(
        whole or app,
        host=options.host,
        port=options.port,
        http=limited(options.limits, app.refusal, app.crowded),
        ws="none",
        loop="uvloop",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=options.drain_seconds,
        backlog=BACKLOG,
    )


def serve(options: Options) -> None:
    """Run until told to stop; SIGTERM lets requests under way finish.

    Raises:
        ConfigError: see :meth:`Options.check`.
        BundleError: the bundle cannot be served.
        StoreError: the journal cannot be opened.
    """
    options.check()
    log = Log()
    if options.workers == 1:
        app, listening = build_app(options), _listening(options)
        _announce(log, options, listening)
        _run(options, app, listening)
        return
    from quintet.web.workers import Supervisor

    listening = _listening(options)
    with tempfile.TemporaryDirectory(prefix="quintet-metrics-") as folder:
        os.environ[OPTIONS] = options.text()
        os.environ[MULTIPROCESS] = folder
        _announce(log, options, listening)
        code = Supervisor(worker, listening, options.workers, options.drain_seconds, log).run()
    sys.exit(code)


def _listening(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((options.host, options.port))
    except OSError as error:
        raise ConfigError(
            f"--host, --port: {error.strerror}: {options.host}:{options.port}"
        ) from None
    return made


def _announce(log: Log, options: Options, listening: socket.socket) -> None:
    listening.listen(BACKLOG)  # who connects from now on waits for an answer, and gets one
    host, port = listening.getsockname()[:2]
    log.write(
        "listening",
        host=host,
        port=port,
        workers=options.workers,
        keys="needed" if options.keys else "none: only this machine may ask",
    )
