"""The database file of the embedded store: tables, statements, and whether it is whole."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import apsw

from quintet.errors import CorruptStoreError
from quintet.store.backup import fingerprint
from quintet.store.seal import HASH_BYTES, ID_AT, OWNER_AT, Sealed, parse

#: kinds that most rows are of; an index by kind would not help to find these
COMMON = {1, 2}
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    offset INTEGER PRIMARY KEY, code INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, owner BLOB,
    frame BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS records_owner ON records (owner, offset) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_kind ON records (code, offset);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
#: all rows of a commit in one statement, which other threads run beside: the frames one behind the
#: other, and where each starts, its length and its code; id and owner stand in the frame
INSERT = f"""
INSERT INTO records (offset, code, id, owner, frame)
SELECT offset, code, substr(frame, {ID_AT + 1}, {HASH_BYTES}),
    nullif(substr(frame, {OWNER_AT + 1}, {HASH_BYTES}), zeroblob({HASH_BYTES})), frame
FROM (
    SELECT ?1 + key AS offset, value ->> 2 AS code, substr(?2, value ->> 0, value ->> 1) AS frame
    FROM json_each(?3)
)
"""  # noqa: S608 - only numbers of ours
FIND = "SELECT offset, frame FROM records WHERE id IN ({})"
MARK = "INSERT OR REPLACE INTO meta (name, value) VALUES {}"
#: ids looked up with one statement
BULK = 128


class SQLiteFile:
    """A connection that writes, one that reads and one that looks up ids.

    Each is used by one thread at a time; who looks up waits for neither of the others.

    A blank row has code 0 and no owner.
    """

    def __init__(self, path: Path, vfs: str = "") -> None:
        self.path, self._vfs = path, vfs
        self._reading = threading.Lock()
        self._finding = threading.Lock()
        self._writing = threading.RLock()
        self._writer = self._connect()
        try:
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute(SCHEMA)
            self._check()
            self._mark(clean=0)
            self._reader, self._finder = self._connect(), self._connect()
        except BaseException:
            self._writer.close()
            raise

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), vfs=self._vfs or None)
        connection.set_busy_timeout(10_000)
        # the log of frames is flushed before every commit; this copy, whenever it is checkpointed
        connection.execute("PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON")
        return connection

    def _check(self) -> None:
        """Read everything, unless the file was closed in order and has its length.

        A page that was cut off reads as zeros, which SQLite does not mind inside a row: the rows'
        own checksums do.

        Raises:
            CorruptStoreError: it is damaged.
        """
        pages = self._writer.pragma("page_count") * self._writer.pragma("page_size")
        if self._value("clean") == 1 and self.path.stat().st_size == pages:
            return
        if self._writer.pragma("quick_check") != "ok":
            raise CorruptStoreError(f"{self.path} is damaged")
        rows: Any = self._writer.execute("SELECT offset, frame FROM records")
        for offset, frame in rows:
            parse(frame, offset)

    # ------------------------------------------------------------------ meta

    def _value(self, name: str) -> int | str | None:
        value = self._writer.execute("SELECT value FROM meta WHERE name = ?", (name,)).get
        return value if value is None else (value if isinstance(value, int) else str(value))

    def _mark(self, **values: int | str) -> None:
        places = ", ".join(["(?, ?)"] * len(values))
        self._writer.execute(MARK.format(places), tuple(chain.from_iterable(values.items())))

    def check_keys(self, pepper: bytes) -> None:
        """Refuse to go on with keys that are not this journal's: nothing could be read.

        Raises:
            CorruptStoreError: they are not.
        """
        known = self._value("keys")
        if known is None or not self.last_offset():  # an empty one may take over other keys
            self._mark(keys=fingerprint(pepper))
        elif known != fingerprint(pepper):
            raise CorruptStoreError(
                f"{self.path}: the keys are not those that sealed it; put back keys.bin"
            )

    def log_mark(self) -> tuple[int, int]:
        """Length of the log of frames, and its last offset, as of the newest commit."""
        return int(self._value("log_size") or 0), int(self._value("log_offset") or 0)

    def set_log_mark(self, mark: tuple[int, int]) -> None:
        """See :meth:`log_mark`."""
        with self._transaction():
            self._mark(log_size=mark[0], log_offset=mark[1])

    # ------------------------------------------------------------------ rows

    def last_offset(self) -> int:
        """Of the newest row; 0 if there is none."""
        return int(self._writer.execute("SELECT max(offset) FROM records").get or 0)

    def insert(self, rows: Sequence[Sealed], mark: tuple[int, int]) -> None:
        """All rows, one offset after the other, and the log's mark.

        A crash of this process takes none of it back.
        """
        frames = [row.frame() for row in rows]
        starts = accumulate(map(len, frames), initial=1)
        codes = (0 if row.erased else row.code for row in rows)
        parts = list(zip(starts, map(len, frames), codes, strict=False))
        values = (rows[0].offset, b"".join(frames), json.dumps(parts))
        with self._transaction():
            self._writer.execute(INSERT, values)
            self._mark(log_size=mark[0], log_offset=mark[1])

    def find(self, ids: Sequence[bytes]) -> dict[bytes, Sealed]:
        """Rows by id."""
        hits: list[Any] = []
        with self._finding:
            for start in range(0, len(ids), BULK):
                part = tuple(ids[start : start + BULK])
                query = FIND.format(", ".join("?" * len(part)))
                hits += self._finder.execute(query, part).fetchall()
        rows = [parse(frame, offset) for offset, frame in hits]
        return {row.id: row for row in rows}

    def rows(self, after: int, limit: int, codes: Collection[int] | None) -> list[Sealed]:
        """Rows above an offset; of the given kinds only, and then no blanks."""
        where, values = _of_kind(codes)
        return self._query(
            f"SELECT offset, frame FROM records WHERE offset > ?{where} "  # noqa: S608 - only marks
            "ORDER BY offset LIMIT ?",
            (after, *values, limit),
        )

    def owner_rows(
        self, token: bytes, limit: int | None, codes: Collection[int] | None
    ) -> list[Sealed]:
        """The newest rows under a token, oldest first."""
        where, values = _of_kind(codes)
        newest = self._query(
            f"SELECT offset, frame FROM records WHERE owner = ?{where} "  # noqa: S608 - only marks
            "ORDER BY offset DESC LIMIT ?",
            (token, *values, -1 if limit is None else limit),
        )
        return newest[::-1]

    def _query(self, sql: str, values: tuple[int | bytes, ...]) -> list[Sealed]:
        with self._reading:
            hits: list[Any] = self._reader.execute(sql, values).fetchall()
        return [parse(frame, offset) for offset, frame in hits]

    def blank(self, token: bytes) -> None:
        """Blank all rows under a token, and leave no old page of them in the write-ahead log."""
        rows = self.owner_rows(token, None, None)
        with self._transaction():
            for row in rows:
                self._writer.execute(
                    "UPDATE records SET code = 0, owner = NULL, frame = ? WHERE offset = ?",
                    (row.blank().frame(), row.offset),
                )
        with self._finding, self._reading, self._writing:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(apsw.Error):
                    self._writer.execute("ROLLBACK")
                raise

    # ------------------------------------------------------------------ health

    def problems(self) -> list[str]:
        """What SQLite finds wrong; empty if all is well."""
        try:
            with self._reading:
                found = [str(row[0]) for row in self._reader.execute("PRAGMA integrity_check")]
        except apsw.Error as error:
            found = [str(error)]
        return [] if found == ["ok"] else [f"{self.path.name}: {problem}" for problem in found]

    def close(self, clean: bool = False) -> None:
        """Close; ``clean`` says that the next opening need not read every page."""
        with self._finding, self._reading, self._writing:
            self._reader.close()
            self._finder.close()
            try:
                if clean:
                    self._mark(clean=1)
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._writer.close()


def _of_kind(codes: Collection[int] | None) -> tuple[str, tuple[int, ...]]:
    if codes is None:
        return "", ()
    # with "+" the table is read in its own order, which needs no sorting
    column = "+code" if COMMON & set(codes) else "code"
    return f" AND {column} IN ({', '.join('?' * len(codes))})", tuple(codes)


def salvage(path: Path, vfs: str, after: int) -> list[Sealed] | None:
    """What a damaged file holds above an offset, in order; None if it cannot even tell that.

    Raises:
        CorruptStoreError: something there cannot be read any more.
    """
    rows: list[Sealed] | None = None
    query = "SELECT frame FROM records WHERE offset = ?"
    try:
        connection = apsw.Connection(str(path), vfs=vfs or None)
    except apsw.Error:
        return rows
    with suppress(apsw.Error):
        last = int(connection.execute("SELECT max(offset) FROM records").get or 0)
        rows = []
        for offset in range(after + 1, last + 1):
            try:
                hits: list[Any] = connection.execute(query, (offset,)).fetchall()
                rows.append(parse(hits[0][0], offset))
            except (apsw.Error, CorruptStoreError, IndexError):
                raise CorruptStoreError(
                    f"offset {offset} is damaged in both copies; restore a backup to a new folder"
                ) from None
    connection.close()
    return rows


def put_aside(path: Path) -> None:
    """Keep a damaged file for whoever wants to know what happened to it."""
    folder = path.parent / f"damaged-{time.time_ns()}"
    folder.mkdir()
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", folder / f"{path.name}{suffix}")
