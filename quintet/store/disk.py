"""Plain files written to the disk itself, and the lock that keeps a folder to one process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from quintet.errors import StoreError


def open_file(path: Path) -> int:
    """A descriptor for reading and writing; the file is made for its owner only if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    if fresh:
        sync_folder(path.parent)
    return handle


def write_at(handle: int, data: bytes | memoryview, position: int) -> None:
    """Write all of ``data``; a short write is gone on with until the system says why."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, position)
        rest, position = rest[written:], position + written


def sync(handle: int) -> None:
    """Content and size on disk when it returns."""
    if sys.platform == "darwin":  # fsync there leaves data in the drive's cache
        import fcntl

        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(handle)


def sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FolderLock:
    """A folder for one process alone; the system lets go of it when the process ends.

    Raises:
        StoreError: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        self._handle = open_file(folder / "lock")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise StoreError(
                f"{folder} is in use by another process; "
                "several processes need a redis:// or postgresql:// store"
            ) from None

    def release(self) -> None:
        """Let others in."""
        os.close(self._handle)
