"""The embedded store: SQLite in a folder of one process, with a second copy of every record.

A group of records is appended to a log of frames and flushed, which is when it is acknowledged. The
database, from which records are found again, gets it a moment later, with others (write-ahead log,
``synchronous=NORMAL``: the flush that counts was the log's); until then it stands in a file of its
own and is read from memory. Whichever copy a crash, a loss of power, a full disk or a truncation
leaves behind is made whole from the other when the folder is opened, or before the next write.

apsw brings a SQLite of its own: many an interpreter's has the WAL-reset bug, fixed in 3.51.3.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field

from quintet.config import build
from quintet.errors import CorruptStoreError, MissingExtraError, StoreError
from quintet.store.base import Entry
from quintet.store.disk import FolderLock
from quintet.store.frame_log import PAGE, FrameLog, measure, pages
from quintet.store.key_file import KeyFile
from quintet.store.pending import Pending, behind
from quintet.store.records import KINDS, Exposure, Record
from quintet.store.seal import NOBODY, Sealed
from quintet.store.sealed_journal import RacedError, SealedJournal, check_kinds

try:
    import apsw

    from quintet.store.sqlite_file import SQLiteFile, put_aside, salvage
except ImportError:
    raise MissingExtraError("the journal", "serve") from None

TAIL = 8192
#: rows that the database gets with one commit, about; and that may wait for it
FILL, MOST_PENDING = 512, 4096
#: nobody follows these as they come, and there are many of them
UNFOLLOWED = frozenset({Exposure.kind})
Result = TypeVar("Result")


class SQLiteJournal(SealedJournal):
    """A journal in a folder; see the module's docstring.

    Args:
        folder: made if missing.
        config: see :class:`Config`.

    Raises:
        StoreError: another process holds the folder, or the disk refuses.
        CorruptStoreError: both copies lack something, or the keys are not this journal's.
    """

    local = True

    class Config(SealedJournal.Config):
        """Settings of the embedded store."""

        keys: str = Field(
            default="", description="folder of the keys; by default keys/ in the store's"
        )
        mirror: str = Field(
            default="", description="folder of the second copy, on another disk if any"
        )
        vfs: str = Field(default="", description="name of a registered SQLite file layer")

    def __init__(self, folder: str | Path, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        self.folder = Path(folder)
        self._mirror = Path(settings.mirror or self.folder) / "records.log"
        self._vfs = settings.vfs
        self._tail: deque[Entry] = deque(maxlen=TAIL)
        self._tail_after = self._tail_until = 0
        self._tail_lock = threading.Lock()
        self._filling = threading.Lock()
        self._failed = self._closed = False
        try:
            self._lock = FolderLock(self.folder)
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror}") from None
        keys = Path(settings.keys or self.folder / "keys")
        with ExitStack() as opened:
            opened.callback(self._lock.release)
            try:
                self._pending = Pending(self.folder / "pending.log")
                opened.callback(self._pending.close)
                held = KeyFile([keys / "keys.bin", keys / "keys.mirror"])
                opened.callback(held.close)
                self._open_files(held)
            except OSError as error:
                raise StoreError(f"{self.folder}: {error.strerror}") from None
            super().__init__(held, settings)
            opened.pop_all()  # all went well: it stays open

    @classmethod
    def open(cls, folder: Path, values: Mapping[str, Any]) -> Self:
        """A journal with settings by name.

        Raises:
            ConfigError: a setting is unknown; and what the constructor raises.
        """
        return cls(folder, build(cls.Config, values, where="store"))

    @property
    def last_offset(self) -> int:
        """See :attr:`Journal.last_offset`."""
        return self._last

    # ------------------------------------------------------------------ opening and mending

    def _open_files(self, keys: KeyFile) -> None:
        """Open both copies and make each whole from the other."""
        with ExitStack() as opened:
            try:
                file, salvaged = self._open_database()
                opened.callback(file.close)
                log = FrameLog(self._mirror)
                opened.callback(log.close)
                file.check_keys(keys.pepper)
                log.trust(*file.log_mark())
                last = file.last_offset()
                for page in pages(row for row in log.scan() if row.offset > last):
                    file.insert(_readable(page, keys), (log.size, log.last_offset))
                self._take_in(file, log, keys)
                self._refill(log, file, salvaged)
                last = file.last_offset()
            except (OSError, apsw.Error) as error:
                raise _refused(self.folder, error) from None
            opened.pop_all()  # all went well: they stay open
        self._log, self._file, self._last = log, file, last
        self._pending.clear()
        self._failed = False

    def _open_database(self) -> tuple[SQLiteFile, list[Sealed]]:
        """The database, and what only a damaged one held; that one is put aside.

        Raises:
            CorruptStoreError: the log may lack something too, and nothing can tell what.
        """
        path = self.folder / "journal.sqlite"
        there = path.exists() and path.stat().st_size > 0
        if there:
            with suppress(apsw.CorruptError, apsw.NotADBError, CorruptStoreError):
                return SQLiteFile(path, self._vfs), []
        last, torn = measure(self._mirror)
        salvaged = salvage(path, self._vfs, last) if there else None
        if salvaged is None and torn:
            raise CorruptStoreError(
                f"{self.folder}: both copies are damaged behind offset {last}; restore a backup to "
                "a new folder, or cut records.log to its whole frames to go on without the rest"
            )
        if there:
            put_aside(path)
        return SQLiteFile(path, self._vfs), salvaged or []

    def _take_in(self, file: SQLiteFile, log: FrameLog, keys: KeyFile) -> None:
        """Give the database what waited for it, where a damaged log did not tell of it."""
        last = file.last_offset()
        rows = [row for row in self._pending.in_file() if row.offset > last]
        if rows and rows[0].offset == last + 1:
            file.insert(_readable(rows, keys), (log.size, log.last_offset))

    @staticmethod
    def _refill(log: FrameLog, file: SQLiteFile, salvaged: Sequence[Sealed]) -> None:
        """Give the log what only the database has, or both what was saved of a damaged one."""
        for page in pages(salvaged):
            log.append(page)
            file.insert(page, (log.size, log.last_offset))
        while rows := file.rows(log.last_offset, PAGE, None):
            log.append(rows)
        file.set_log_mark((log.size, log.last_offset))

    def _mend(self) -> None:
        """After a failed write: open everything anew, so that nothing half written counts.

        Until that succeeds, what was open before serves those who read.
        """
        assert isinstance(self.keys, KeyFile)
        with self._filling:
            file, log = self._file, self._log
            self._open_files(self.keys)
        with suppress(apsw.Error):
            file.close()
        log.close()

    # ------------------------------------------------------------------ rows

    def _find(self, ids: Sequence[bytes]) -> dict[bytes, Sealed]:
        if self._failed:
            self._mend()
        if not ids:
            return {}
        waiting = self._pending.find(ids)
        return waiting | self._guard(lambda: self._file.find(ids))

    def _write(self, rows: Sequence[Sealed]) -> None:
        if rows[0].offset != self._last + 1:
            raise RacedError
        if len(self._pending) >= MOST_PENDING:
            self._fill_all()
        before = self._log.size, self._log.last_offset
        try:
            self._log.append(rows)
            self._pending.add(rows, (self._log.size, self._log.last_offset))
        except OSError as error:
            self._failed = True
            with suppress(OSError):
                self._log.cut(*before)
            raise _refused(self.folder, error) from None
        self._last = rows[-1].offset

    def _settle(self) -> None:
        self._fill_all()

    def _fill_all(self) -> None:
        """Give the database what only the log has.

        Raises:
            StoreError: it refuses; what waits for it is acknowledged, and safe in the log.
        """
        while len(self._pending):
            with self._filling:
                rows, mark = self._pending.oldest(FILL)
                if not rows:  # mended meanwhile
                    return
                try:
                    self._file.insert(rows, mark)
                except apsw.Error as error:
                    self._failed = True
                    raise _refused(self.folder, error) from None
                self._pending.drop(rows[-1].offset)

    def _rows(self, after: int, limit: int, codes: Collection[int] | None) -> list[Sealed]:
        waiting = self._pending.rows(after, codes)
        stored = self._guard(lambda: self._file.rows(after, limit, codes))
        return behind(stored, waiting)[:limit]

    def _owner_rows(
        self, token: bytes, limit: int | None, codes: Collection[int] | None
    ) -> list[Sealed]:
        waiting = self._pending.rows(0, codes, token)
        stored = self._guard(lambda: self._file.owner_rows(token, limit, codes))
        return behind(stored, waiting)[-limit if limit else 0 :]

    def _blank(self, token: bytes) -> None:
        with self._tail_lock:
            self._tail.clear()
            self._tail_after = self._tail_until
        self._fill_all()
        self._guard(lambda: self._file.blank(token))

    def _guard(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except (apsw.CorruptError, apsw.NotADBError):
            raise CorruptStoreError(
                f"{self.folder}: the database is damaged; it is mended when it is opened anew"
            ) from None
        except apsw.Error as error:
            raise _refused(self.folder, error) from None

    # ------------------------------------------------------------------ the newest entries

    def _remember(self, first: int, records: Sequence[Record]) -> None:
        with self._tail_lock:
            if self._tail_until + 1 != first:
                self._tail.clear()
                self._tail_after = first - 1
            for offset, record in enumerate(records, first):
                if record.kind not in UNFOLLOWED:
                    if len(self._tail) == TAIL:
                        self._tail_after = self._tail[0].offset
                    self._tail.append(Entry(offset, record))
            self._tail_until = first + len(records) - 1

    def read(
        self, after: int = 0, limit: int | None = None, kinds: Collection[str] | None = None
    ) -> Iterator[Entry]:
        """See :meth:`Journal.read`; the newest that are followed need no reading of files."""
        wanted = check_kinds(KINDS if kinds is None else kinds)
        with self._tail_lock:
            # the writer has stored a group before it remembers it
            held = after >= self._tail_after and self._tail_until >= self._last
            if not held or wanted & UNFOLLOWED:
                return super().read(after, limit, kinds)
            newest = list(takewhile(lambda entry: entry.offset > after, reversed(self._tail)))
        entries = (entry for entry in reversed(newest) if entry.record.kind in wanted)
        return islice(entries, limit)

    def _keys_changed(self) -> None:
        self._guard(lambda: self._file.check_keys(self.keys.pepper))

    def _problems(self) -> list[str]:
        return self._file.problems()

    def close(self) -> None:
        """See :meth:`Journal.close`."""
        if self._closed:
            return
        self._closed = True
        super().close()
        with suppress(StoreError):  # the log has them, and says so when it is opened
            self._fill_all()
        with suppress(apsw.Error):
            self._file.close(clean=not self._failed)
        self._log.close()
        self._pending.close()
        self._lock.release()


def _readable(rows: Sequence[Sealed], keys: KeyFile) -> list[Sealed]:
    """Rows of the log; the log keeps what was erased, the database gets blanks in its place.

    Raises:
        CorruptStoreError: the keys are lost, so that all rows would pass for erased ones.
    """
    owners = {row.owner for row in rows} - {NOBODY}
    if owners and keys.fresh:
        raise CorruptStoreError("the keys that sealed this journal are missing; put back keys.bin")
    held = keys.by_token(owners)
    return [row if row.owner == NOBODY or row.owner in held else row.blank() for row in rows]


def _refused(folder: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(f"{folder}: {reason}; nothing of this call is acknowledged")
