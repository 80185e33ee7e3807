"""Several workers on one address, and another in the place of one that dies.

Workers are forked from a process that has imported everything and done nothing else, so that a new
one answers after it has read the bundle, and not after seconds of imports.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from prometheus_client import multiprocess

from quintet.web.telemetry import Log

#: what takes longest to import, in every worker
PRELOADED = ["quintet.web.server", "sklearn.feature_extraction.text", "scipy.stats"]
#: a worker that dies sooner never came up
LEAST_SECONDS = 10.0
MOST_FAILURES = 5


class Supervisor:
    """Keeps a number of workers alive until it is told to stop.

    Args:
        run: what a worker runs, with the socket that it shares; importable by name.
        listening: the socket.
        workers: how many.
        drain_seconds: that workers are given to end.
        log: says when one is replaced.
    """

    def __init__(
        self,
        run: Callable[[socket.socket], None],
        listening: socket.socket,
        workers: int,
        drain_seconds: float,
        log: Log,
    ) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._run, self._listening = run, listening
        self._drain, self._log = drain_seconds, log
        self._workers: list[Any] = [None] * workers
        self._born = [0.0] * workers
        self._failures = 0
        self._stopping = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; SIGHUP is passed on. Gives the exit code."""
        told, tell = self._context.Pipe(duplex=False)

        def pass_on(number: int, frame: object) -> None:
            del frame
            tell.send(number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, pass_on)
        for place in range(len(self._workers)):
            self._start(place)
        while not self._stopping:
            by_sentinel = {one.sentinel: place for place, one in enumerate(self._workers)}
            for event in wait([*by_sentinel, told]):
                if event is told:
                    self._obey(told)
                else:
                    self._replace(by_sentinel[event])
        return self._end()

    def _start(self, place: int) -> None:
        worker = self._context.Process(target=_work, args=(self._run, self._listening))
        worker.start()
        self._workers[place], self._born[place] = worker, time.monotonic()

    def _obey(self, told: Connection) -> None:
        number = told.recv()
        if number == signal.SIGHUP:
            self._signal(number)
        else:
            self._stopping = True

    def _replace(self, place: int) -> None:
        worker = self._workers[place]
        worker.join()
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
        early = time.monotonic() - self._born[place] < LEAST_SECONDS
        self._failures = self._failures + 1 if early and worker.exitcode > 0 else 0
        self._log.write("worker died", process=worker.pid, code=worker.exitcode)
        if self._failures >= MOST_FAILURES:  # it is not the worker's fault
            self._stopping = True
            return
        self._start(place)

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, number)

    def _end(self) -> int:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain + 5
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
        return 1 if self._failures >= MOST_FAILURES else 0


def _work(run: Callable[[socket.socket], None], listening: socket.socket) -> None:
    """One worker; ends with its supervisor, however that ended."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="quintet-supervisor", daemon=True).start()
    run(listening)
