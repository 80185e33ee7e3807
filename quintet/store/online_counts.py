"""Online counts that follow a journal: every acknowledged event is in, every erased one is out.

Nothing here is ever saved: it can be made again from the journal. Records of this process and of
others come the same way, so all processes that reached one offset hold the same counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from quintet.store.base import Journal, Receipt
from quintet.store.deltas import DeltaCounts
from quintet.store.records import Erasure, Event, Owner, Record

FOLLOWED = (Event.kind, Erasure.kind)


class OnlineCounts:
    """The counts of the models that are live; safe for threads.

    Args:
        journal: what is followed.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._lock = threading.RLock()
        self._counts: dict[str, DeltaCounts] = {}
        self._leaving: list[Owner] = []
        self._offset = journal.last_offset

    def track(self, model: str, base_offset: int = 0) -> None:
        """Start to count for a model: all events behind its base offset, then those that come.

        Raises:
            StoreError: the journal cannot be reached.
        """
        with self._lock:
            self.refresh()
            fresh = DeltaCounts(model, base_offset)
            for entry in self.journal.read(base_offset, kinds=[Event.kind]):
                if entry.offset > self._offset:
                    break
                if isinstance(entry.record, Event):
                    fresh.add(entry.record)
            self._counts[model] = fresh

    def drop(self, model: str) -> None:
        """Stop to count for a model."""
        with self._lock:
            self._counts.pop(model, None)

    def refresh(self) -> int:
        """Catch up with the journal; the offset reached.

        Raises:
            StoreError: the journal cannot be reached; the counts stay as they were.
        """
        with self._lock:
            last = self.journal.last_offset
            if last > self._offset:
                for entry in self.journal.read(self._offset, kinds=FOLLOWED):
                    if entry.offset > last:
                        break
                    self._apply(entry.offset, entry.record)
                    self._offset = entry.offset
                self._offset = last
            return self._offset

    @contextmanager
    def of(self, model: str) -> Iterator[tuple[DeltaCounts, int]]:
        """A model's counts as of now, and the offset that an answer names; they hold still inside.

        Raises:
            KeyError: :meth:`track` was not called.
            StoreError: the journal cannot be reached.
        """
        with self._lock:
            offset = self.refresh()
            yield self._counts[model], offset

    def erase(self, owner: Owner) -> Receipt:
        """Erase an owner from the journal and, before it returns, from these counts."""
        with self._lock:
            self._leaving.append(owner)
        try:
            receipt = self.journal.erase(owner)
            self.refresh()
        finally:
            with self._lock:
                self._leaving.remove(owner)
        return receipt

    def _apply(self, offset: int, record: Record) -> None:
        if isinstance(record, Erasure):
            self._bury(record)
        elif isinstance(record, Event):
            for counts in self._counts.values():
                if offset > counts.base_offset:
                    counts.add(record)

    def _bury(self, stone: Erasure) -> None:
        """Forget whoever the tombstone means: it names nobody, so those who leave come first."""
        held = {owner for counts in self._counts.values() for owner in counts.owners}
        for owner in [*self._leaving, *held]:
            if self.journal.is_tombstone_of(stone, owner):
                for counts in self._counts.values():
                    counts.forget(owner)
                return
