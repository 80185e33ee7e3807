"""What all stores share: sealing, idempotence, erasure, reading. A store only keeps rows.

Erasure takes four steps, each durable and each safe to repeat after a crash: the secret is
destroyed (from here on nothing can be read), the tombstone is written, the rows are blanked, the
token is forgotten. What a crash left half done is finished when the journal is opened.
"""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import compress
from operator import not_
from pathlib import Path
from typing import get_args

from pydantic import Field

from quintet.config import Config as BaseConfig
from quintet.errors import ConfigError, CorruptStoreError, DataError, StoreError
from quintet.store import backup as backups
from quintet.store import codec, seal
from quintet.store.base import Appended, Entry, Journal, Outcome, Receipt, Verified
from quintet.store.frame_log import PAGE, pages
from quintet.store.group_commit import Batch, Encoded, Writer
from quintet.store.keys import Key, KeyStore, shred_copies, write_copy
from quintet.store.records import KINDS, Erasure, Owner, Record
from quintet.store.seal import CODES, NOBODY, Sealed

MOST_RACES = 200
NOBODYS = Key(b"", NOBODY, b"")
RECORDS = get_args(Record)


class RacedError(Exception):
    """Another process wrote meanwhile: look again and try again."""


class SealedJournal(Journal):
    """A journal over rows; subclasses say where rows and keys are kept."""

    class Config(BaseConfig):
        """Settings that every store has."""

        queue: int = Field(default=50_000, gt=0, description="records that may wait to be written")
        group: int = Field(
            default=2_000, gt=0, description="records written with one flush, at most"
        )

    def __init__(self, keys: KeyStore, config: Config) -> None:
        self.keys = keys
        self._stones: dict[str, Erasure] = {}
        self._stones_until, self._stones_lock = 0, threading.Lock()
        self._writer = Writer(self._commit, config.queue, config.group, self._settle)
        self._writer.call(self._finish_erasures)

    # ------------------------------------------------------------------ rows of a store

    @abstractmethod
    def _find(self, ids: Sequence[bytes]) -> dict[bytes, Sealed]:
        """The rows of those record ids that are known."""

    @abstractmethod
    def _write(self, rows: Sequence[Sealed]) -> None:
        """Store rows, all or none, on disk when it returns; offsets follow the newest row's.

        Raises:
            RacedError: they no longer do, or an owner's key has gone.
            StoreError: they could not be written.
        """

    @abstractmethod
    def _rows(self, after: int, limit: int, codes: Collection[int] | None) -> list[Sealed]:
        """Rows above an offset, in order; blanks too unless ``codes`` are given."""

    @abstractmethod
    def _owner_rows(
        self, token: bytes, limit: int | None, codes: Collection[int] | None
    ) -> list[Sealed]:
        """The newest rows under a token, oldest first."""

    @abstractmethod
    def _blank(self, token: bytes) -> None:
        """Blank all rows under a token, on disk and in what the store keeps of old pages."""

    # ------------------------------------------------------------------ writing

    def submit(
        self, records: Sequence[Record], *, at_once: bool = False, drawn: bool = False
    ) -> Future[list[Appended]]:
        """See :meth:`Journal.submit`."""
        encoded: list[Encoded] = []
        contents: dict[tuple[str, str], bytes] = {}
        for record in records:
            if not isinstance(record, RECORDS) or isinstance(record, Erasure):
                raise DataError(f"a {type(record).__name__} cannot be appended")
            body = codec.encode(record)
            if contents.setdefault((record.kind, record.record_id), body) != body:
                raise DataError(f"two records of kind {record.kind!r} have one id")
            encoded.append((record, body))
        return self._writer.submit(encoded, at_once=at_once and self.local, drawn=drawn)

    def _commit(self, batches: Sequence[Batch]) -> list[list[Appended]]:
        """On the writer's thread: store what is new of a group, answer for every record."""
        records = [one for batch in batches for one in batch.records]
        drawn = [batch.drawn for batch in batches for _ in batch.records]
        for _ in range(MOST_RACES):
            try:
                answers = iter(self._store(records, drawn))
            except RacedError:
                continue
            return [[next(answers) for _ in batch.records] for batch in batches]
        raise StoreError("other processes write so fast that this one finds no turn")

    def _store(self, records: Sequence[Encoded], drawn: Sequence[bool]) -> list[Appended]:
        pepper = self.keys.pepper
        ids = [seal.record_hash(pepper, record) for record, _ in records]
        rows = self._find(list(compress(ids, map(not_, drawn))))
        fresh: dict[bytes, Encoded] = {}
        for identity, encoded in zip(ids, records, strict=True):
            if identity not in rows:
                fresh.setdefault(identity, encoded)
        new = self._seal(fresh, self.last_offset + 1) if fresh else []
        if new:
            self._write(new)
            self._remember(new[0].offset, [record for record, _ in fresh.values()])
        placed = {row.id: row for row in new}
        answers = []
        for identity, (_, body) in zip(ids, records, strict=True):
            row = placed.get(identity) or rows[identity]
            if fresh.pop(identity, None) is not None:
                outcome = Outcome.NEW
            elif row.erased or row.digest == seal.content_digest(pepper, body):
                outcome = Outcome.DUPLICATE
            else:
                outcome = Outcome.CONFLICT
            answers.append(Appended(row.offset, outcome))
        return answers

    def _seal(self, records: Mapping[bytes, Encoded], offset: int) -> list[Sealed]:
        """Rows of new records by their ids, from an offset on."""
        pepper = self.keys.pepper
        owners = [record.owner for record, _ in records.values()]
        hashes = {one: seal.owner_hash(pepper, one) for one in set(owners) if one is not None}
        keys = self.keys.find(hashes.values())
        if len(keys) < len(hashes):
            keys |= self.keys.add([one for one in hashes.values() if one not in keys])
        rows = []
        for place, (owner, (identity, (record, body))) in enumerate(
            zip(owners, records.items(), strict=True), offset
        ):
            key = NOBODYS if owner is None else keys[hashes[owner]]
            digest = seal.content_digest(pepper, body)
            rows.append(seal.seal(record.kind, identity, body, digest, key, place))
        return rows

    def _remember(self, first: int, records: Sequence[Record]) -> None:
        """A store that has the only writer may keep the newest, from offset ``first``, at hand."""

    def _settle(self) -> None:
        """Do what could wait until records were acknowledged."""

    # ------------------------------------------------------------------ reading

    def read(
        self, after: int = 0, limit: int | None = None, kinds: Collection[str] | None = None
    ) -> Iterator[Entry]:
        """See :meth:`Journal.read`."""
        codes, left = _codes(KINDS if kinds is None else kinds), limit
        while left is None or left > 0:
            rows = self._rows(after, PAGE if left is None else min(PAGE, left), codes)
            if not rows:
                return
            for entry in self._open(rows):
                left = None if left is None else left - 1
                yield entry
            after = rows[-1].offset

    def read_owner(
        self, owner: Owner, limit: int | None = None, kinds: Collection[str] | None = None
    ) -> list[Entry]:
        """See :meth:`Journal.read_owner`."""
        hashed = seal.owner_hash(self.keys.pepper, owner)
        key = self.keys.find([hashed]).get(hashed)
        if key is None or limit == 0:
            return []
        codes = None if kinds is None else _codes(kinds)
        return list(self._open(self._owner_rows(key.token, limit, codes)))

    def _open(self, rows: Sequence[Sealed]) -> Iterator[Entry]:
        """Entries of rows; what was erased meanwhile is left out."""
        keys = self.keys.by_token({row.owner for row in rows if row.owner != NOBODY})
        for row in rows:
            if row.erased:
                continue
            if row.owner == NOBODY:
                yield Entry(row.offset, seal.unseal(row, b""))
            elif row.owner in keys:
                yield Entry(row.offset, seal.unseal(row, keys[row.owner].secret))

    # ------------------------------------------------------------------ erasure

    def erase(self, owner: Owner) -> Receipt:
        """See :meth:`Journal.erase`."""
        receipt: Receipt = self._writer.call(lambda: self._erase(owner))
        return receipt

    def _erase(self, owner: Owner) -> Receipt:
        hashed = seal.owner_hash(self.keys.pepper, owner)
        left = {key.owner: receipt for key, receipt in self._finish_erasures()}
        unreached = shred_copies(self.keys, hashed)
        token = self.keys.shred(hashed)
        try:
            if token is None:
                return Receipt(*left.get(hashed, (0, "", 0)), unreached)
            return Receipt(*self._bury(Key(hashed, token, b"")), unreached)
        finally:
            seal.forget()  # last: whoever read the newest records meanwhile has kept some of it

    def _finish_erasures(self) -> list[tuple[Key, tuple[int, str, int]]]:
        """Finish what a crash or a full disk left half done."""
        return [(key, self._bury(key)) for key in self.keys.shredded()]

    def _bury(self, key: Key) -> tuple[int, str, int]:
        """Tombstone, blanks, forgetting: offset and digest of the tombstone, records gone."""
        salt = os.urandom(16).hex()
        erasure = Erasure(
            erasure_id=key.token.hex(),
            timestamp=time.time_ns() // 1000,
            salt=salt,
            digest=seal.tombstone_digest(self.keys.pepper, salt, key.owner),
            n_records=len(self._owner_rows(key.token, None, None)),
        )
        identity = seal.record_hash(self.keys.pepper, erasure)
        if identity not in self._find([identity]):
            self._commit([Batch([(erasure, codec.encode(erasure))], Future())])
        stone = next(self._open(list(self._find([identity]).values())))
        self._blank(key.token)
        self.keys.forget(key.token)
        assert isinstance(stone.record, Erasure)
        return stone.offset, stone.record.digest, stone.record.n_records

    def is_tombstone_of(self, erasure: Erasure, owner: Owner) -> bool:
        """See :meth:`Journal.is_tombstone_of`."""
        hashed = seal.owner_hash(self.keys.pepper, owner)
        return erasure.digest == seal.tombstone_digest(self.keys.pepper, erasure.salt, hashed)

    def was_erased(self, owner: Owner) -> bool:
        """See :meth:`Journal.was_erased`; a tombstone is read once."""
        hashed, pepper = seal.owner_hash(self.keys.pepper, owner), self.keys.pepper
        with self._stones_lock:
            last = self.last_offset
            if last > self._stones_until:
                for entry in self.read(self._stones_until, kinds=[Erasure.kind]):
                    if isinstance(entry.record, Erasure):
                        self._stones[entry.record.erasure_id] = entry.record
                self._stones_until = last
            stones = list(self._stones.values())
        return any(seal.tombstone_digest(pepper, s.salt, hashed) == s.digest for s in stones)

    # ------------------------------------------------------------------ copies and checks

    def backup(self, folder: str | Path, keys: str | Path | None = None) -> int:
        """See :meth:`Journal.backup`."""
        last = self.last_offset
        if keys is not None:
            self._writer.call(lambda: write_copy(self.keys, Path(keys)))
        backups.write(Path(folder), self._all_rows(last), last, self.keys.pepper)
        return last

    def restore(self, folder: str | Path, keys: str | Path | None = None) -> int:
        """See :meth:`Journal.restore`."""
        last: int = self._writer.call(lambda: self._restore(Path(folder), keys))
        return last

    def _restore(self, folder: Path, keys: str | Path | None) -> int:
        if self.last_offset:
            raise StoreError("restore: this journal is not empty; give the url of an empty one")
        if keys is not None:
            pepper, held = backups.read_keys(Path(keys))
            self.keys.absorb(pepper, held)
            self.keys.remember_copy(str(Path(keys).absolute()))  # erasures reach it from now on
            self._keys_changed()
        rows = backups.read(folder, self.keys.pepper)
        for page in pages(rows):
            known = self.keys.by_token({row.owner for row in page})
            kept = [
                row if row.owner == NOBODY or row.owner in known else row.blank() for row in page
            ]
            self._write(kept)
        return self.last_offset

    def _all_rows(self, last: int) -> Iterator[Sealed]:
        after = 0
        while after < last:
            rows = [row for row in self._rows(after, PAGE, None) if row.offset <= last]
            if not rows:
                return
            yield from rows
            after = rows[-1].offset

    def verify(self) -> Verified:
        """See :meth:`Journal.verify`."""
        last, expected, readable, erased = self.last_offset, 1, 0, 0
        problems = self._problems()
        try:
            for row in self._all_rows(last):
                if row.offset != expected:
                    problems.append(f"offsets {expected} to {row.offset - 1} are missing")
                expected = row.offset + 1
                erased += row.erased
                try:
                    opened = sum(1 for _ in self._open([row]))
                except CorruptStoreError as error:
                    problems.append(str(error))
                    continue
                readable += opened
                if not opened and not row.erased and self._owner_rows(row.owner, 1, None):
                    problems.append(f"offset {row.offset}: its owner's key is missing")
        except CorruptStoreError as error:
            problems.append(str(error))
        else:
            if expected <= last:
                problems.append(f"offsets {expected} to {last} are missing")
        return Verified(last, readable, erased, tuple(problems))

    def _keys_changed(self) -> None:
        """The keys of this empty journal are now those of a backup."""

    def _problems(self) -> list[str]:
        """What the store itself can say of its health."""
        return []

    def close(self) -> None:
        """See :meth:`Journal.close`."""
        self._writer.close()
        self.keys.close()


def check_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """The kinds as a set.

    Raises:
        ConfigError: there is no such kind; lists those that exist.
    """
    wanted = frozenset(kinds)
    unknown = sorted(wanted - set(CODES))
    if unknown:
        raise ConfigError(f"unknown kind {unknown[0]!r}; choose from: {', '.join(CODES)}")
    return wanted


def _codes(kinds: Iterable[str]) -> frozenset[int]:
    return frozenset(CODES[kind] for kind in check_kinds(kinds))
