"""Rows that stand in the log of frames, flushed, and not in the database yet.

They are kept in memory and in a file of their own, which with the database makes the second copy of
every record: should the log be damaged, nothing is lost with it. Whoever reads the journal reads
them behind the database's rows, and asks here first: a row that moves meanwhile is then seen twice
rather than not at all, and offsets tell that it is the same.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from quintet.store import disk
from quintet.store.seal import Sealed, frames

#: length of the log and its last offset, behind some rows
Mark = tuple[int, int]


class Pending:
    """Rows in order of their offsets; safe to use from several threads.

    Args:
        path: of the file; what a process that was killed has left there is kept until
            :meth:`clear`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = disk.open_file(path)
        self._size = path.stat().st_size
        self._lock = threading.Lock()
        self._groups: deque[tuple[Sequence[Sealed], Mark]] = deque()
        self._by_id: dict[bytes, Sealed] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def in_file(self) -> list[Sealed]:
        """The rows of the file; nothing of a call that the disk refused."""
        return [row for row, _ in frames(self.path.read_bytes()[: self._size])]

    def add(self, rows: Sequence[Sealed], mark: Mark) -> None:
        """Rows that the log has now, and where it ends behind them.

        Raises:
            OSError: the disk refuses; nothing was added.
        """
        data = b"".join(row.frame() for row in rows)
        with self._lock:
            # not flushed: this copy is for a damaged log, and the log was
            disk.write_at(self._handle, data, self._size)
            self._size += len(data)
            self._groups.append((rows, mark))
            self._by_id.update((row.id, row) for row in rows)

    def oldest(self, enough: int) -> tuple[list[Sealed], Mark]:
        """The first groups until they hold ``enough`` rows, and the log's mark behind them."""
        rows: list[Sealed] = []
        mark = (0, 0)
        with self._lock:
            for group, mark in self._groups:  # noqa: B007 - the mark behind the last group taken
                rows += group
                if len(rows) >= enough:
                    break
        return rows, mark

    def drop(self, last_offset: int) -> None:
        """Forget the groups up to an offset: the database has them."""
        with self._lock:
            while self._groups and self._groups[0][1][1] <= last_offset:
                for row in self._groups.popleft()[0]:
                    del self._by_id[row.id]
            if not self._groups:
                self._empty()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._groups.clear()
            self._by_id.clear()
            self._empty()

    def _empty(self) -> None:
        with suppress(OSError):  # known rows there do no harm
            os.ftruncate(self._handle, 0)
            self._size = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def find(self, ids: Sequence[bytes]) -> dict[bytes, Sealed]:
        """The rows of those ids that wait here."""
        with self._lock:
            return {one: self._by_id[one] for one in ids if one in self._by_id}

    def rows(
        self, after: int, codes: Collection[int] | None, owner: bytes | None = None
    ) -> list[Sealed]:
        """Rows above an offset; of the given kinds only, and then no blanks; of one owner."""
        with self._lock:
            held = [row for group, _ in self._groups for row in group]
        return [
            row
            for row in held
            if row.offset > after
            and (codes is None or (row.code in codes and not row.erased))
            and (owner is None or row.owner == owner)
        ]


def behind(stored: list[Sealed], waiting: Sequence[Sealed]) -> list[Sealed]:
    """The database's rows, and those that wait to come behind them."""
    last = stored[-1].offset if stored else 0
    return stored + [row for row in waiting if row.offset > last]
