"""Anonymous sessions for the peers, split as :mod:`benchmarks.session_data` splits them.

Runs under each peer's own interpreter, as :mod:`benchmarks.peers.protocol` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.peers.protocol import Ints, Sequences

#: as in ``benchmarks.session_data``: held-out sessions have events before their first target, and
#: so many of those that are long enough are held out
SHORTEST_PREFIX, VALID = 2, 0.1


@dataclass(frozen=True)
class Sessions(Sequences):
    """Training sessions; prefixes of others, and what followed. Nothing is masked.

    Attributes:
        prefixes: of the test, rows of items.
        labels: [N] the item that followed each.
    """

    masked: ClassVar[bool] = False
    prefixes: list[Ints]
    labels: Ints

    @classmethod
    def read_files(cls, train: Path, tests: Path) -> Sessions:
        """Read ``item item ...`` lines in time order, and ``item item ...``, tab, ``item`` ones."""
        rows: dict[str, int] = {}

        def sequence(text: str) -> Ints:
            return np.array([rows.setdefault(item, len(rows)) for item in text.split()], np.int64)

        events = [sequence(line) for line in _lines(train)]
        asked = [line.partition("\t") for line in _lines(tests)]
        prefixes = [sequence(prefix) for prefix, _, _ in asked]
        labels = np.array([sequence(label)[0] for _, _, label in asked], np.int64)
        users = [f"session {n}" for n in range(1, len(events) + 1)]
        return cls(users, list(rows), events, prefixes, labels)

    @property
    def first_held_out(self) -> int:
        """The session from which on those that are long enough are held out."""
        long_enough = [n for n, own in enumerate(self.events) if len(own) > SHORTEST_PREFIX]
        return long_enough[len(long_enough) - round(VALID * len(long_enough))]

    @property
    def train(self) -> list[Ints]:
        """By session, all of it; nothing of those that are held out."""
        first, none = self.first_held_out, np.empty(0, np.int64)
        return [
            none if n >= first and len(own) > SHORTEST_PREFIX else own
            for n, own in enumerate(self.events)
        ]

    def held_out(self, back: int) -> tuple[list[Ints], Ints]:
        """Histories and the target that follows each: ``back`` 2 is validation, 1 the test."""
        if back == 1:
            return self.prefixes, self.labels
        chosen = self.events[self.first_held_out :]
        histories = [own[:end] for own in chosen for end in range(SHORTEST_PREFIX, len(own))]
        targets = [item for own in chosen for item in own[SHORTEST_PREFIX:]]
        return histories, np.array(targets, np.int64)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf8").splitlines() if line.strip()]
