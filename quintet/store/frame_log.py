"""A file of frames, one after the other: the journal's second copy, and the form of backups.

Nothing in it is ever changed: it holds ciphertext, which erasure makes unreadable where it lies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from quintet.store import disk
from quintet.store.seal import Sealed, frames

CHUNK = 4 << 20
PAGE = 1000


class FrameLog:
    """Frames in offset order, flushed before :meth:`append` returns.

    Attributes:
        size: bytes of whole frames; what a crash left behind them is overwritten.
        last_offset: of the last whole frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = disk.open_file(path)
        self.size = 0
        self.last_offset = 0

    def trust(self, size: int, last_offset: int) -> bool:
        """Skip reading up to ``size``, which is known to end behind ``last_offset``.

        False, and nothing is skipped, where the file is shorter than that.
        """
        if os.fstat(self._handle).st_size < size:
            return False
        self.size, self.last_offset = size, last_offset
        return True

    def scan(self) -> Iterator[Sealed]:
        """Read on from ``size``, which moves along; ends at the first torn frame."""
        rest = b""
        position = self.size
        while True:
            chunk = os.pread(self._handle, CHUNK, position)
            position += len(chunk)
            data, used = rest + chunk, 0
            for sealed, end in frames(data):
                if sealed.offset != self.last_offset + 1:
                    return
                self.size += end - used
                self.last_offset, used = sealed.offset, end
                yield sealed
            rest = data[used:]
            if not chunk:
                return

    def append(self, rows: Iterable[Sealed]) -> None:
        """Write rows behind the last; on disk when it returns.

        Raises:
            OSError: the disk refuses; the file is as long as before, or :meth:`cut` will see to it.
        """
        before = self.size, self.last_offset
        data = bytearray()
        last = self.last_offset
        for sealed in rows:
            data += sealed.frame()
            last = sealed.offset
        try:
            disk.write_at(self._handle, bytes(data), self.size)
            disk.sync(self._handle)
        except OSError:
            self.cut(*before)
            raise
        self.size, self.last_offset = self.size + len(data), last

    def cut(self, size: int, last_offset: int) -> None:
        """Forget what stands behind ``size``."""
        self.size, self.last_offset = size, last_offset
        os.ftruncate(self._handle, size)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def measure(path: Path) -> tuple[int, bool]:
    """The last offset of a log, and whether something torn stands behind it."""
    log = FrameLog(path)
    try:
        for _ in log.scan():
            pass
        return log.last_offset, path.stat().st_size > log.size
    finally:
        log.close()


def pages(rows: Iterable[Sealed]) -> Iterator[list[Sealed]]:
    """Rows, a thousand at a time."""
    page: list[Sealed] = []
    for row in rows:
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
