"""What the service knows of people at this moment: a journal, followed record by record.

Everything here can be made again from the journal, so nothing of it is ever saved. Before it
answers, a state catches up with the journal; its own process's records and those of other
processes come the same way, so an acknowledged event is in the next answer whoever took it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from quintet.store.base import Appended, Journal, Receipt
from quintet.store.deltas import DeltaCounts
from quintet.store.records import Erasure, Event, Json, Owner, ProfileEdit, Record

FOLLOWED = (Event.kind, ProfileEdit.kind, Erasure.kind)


@dataclass(frozen=True, slots=True)
class PersonState:
    """What is known of an owner.

    Attributes:
        events: newest last; as many as the state keeps.
        profile: all edits laid over each other, keys with null taken out.
        erased: a tombstone of this owner stands in the journal: what a bundle remembers from its
            training must not be used.
        offset: journal offset up to which this holds.
    """

    events: tuple[Event, ...] = ()
    profile: Mapping[str, Json] = field(default_factory=dict)
    erased: bool = False
    offset: int = 0


class LiveState:
    """States of owners, and online counts of the models that are live; safe for threads.

    Args:
        journal: what is followed.
        owners: states kept in memory; others are read from the journal when asked for.
        events: of each owner.
    """

    def __init__(self, journal: Journal, *, owners: int = 100_000, events: int = 200) -> None:
        self.journal = journal
        self._n_owners, self._n_events = owners, events
        self._lock = threading.RLock()
        self._states: OrderedDict[Owner, PersonState] = OrderedDict()
        self._counts: dict[str, DeltaCounts] = {}
        self._tombstones: list[Erasure] = []
        self._leaving: list[Owner] = []
        self._offset = journal.last_offset
        for entry in journal.read(kinds=[Erasure.kind]):
            if isinstance(entry.record, Erasure) and entry.offset <= self._offset:
                self._tombstones.append(entry.record)

    # ------------------------------------------------------------------ writing

    def submit(self, records: Sequence[Record]) -> Future[list[Appended]]:
        """See :meth:`Journal.submit`; whoever asks after the future is done sees the records."""
        return self.journal.submit(records)

    def erase(self, owner: Owner) -> Receipt:
        """Erase an owner from the journal, from this memory and from all online counts."""
        with self._lock:
            self._leaving.append(owner)
        try:
            receipt = self.journal.erase(owner)
            self.refresh()
        finally:
            with self._lock:
                self._leaving.remove(owner)
        return receipt

    # ------------------------------------------------------------------ reading

    def refresh(self) -> int:
        """Catch up with the journal; the offset reached.

        Raises:
            StoreError: the journal cannot be reached; the state stays as it was.
        """
        with self._lock:
            last = self.journal.last_offset
            if last > self._offset:
                for entry in self.journal.read(self._offset, kinds=FOLLOWED):
                    if entry.offset > last:
                        break
                    self._apply(entry.offset, entry.record)
                self._offset = last
            return self._offset

    def person(self, owner: Owner) -> PersonState:
        """All that is known of an owner now; an empty state for somebody new.

        Raises:
            StoreError: the journal cannot be reached.
        """
        with self._lock:
            offset = self.refresh()
            state = self._states.get(owner)
            if state is None:
                state = self._load(owner)
                self._states[owner] = state
                if len(self._states) > self._n_owners:
                    self._states.popitem(last=False)
            self._states.move_to_end(owner)
            return replace(state, offset=offset)

    def last_known(self, owner: Owner) -> PersonState | None:
        """What is in memory of an owner, for when the journal cannot be reached."""
        with self._lock:
            return self._states.get(owner)

    # ------------------------------------------------------------------ counts

    def track(self, model: str, base_offset: int = 0) -> DeltaCounts:
        """Start to count for a model: from the journal, then along with it.

        The counts change under the lock of :meth:`counts`; use that to read them.
        """
        fresh = DeltaCounts(model, base_offset)
        with self._lock:
            self.refresh()
            for entry in self.journal.read(base_offset, kinds=[Event.kind]):
                if entry.offset > self._offset:
                    break
                if isinstance(entry.record, Event):
                    fresh.add(entry.record)
            self._counts[model] = fresh
        return fresh

    def drop(self, model: str) -> None:
        """Stop to count for a model."""
        with self._lock:
            self._counts.pop(model, None)

    def counts(self, model: str) -> tuple[DeltaCounts, int]:
        """A model's online counts as of now, and the offset that an answer names with it.

        Raises:
            KeyError: :meth:`track` was not called.
        """
        with self._lock:
            return self._counts[model], self.refresh()

    # ------------------------------------------------------------------ following

    def _apply(self, offset: int, record: Record) -> None:
        if isinstance(record, Erasure):
            self._bury(record)
            return
        if isinstance(record, Event):
            for counts in self._counts.values():
                if offset > counts.base_offset:
                    counts.add(record)
        owner = record.owner
        state = self._states.get(owner) if owner is not None else None
        if owner is not None and state is not None:
            self._states[owner] = self._with(state, record)

    def _with(self, state: PersonState, record: Record) -> PersonState:
        if isinstance(record, Event):
            return replace(state, events=(*state.events, record)[-self._n_events :])
        if isinstance(record, ProfileEdit):
            return replace(state, profile=_laid_over(state.profile, record.changes))
        return state

    def _load(self, owner: Owner) -> PersonState:
        state = PersonState(erased=self._is_erased(owner))
        held = self.journal.read_owner(owner, self._n_events, [Event.kind])
        edits = self.journal.read_owner(owner, None, [ProfileEdit.kind])
        for entry in [*edits, *held]:
            if entry.offset <= self._offset:  # later ones come with the next refresh
                state = self._with(state, entry.record)
        return state

    def _is_erased(self, owner: Owner) -> bool:
        return any(self.journal.is_tombstone_of(stone, owner) for stone in self._tombstones)

    def _bury(self, stone: Erasure) -> None:
        """Forget whoever a tombstone of any process means."""
        self._tombstones.append(stone)
        held = set(self._states).union(*(counts.owners for counts in self._counts.values()))
        for owner in [*self._leaving, *held]:  # most often it is the first
            if self.journal.is_tombstone_of(stone, owner):
                for counts in self._counts.values():
                    counts.forget(owner)
                self._states.pop(owner, None)
                return


def _laid_over(profile: Mapping[str, Json], changes: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in {**profile, **changes}.items() if value is not None}
