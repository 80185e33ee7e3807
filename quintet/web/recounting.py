"""Counts that follow the journal: what many do today is evidence for everybody's next list.

A person's own events are in their next answer at once (:mod:`quintet.web.known`). What all people's
events say of items is counted again beside the answers, in a pace that leaves the processor to
them, from the journal alone: nothing is kept that could not be made again, and the erased leave
with the next count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quintet.serve.recounted import joined, recounted
from quintet.store import Erasure, Event, Journal, Owner
from quintet.web.live import Holder, Live

#: at most this share of one thread's time goes into counting
SHARE = 0.05


class Recounter:
    """Counts again when there is something new; used by one thread.

    Args:
        holder: of the models.
        journal: where the events are.
        least_seconds: between two counts; 0 never counts.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        holder: Holder,
        journal: Journal,
        least_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.holder = holder
        self.journal = journal
        self.least_seconds = least_seconds
        self.offset = 0
        self._clock = clock
        self._counted: Live | None = None
        self._next = clock() + least_seconds

    def due(self) -> bool:
        """Whether it is time, and something happened."""
        if not self.least_seconds or self._clock() < self._next:
            return False
        return self.holder.live is not self._counted or self.journal.last_offset > self.offset

    def run(self) -> bool:
        """Count, and put the counts in place; False where the model changed meanwhile.

        Large catalogues with an index of their own keep the bundle's counts until the next update.

        Raises:
            StoreError: the journal cannot be read.
        """
        started, live = self._clock(), self.holder.live
        offset = self.journal.last_offset
        done = True
        if getattr(live, "retriever", None) is None:
            made = counted(live, self.journal, offset)
            done = made is None or self.holder.replace_counts(live, made)
        took = self._clock() - started
        self._next = self._clock() + max(self.least_seconds, took / SHARE)
        if done:
            self.offset, self._counted = offset, self.holder.live
        return done


def counted(live: Live, journal: Journal, offset: int) -> Live | None:
    """The model with the counts of its own events and the journal's; None if there are none."""
    trained = live.base
    rows: dict[Owner, int] = {}
    events, row_E = list[Event](), list[int]()
    gone = False
    for entry in journal.read(after=live.base_offset, kinds=[Event.kind, Erasure.kind]):
        if entry.offset > offset:
            break
        record = entry.record
        if isinstance(record, Erasure):
            gone = True
        elif isinstance(record, Event):
            owner = record.owner
            if owner not in rows:
                known = owner.kind == "user" and trained.users.rows([owner.id])[0]
                row = -1 if known is False else int(known)
                rows[owner] = row if row >= 0 else len(trained.users) + len(rows)
            events.append(record)
            row_E.append(rows[owner])
    if not events and not gone:
        return None
    current = live.trained
    if gone:
        ids = trained.users.values.to_pylist()
        left = [row for row, one in enumerate(ids) if journal.was_erased(Owner.user(one))]
        kept = current.events.select(~np.isin(current.events.user, left))
        current = replace(current, events=kept)
    n_users = len(trained.users) + len(rows)
    history, _ = joined(current, events, np.array(row_E, np.int64), n_users)
    return live.with_counts(recounted(live.trained, history))
