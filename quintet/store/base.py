"""What every journal promises, and the one door to it: :func:`open_store`.

**Durable**: :meth:`Journal.append` returns (and a future of :meth:`Journal.submit` is done) only
when the records are on disk. Many callers share one flush (group commit).

**Once**: a record is one of its kind by its id. The same again is a duplicate and gets the offset
of the first; the same id with other content is a conflict and is not stored.

**Ordered**: offsets are 1, 2, 3, ... in the order of commits; a reader that has seen offset n will
never be shown a new record at n or below.

**Erasable**: what belongs to an owner is stored encrypted under a key of that owner alone. Erasing
destroys the key; the records stay as blanks, so that offsets keep their meaning.

The conformance kit (``tests/store/test_conformance.py``) holds every store to these four.

Where the journal is used from several processes or machines, open a Redis or PostgreSQL store; a
SQLite store belongs to one process, and a second one is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from quintet.errors import ConfigError, StoreError
from quintet.store.records import Erasure, Owner, Record

#: what an embedded journal's folder holds, any of which may have been lost
OF_A_JOURNAL = ("records.log", "journal.sqlite", "keys")


class Outcome(Enum):
    """What became of a record."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to one record.

    Attributes:
        offset: where it stands; for a duplicate or a conflict, where the first of that id stands.
        outcome: NEW and DUPLICATE mean that it is on disk; CONFLICT, that it was not stored.
    """

    offset: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Entry:
    """A record at its offset."""

    offset: int
    record: Record


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof of an erasure.

    Attributes:
        offset: of the tombstone; 0 where nothing was held of the owner.
        digest: as in the tombstone; empty where nothing was held.
        n_records: records that became unreadable.
        unreached: copies of the keys that could not be reached: while one is kept, so are the
            means to read a backup.
    """

    offset: int
    digest: str
    n_records: int
    unreached: tuple[str, ...] = ()

    def joined(self, other: Receipt) -> Receipt:
        """Of two erasures of one person: the later tombstone, and all that both reached."""
        newest = max(self, other, key=lambda one: one.offset)
        unreached = tuple(dict.fromkeys((*self.unreached, *other.unreached)))
        n_records = self.n_records + other.n_records
        return Receipt(newest.offset, newest.digest, n_records, unreached)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of the whole journal found.

    Attributes:
        last_offset: of the journal.
        readable: records that were read and match their checksums.
        erased: blanks.
        problems: one line each; empty if all is well.
    """

    last_offset: int
    readable: int
    erased: int
    problems: tuple[str, ...] = ()


class Journal(ABC):
    """A durable, ordered log of records; safe to use from several threads.

    Attributes:
        local: whether it lies on this machine's disk, so that nobody waits for a network.
    """

    local: ClassVar[bool] = False

    @abstractmethod
    def submit(
        self, records: Sequence[Record], *, at_once: bool = False, drawn: bool = False
    ) -> Future[list[Appended]]:
        """Queue records; the future is done when they are on disk, one answer a record, in order.

        The records of one call are stored together or not at all. Does not block: in a coroutine,
        ``await asyncio.wrap_future(journal.submit(records))``.

        Args:
            records: to be stored.
            at_once: write them before this returns, where the store is local, has been quick of
                late and nobody else writes: for many records at a time, less work than to wake
                the writer and be woken by it.
            drawn: the caller has just drawn their ids at random, so that none is looked up: in a
                journal larger than memory that would be a read from the disk for each.

        Raises:
            DataError: not records, one is an ``Erasure``, or an id stands twice with two contents.
            StoreBusyError: the queue is full; nothing was queued, try again later. (HTTP 503)
            StoreError: the journal is closed. The future raises it where the records could not be
                written (disk full, server gone): then none of them is acknowledged, and writing
                goes on as soon as the cause is gone.
        """

    def append(self, records: Sequence[Record]) -> list[Appended]:
        """Like :meth:`submit`, but waits."""
        return self.submit(records).result()

    @property
    @abstractmethod
    def last_offset(self) -> int:
        """Offset of the newest record on disk; 0 for an empty journal."""

    @abstractmethod
    def read(
        self, after: int = 0, limit: int | None = None, kinds: Collection[str] | None = None
    ) -> Iterator[Entry]:
        """Records with an offset above ``after``, in order; erased ones are left out.

        Args:
            after: offset of the last record seen.
            limit: at most so many.
            kinds: only these (``Event.kind``, ``Exposure.kind``, ...).

        Raises:
            CorruptStoreError: a record does not match its checksum.
        """

    @abstractmethod
    def read_owner(
        self, owner: Owner, limit: int | None = None, kinds: Collection[str] | None = None
    ) -> list[Entry]:
        """An owner's newest ``limit`` records, oldest first; arguments as for :meth:`read`."""

    @abstractmethod
    def erase(self, owner: Owner) -> Receipt:
        """Make everything of an owner unreadable, here and in all backups; returns when done.

        What was submitted before is erased, what is submitted after is a new owner's. A second
        erasure finds nothing and writes no tombstone.
        """

    @abstractmethod
    def is_tombstone_of(self, erasure: Erasure, owner: Owner) -> bool:
        """Whether a tombstone is this owner's."""

    def was_erased(self, owner: Owner) -> bool:
        """Whether a tombstone of this owner stands in the journal; reads all tombstones."""
        return any(
            isinstance(entry.record, Erasure) and self.is_tombstone_of(entry.record, owner)
            for entry in self.read(kinds=[Erasure.kind])
        )

    @abstractmethod
    def backup(self, folder: str | Path, keys: str | Path | None = None) -> int:
        """Write a consistent copy of the records to ``folder``; writing goes on meanwhile.

        The copy holds no keys: alone it tells nothing of anybody.

        Args:
            folder: made if missing; a backup in it is replaced.
            keys: also write a copy of the keys to this file. Its path is remembered, and every
                erasure reaches it too (:attr:`Receipt.unreached` says where not).

        Returns:
            The last offset in the copy.
        """

    @abstractmethod
    def restore(self, folder: str | Path, keys: str | Path | None = None) -> int:
        """Take the records of a backup into this empty journal.

        Args:
            folder: written by :meth:`backup`, of any kind of store.
            keys: a copy of the keys, where this journal's own were lost. Owners erased since the
                backup stay erased.

        Returns:
            The last offset.

        Raises:
            StoreError: the journal is not empty.
            CorruptStoreError: the backup is damaged or not whole.
        """

    @abstractmethod
    def verify(self) -> Verified:
        """Read everything and compare with its checksums."""

    @abstractmethod
    def close(self) -> None:
        """Write what is queued, then stop; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_standing(url: str | Path, **settings: Any) -> Journal:
    """As :func:`open_store`, of a journal that is there: whoever reads must not make an empty one.

    Raises:
        StoreError: no journal is in the folder.
    """
    folder = _folder(str(url))
    if folder is not None and not any((folder / name).exists() for name in OF_A_JOURNAL):
        raise StoreError(
            f"{url}: no journal there; a service keeps its own in BUNDLE.state/journal"
        )
    return open_store(url, **settings)


def open_store(url: str | Path, **settings: Any) -> Journal:
    """The journal at ``url``; an empty one is made where there is none.

    Args:
        url: a folder or ``sqlite:///folder`` (four slashes for an absolute path),
            ``redis://host:port/db`` or ``postgresql://user@host/database``. Settings may follow as
            ``?name=value``. A relative path starts at the working directory.
        settings: of the store, see the ``Config`` of its class; they win over the url's.

    Raises:
        ConfigError: the url names no known kind of store, or a setting is unknown.
        MissingExtraError: the extra ``serve``, ``redis`` or ``postgres`` is not installed.
        StoreError: the store cannot be reached, or is in use by another process (SQLite).
        CorruptStoreError: it is damaged beyond what it can mend by itself.
    """
    text = str(url)
    parts = urlsplit(text)
    scheme = parts.scheme.lower() if "://" in text else ""
    values = {**dict(parse_qsl(parts.query)), **settings} if scheme else settings
    folder = _folder(text)
    if folder is not None:
        from quintet.store.sqlite import SQLiteJournal

        return SQLiteJournal.open(folder, values)
    address = parts._replace(query="").geturl()
    if scheme in ("redis", "rediss"):
        from quintet.store.redis import RedisJournal

        return RedisJournal.open(address, values)
    if scheme in ("postgresql", "postgres"):
        from quintet.store.postgres import PostgresJournal

        return PostgresJournal.open(address, values)
    raise ConfigError(
        f"no store of kind {scheme!r}; give a folder, sqlite:///, redis:// or postgresql://"
    )


def _folder(url: str) -> Path | None:
    """Where an embedded journal lies; None where the url names a server."""
    if "://" not in url:
        return Path(url)
    parts = urlsplit(url)
    return Path(parts.path.removeprefix("/")) if parts.scheme.lower() == "sqlite" else None
