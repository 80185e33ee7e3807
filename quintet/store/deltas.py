"""Online counts of one bundle: what its own counts, frozen in its files, do not know yet.

The journal is the only truth. The counts of a model are those of all events behind its base offset
that are not erased: they can be made again at any time, and ``(model, offset)`` names them. What
each owner gave is kept beside them, so that it can be taken back exactly.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from quintet.store.records import Event, Id, Owner

Key = TypeVar("Key")
Step = tuple[Id, str | None]


class DeltaCounts:
    """Counts of items, and of ordered pairs of one owner's events that follow each other.

    Attributes:
        model: version of the bundle that they belong to.
        base_offset: events at or below are in the bundle itself.
        items: (item, behaviour) -> events.
        pairs: (item before, item after) -> how often; a pair starts behind the base offset too.
    """

    def __init__(self, model: str, base_offset: int = 0) -> None:
        self.model = model
        self.base_offset = base_offset
        self.items: Counter[Step] = Counter()
        self.pairs: Counter[tuple[Id, Id]] = Counter()
        self._given: dict[Owner, list[Step]] = {}

    @property
    def owners(self) -> list[Owner]:
        """Whose events are in the counts."""
        return list(self._given)

    def add(self, event: Event) -> None:
        """Count an event that comes after all others of its owner."""
        steps = self._given.setdefault(event.owner, [])
        step = (event.item_id, event.behaviour)
        self.items[step] += 1
        if steps:
            self.pairs[steps[-1][0], event.item_id] += 1
        steps.append(step)

    def forget(self, owner: Owner) -> int:
        """Take back all that an owner gave, leaving no zeros behind; how many events that was."""
        steps = self._given.pop(owner, [])
        for index, step in enumerate(steps):
            _take(self.items, step)
            if index:
                _take(self.pairs, (steps[index - 1][0], step[0]))
        return len(steps)


def _take(counts: Counter[Key], key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
