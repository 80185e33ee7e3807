"""Several workers on one address, and another in the place of one that dies.

Workers are forked from a process that has imported everything and done nothing else. One more than
are asked for waits with the bundle read: it answers as soon as one of the others dies.
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
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from prometheus_client import multiprocess

from quintet.web.telemetry import Log

#: what takes longest to import, in every worker
PRELOADED = [
    "quintet.web.server",
    "quintet.web.precompile",
    "sklearn.feature_extraction.text",
    "scipy.stats",
]
#: a worker that dies sooner never came up
LEAST_SECONDS = 10.0
MOST_FAILURES = 5
#: after a start or a death, before the spare is made: reading a bundle takes the processor from it
SPARE_AFTER = 5.0

#: what a worker runs: with the socket that it shares, and what returns once it may answer
Run = Callable[[socket.socket, Callable[[], None]], None]


class Supervisor:
    """Keeps a number of workers alive until it is told to stop.

    Args:
        run: what a worker runs; importable by name.
        listening: the socket.
        workers: how many.
        drain_seconds: that workers are given to end.
        log: says when one is replaced.
    """

    def __init__(
        self,
        run: Run,
        listening: socket.socket,
        workers: int,
        drain_seconds: float,
        log: Log,
    ) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._run, self._listening = run, listening
        self._drain, self._log = drain_seconds, log
        self._workers: list[Worker] = []
        self._asked = workers
        self._spare: Worker | None = None
        self._spare_due = 0.0
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
        while len(self._workers) < self._asked:
            self._add()
        while not self._stopping:
            dead = {one.process.sentinel: one for one in self._all()}
            for event in wait([*dead, told], self._until_spare()):
                if event is told:
                    self._obey(told)
                else:
                    self._bury(dead[event])
            if self._spare is None and self._until_spare() == 0:
                self._spare = self._made()
        return self._end()

    def _all(self) -> list[Worker]:
        return [*self._workers, *([self._spare] if self._spare is not None else [])]

    def _until_spare(self) -> float | None:
        """Seconds until a spare is due; None where there is one."""
        return None if self._spare is not None else max(0.0, self._spare_due - time.monotonic())

    def _made(self) -> Worker:
        waits, go = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(self._run, self._listening, waits))
        process.start()
        return Worker(process, go, time.monotonic())

    def _add(self) -> None:
        """One more that answers: the spare, or a new one."""
        worker, self._spare = self._spare or self._made(), None
        with contextlib.suppress(BrokenPipeError):  # it has died since, and will be buried
            worker.go.send(None)
        self._workers.append(worker)
        self._spare_due = time.monotonic() + SPARE_AFTER

    def _obey(self, told: Connection) -> None:
        number = told.recv()
        if number != signal.SIGHUP:
            self._stopping = True
            return
        for worker in self._workers:
            worker.signal(number)
        if self._spare is not None:  # it has read what may have changed
            self._spare.process.kill()

    def _bury(self, worker: Worker) -> None:
        worker.process.join()
        pid, code = worker.process.pid, worker.process.exitcode
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        early = time.monotonic() - worker.born < LEAST_SECONDS
        self._failures = self._failures + 1 if early and code > 0 else 0
        spare = worker is self._spare
        self._log.write("spare worker died" if spare else "worker died", process=pid, code=code)
        if self._failures >= MOST_FAILURES:  # it is not the worker's fault
            self._stopping = True
        if spare:
            self._spare, self._spare_due = None, time.monotonic()
            return
        self._workers.remove(worker)
        if not self._stopping:
            self._add()

    def _end(self) -> int:
        for worker in self._all():
            worker.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain + 5
        for worker in self._all():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        return 1 if self._failures >= MOST_FAILURES else 0


@dataclass(frozen=True)
class Worker:
    """A process that answers, or waits until it may.

    Attributes:
        process: of the worker.
        go: told once that it may answer.
        born: seconds of the monotonic clock.
    """

    process: Any
    go: Connection
    born: float

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)


def _work(run: Run, listening: socket.socket, waits: Connection) -> None:
    """One worker; ends with its supervisor, however that ended."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="quintet-supervisor", daemon=True).start()
    run(listening, waits.recv)
