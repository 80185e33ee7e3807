"""One writer thread for many callers: what waits is written together and flushed once.

While one group is on its way to the disk the next one gathers, so groups grow with the load and
nobody waits for a timer. Erasures and backups take their turn in the same queue: what was submitted
before them is on disk when they start. A caller whose batch is a group already may write it at once
where nobody else does and the disk is quick: to wake a thread and wait for it takes longer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from quintet.errors import StoreBusyError, StoreError
from quintet.store.base import Appended
from quintet.store.records import Record

#: a record and its canonical bytes
Encoded = tuple[Record, bytes]
#: seconds of a group that a caller may be held up for
QUICK = 0.003
#: groups that the shortest is taken of: the clock also counts the turns of other threads
LATELY = 8
#: groups after which what can wait is done, and the seconds that it waits for so many: groups grow
#: with the load, and so does what is done in one go
MANY, LATER = 8, 0.1


@dataclass(slots=True)
class Batch:
    """Records of one call, stored together or not at all; ``drawn``: nobody else has their ids."""

    records: list[Encoded]
    future: Future[list[Appended]]
    drawn: bool = False


@dataclass(slots=True)
class Task:
    """Something else that the writer thread does in its turn."""

    work: Callable[[], Any]
    future: Future[Any]


class Writer:
    """The thread and its bounded queue.

    Args:
        commit: writes the batches of a group durably and returns the answers of each.
        capacity: records that may wait.
        group: records written at once, at most (a batch is never parted).
        later: what is to be done some time after groups, without anybody's waiting for it.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Batch]], list[list[Appended]]],
        capacity: int,
        group: int,
        later: Callable[[], None] = lambda: None,
    ) -> None:
        self._commit, self._later = commit, later
        self._capacity, self._group = capacity, group
        self._took: deque[float] = deque(maxlen=LATELY)
        self._owed = 0
        self._turn = threading.Lock()
        self._waiting: deque[Batch | Task] = deque()
        self._n_waiting = 0
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="quintet-journal", daemon=True)
        self._thread.start()

    def submit(
        self, records: list[Encoded], *, at_once: bool = False, drawn: bool = False
    ) -> Future[list[Appended]]:
        """Queue a batch, or write it ``at_once`` where that is quick and nobody is before it.

        Raises:
            StoreBusyError: too many records wait; nothing was queued.
            StoreError: closed.
        """
        batch = Batch(records, Future(), drawn)
        if at_once and self._is_quick() and self._turn.acquire(blocking=False):
            try:
                if not self._waiting and not self._closed:
                    self._write([batch])
                    return batch.future
            finally:
                self._turn.release()
        with self._wake:
            self._check_open()
            # an empty queue takes any batch, or a large one could never be written
            if self._waiting and self._n_waiting + len(records) > self._capacity:
                raise StoreBusyError(
                    f"{self._n_waiting} records wait to be written and the queue holds "
                    f"{self._capacity}; try again later"
                )
            self._waiting.append(batch)
            self._n_waiting += len(records)
            self._wake.notify()
        return batch.future

    def call(self, work: Callable[[], Any]) -> Any:
        """Run ``work`` on the writer thread, after what waits now; returns its result.

        Raises:
            StoreError: closed; and whatever ``work`` raises.
        """
        task = Task(work, Future())
        with self._wake:
            self._check_open()
            self._waiting.append(task)
            self._wake.notify()
        return task.future.result()

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the journal is closed")

    def _is_quick(self) -> bool:
        return len(self._took) == LATELY and min(self._took) < QUICK

    def _run(self) -> None:
        while self._do(self._next()):
            pass  # what was done is kept in no variable: it may have been an erasure

    def _do(self, work: list[Batch] | Task | None) -> bool:
        """One turn; whether there is another."""
        if work is None:
            return False
        if isinstance(work, Task):
            with self._turn:
                _settle(work.future, work.work)
        elif work:
            with self._turn:
                self._write(work)
        else:
            _settle(Future(), self._later)
        return True

    def _next(self) -> list[Batch] | Task | None:
        """The next group or task; an empty group where it is later now; None once closed."""
        with self._wake:
            while not self._waiting:
                if self._closed:
                    return None
                if self._owed >= MANY or not self._wake.wait(LATER if self._owed else None):
                    self._owed = 0
                    return []
            first = self._waiting.popleft()
            if isinstance(first, Task):
                return first
            group, size = [first], len(first.records)
            while self._waiting and size < self._group:
                following = self._waiting[0]
                if isinstance(following, Task):
                    break
                self._waiting.popleft()
                group.append(following)
                size += len(following.records)
            self._n_waiting -= size
            return group

    def _write(self, group: list[Batch]) -> None:
        live = [batch for batch in group if batch.future.set_running_or_notify_cancel()]
        if not live:
            return
        started = time.perf_counter()
        try:
            answers = self._commit(live)
        except Exception as error:
            for batch in live:
                batch.future.set_exception(error)
        else:
            for batch, answer in zip(live, answers, strict=True):
                batch.future.set_result(answer)
        self._took.append(time.perf_counter() - started)
        with self._wake:
            self._owed += 1
            if self._owed in (1, MANY):
                self._wake.notify()


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
