"""What the journal says of each person, kept in memory and followed as it grows.

Any number of processes may write the journal: :meth:`Known.follow` reads what is new since the last
look, so that an answer rests on every event that was acknowledged before it was asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from quintet.serve.trained import Trained
from quintet.store import Event, ItemUpsert, Journal, Owner, ProfileEdit
from quintet.store.records import Erasure
from quintet.store.seal import forget
from quintet.web.live import Live
from quintet.web.people import Person, person

MOST_PEOPLE = 50_000
MOST_RECORDS = 2_000
FOLLOWED = (Event.kind, ProfileEdit.kind, ItemUpsert.kind, Erasure.kind)


@dataclass
class Kept:
    """One owner's records: (offset, event), oldest first, and the edits laid over one another.

    An item is forgotten up to the edit that says so, in ``forgotten``: met again, it counts again.
    """

    events: list[tuple[int, Event]] = field(default_factory=list)
    edits: dict[str, Any] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)
    erased: bool = False

    def add(self, offset: int, record: Event | ProfileEdit) -> None:
        """A newer record."""
        if isinstance(record, Event):
            self.events.append((offset, record))
        else:
            self.edits = laid_over(self.edits, record.changes)
            said = record.changes.get("forget_items") or {}
            self.forgotten |= {item: offset for item, on in said.items() if on}

    def after(self, base: int) -> list[Event]:
        """The events behind an offset that count, oldest first."""
        items = self.edits.get("forget_items") or {}
        until = {item: self.forgotten.get(item, 0) for item, on in items.items() if on}
        return [
            event
            for offset, event in self.events
            if offset > max(base, until.get(str(event.item_id), 0))
        ]


def laid_over(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Edits with newer ones over them; null takes an entry back."""
    made = {name: dict(value) for name, value in old.items()}
    for name, value in new.items():
        if not isinstance(value, Mapping):
            made.pop(name, None)
            continue
        merged = {**made.get(name, {}), **value}
        made[name] = {key: one for key, one in merged.items() if one is not None}
    return {name: value for name, value in made.items() if value}


class Known:
    """People by owner; used by one thread at a time.

    Args:
        journal: the truth.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.offset = journal.last_offset
        self.items_changed = True
        self._kept: OrderedDict[Owner, Kept] = OrderedDict()
        # by model, and gone with it: people keep no model alive
        self._made: WeakKeyDictionary[Trained, dict[Owner, Person]] = WeakKeyDictionary()

    def follow(self) -> None:
        """Take in what was written since; raises what the journal raises."""
        newest = self.journal.last_offset
        if newest == self.offset:
            return
        for entry in self.journal.read(after=self.offset, kinds=FOLLOWED):
            record = entry.record
            if isinstance(record, Event | ProfileEdit):
                kept = self._kept.get(record.owner)
                if kept is not None:
                    kept.add(entry.offset, record)
                    self._unmake(record.owner)
            elif isinstance(record, ItemUpsert):
                self.items_changed = True
            else:
                self._kept.clear()  # a tombstone does not say whose it is
                self._made.clear()
                forget()
            # one by one: should a later one be unreadable, none is taken in twice
            self.offset = max(self.offset, entry.offset)
        self.offset = max(self.offset, newest)

    def of(self, owner: Owner, live: Live, row: int) -> Person:
        """What is known of an owner, as ``live`` reads it; ``row`` in its users, or -1."""
        kept = self.kept(owner)
        trained = live.trained
        made_for = self._made.setdefault(trained, {})
        held = made_for.get(owner)
        if held is not None:
            return held
        # after an erasure nothing stands in the bundle for them: all that can be read came later
        base = 0 if kept.erased else live.base_offset
        made = person(trained, -1 if kept.erased else row, kept.after(base), kept.edits)
        made_for[owner] = made
        return made

    def held(self, owner: Owner, live: Live) -> Person | None:
        """An owner as :meth:`of` made them, if nothing came since that was followed."""
        return self._made.get(live.trained, {}).get(owner)

    def kept(self, owner: Owner) -> Kept:
        """The records of an owner."""
        found = self._kept.get(owner)
        if found is not None:
            self._kept.move_to_end(owner)
            return found
        made = Kept(erased=self.journal.was_erased(owner))
        # however many events came after it, what somebody said of their profile holds
        entries = self.journal.read_owner(owner, kinds=[ProfileEdit.kind])
        entries += self.journal.read_owner(owner, limit=MOST_RECORDS, kinds=[Event.kind])
        for entry in entries:
            # what is beyond the offset comes again when the journal is followed
            if entry.offset <= self.offset and isinstance(entry.record, Event | ProfileEdit):
                made.add(entry.offset, entry.record)
        self._kept[owner] = made
        if len(self._kept) > MOST_PEOPLE:
            self._unmake(self._kept.popitem(last=False)[0])
        return made

    def everything(self, owner: Owner, live: Live, row: int) -> tuple[Person, list[Event]]:
        """All that is stored of an owner, as ``live`` reads it, and the journal's events of it.

        Neither the limit of what answers rest on nor what was to be forgotten leaves anything out.
        """
        erased = self.kept(owner).erased
        base = 0 if erased else live.base_offset
        entries = self.journal.read_owner(owner, kinds=[Event.kind])
        told = [(one.offset, one.record) for one in entries if isinstance(one.record, Event)]
        later = [event for offset, event in told if offset > base]
        return person(live.trained, -1 if erased else row, later), [event for _, event in told]

    def forget(self, owner: Owner) -> None:
        """Drop what is kept of an owner; it is read again when asked for."""
        self._kept.pop(owner, None)
        self._unmake(owner)

    def _unmake(self, owner: Owner) -> None:
        for made in self._made.values():
            made.pop(owner, None)
