"""A key store in one file, or in several that mirror each other: fixed slots, erased in place.

A database would keep old pages of a deleted key in its log and its free list. Here a key has a slot
of 128 bytes, inside one sector; erasing overwrites that slot, in every mirror, and flushes it.
What a mirror lost (truncated, a sector gone, missing) is healed from another when it is opened.

Layout: slot 0 holds magic and pepper; then slots of state, owner, token, secret, checksum.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from quintet.errors import CorruptStoreError, StoreError
from quintet.files import write_json_atomic
from quintet.store import disk
from quintet.store.keys import SECRET_BYTES, Key, KeyStore, new_secret, new_token
from quintet.store.seal import HASH_BYTES

SLOT = 128
MAGIC = b"QK1\x00"
MOST_USED = 32_768
LIVE, SHREDDED, FORGOTTEN = b"K", b"S", b"F"
#: of two readings of a slot the later state holds
_ORDER = {LIVE: 0, SHREDDED: 1, FORGOTTEN: 2}
_SLOT = struct.Struct(f"<c{HASH_BYTES}s{HASH_BYTES}s{SECRET_BYTES}s")
_HEADER = struct.Struct(f"<4s{SECRET_BYTES}s")


class KeyFile(KeyStore):
    """Keys in the given files, which mirror each other.

    About 300 bytes of memory an owner; secrets stay on disk until they are used, and those used
    lately are kept until they are destroyed.

    Raises:
        CorruptStoreError: a slot is damaged in all files.
        StoreError: the disk refuses.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._lock = threading.RLock()
        self._by_owner: dict[bytes, int] = {}
        self._by_token: dict[bytes, int] = {}
        self._shredded: dict[bytes, int] = {}
        self._used: dict[int, Key] = {}
        self._handles: list[int] = []
        try:
            for path in self._paths:
                self._handles.append(disk.open_file(path))
            self._load()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise StoreError(f"keys at {paths[0]}: {error.strerror}") from None
            raise

    @property
    def fresh(self) -> bool:
        """Whether it never held a key."""
        return not self._n_slots

    # ------------------------------------------------------------------ reading

    def find(self, owners: Iterable[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.find`."""
        with self._lock:
            held = [self._by_owner[owner] for owner in owners if owner in self._by_owner]
            return {key.owner: key for key in map(self._use, held)}

    def by_token(self, tokens: Iterable[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.by_token`."""
        with self._lock:
            held = [self._by_token[token] for token in tokens if token in self._by_token]
            return {key.token: key for key in map(self._use, held)}

    def everything(self) -> list[Key]:
        """See :meth:`KeyStore.everything`."""
        with self._lock:
            return [self._read(slot) for slot in sorted(self._by_owner.values())]

    def shredded(self) -> list[Key]:
        """See :meth:`KeyStore.shredded`."""
        with self._lock:
            slots = list(self._shredded.values())
            return [replace(self._read(slot), secret=b"") for slot in slots]

    # ------------------------------------------------------------------ changing

    def add(self, owners: Sequence[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.add`."""
        with self._lock:
            fresh = [owner for owner in dict.fromkeys(owners) if owner not in self._by_owner]
            self._append([Key(owner, new_token(), new_secret()) for owner in fresh])
            return self.find(owners)

    def shred(self, owner: bytes) -> bytes | None:
        """See :meth:`KeyStore.shred`."""
        with self._lock:
            slot = self._by_owner.get(owner)
            if slot is None:
                return None
            token = self._read(slot).token
            # before the disk says how far it got: nothing is sealed with what may be half gone
            del self._by_owner[owner], self._by_token[token]
            self._shredded[token] = slot
            self._write(slot, _pack(SHREDDED, Key(owner, token, b"")))
            return token

    def forget(self, token: bytes) -> None:
        """See :meth:`KeyStore.forget`."""
        with self._lock:
            slot = self._shredded.get(token)
            if slot is not None:
                self._write(slot, _pack(FORGOTTEN, Key(b"", b"", b"")))
                del self._shredded[token]

    def absorb(self, pepper: bytes, keys: Iterable[Key]) -> None:
        """See :meth:`KeyStore.absorb`."""
        with self._lock:
            if pepper != self.pepper:
                if self._n_slots:
                    raise StoreError("this key store holds keys of another journal")
                self.pepper = pepper
                self._write(0, _pack_header(pepper))
            gone = set(self._shredded)
            known = self._by_owner
            self._append([k for k in keys if k.owner not in known and k.token not in gone])

    # ------------------------------------------------------------------ copies

    @property
    def _register(self) -> Path:
        return self._paths[0].with_name(self._paths[0].name + ".copies.json")

    def copies(self) -> list[str]:
        """See :meth:`KeyStore.copies`."""
        import json

        try:
            return [str(path) for path in json.loads(self._register.read_text("utf8"))]
        except FileNotFoundError:
            return []

    def remember_copy(self, path: str) -> None:
        """See :meth:`KeyStore.remember_copy`."""
        write_json_atomic(self._register, sorted({*self.copies(), path}))

    def close(self) -> None:
        """See :meth:`KeyStore.close`."""
        with self._lock:
            for handle in self._handles:
                os.close(handle)
            self._handles = []

    # ------------------------------------------------------------------ slots

    def _append(self, keys: Sequence[Key]) -> None:
        """New slots behind the last; they count only once they are on disk."""
        if not keys:
            return
        first = self._n_slots + 1
        self._write(first, b"".join(_pack(LIVE, key) for key in keys))
        self._n_slots += len(keys)
        for slot, key in enumerate(keys, first):
            self._by_owner[key.owner] = self._by_token[key.token] = slot

    def _write(self, slot: int, data: bytes) -> None:
        self._used.pop(slot, None)
        try:
            for handle in self._handles:
                disk.write_at(handle, data, slot * SLOT)
                disk.sync(handle)
        except OSError as error:
            raise StoreError(f"keys at {self._paths[0]}: {error.strerror}") from None

    def _use(self, slot: int) -> Key:
        """A key that is likely to be used again soon."""
        key = self._used.get(slot)
        if key is None:
            if len(self._used) >= MOST_USED:
                self._used.clear()
            key = self._used[slot] = self._read(slot)
        return key

    def _read(self, slot: int) -> Key:
        for handle in self._handles:
            found = _unpack(os.pread(handle, SLOT, slot * SLOT))
            if found is not None:
                return found[1]
        raise CorruptStoreError(f"keys at {self._paths[0]}: slot {slot} is damaged in all copies")

    def _load(self) -> None:
        contents = [_read_all(handle) for handle in self._handles]
        self.pepper = self._load_pepper(contents)
        last = max(len(content) for content in contents) // SLOT
        healed: list[bytes] = []
        for slot in range(1, max(last, 1)):
            readings = [content[slot * SLOT : (slot + 1) * SLOT] for content in contents]
            whole = [(found, raw) for raw in readings if (found := _unpack(raw)) is not None]
            if not whole:
                if _torn_from(slot, last, contents):  # a crash in a write never acknowledged
                    break
                raise CorruptStoreError(
                    f"keys at {self._paths[0]}: slot {slot} is damaged in all copies; "
                    "put back a copy of the keys"
                )
            (state, key), raw = max(whole, key=lambda one: _ORDER[one[0][0]])
            healed.append(raw)
            if state == LIVE:
                self._by_owner[key.owner] = self._by_token[key.token] = slot
            elif state == SHREDDED:
                self._shredded[key.token] = slot
        self._n_slots = len(healed)
        self._heal(contents, _pack_header(self.pepper) + b"".join(healed))

    def _load_pepper(self, contents: Sequence[bytes]) -> bytes:
        for content in contents:
            found = _unpack_header(content[:SLOT])
            if found is not None:
                return found
        if any(len(content) > SLOT for content in contents):
            raise CorruptStoreError(f"keys at {self._paths[0]}: the header is damaged in all files")
        return new_secret()

    def _heal(self, contents: Sequence[bytes], right: bytes) -> None:
        for handle, content in zip(self._handles, contents, strict=True):
            if content != right:
                disk.write_at(handle, right, 0)
                os.ftruncate(handle, len(right))
                disk.sync(handle)


def _torn_from(first: int, last: int, contents: Sequence[bytes]) -> bool:
    """Whether no slot from ``first`` on is whole in any file."""
    return not any(
        _unpack(content[slot * SLOT : (slot + 1) * SLOT])
        for slot in range(first, last)
        for content in contents
    )


def _pack(state: bytes, key: Key) -> bytes:
    packed = _SLOT.pack(state, key.owner, key.token, key.secret)
    return (packed + _check(packed)).ljust(SLOT, b"\x00")


def _unpack(raw: bytes) -> tuple[bytes, Key] | None:
    """State and key of a slot; None if it is torn."""
    packed, check = raw[: _SLOT.size], raw[_SLOT.size : _SLOT.size + HASH_BYTES]
    if len(raw) < SLOT or check != _check(packed):
        return None
    state, owner, token, secret = _SLOT.unpack(packed)
    return (state, Key(owner, token, secret)) if state in _ORDER else None


def _pack_header(pepper: bytes) -> bytes:
    packed = _HEADER.pack(MAGIC, pepper)
    return (packed + _check(packed)).ljust(SLOT, b"\x00")


def _unpack_header(raw: bytes) -> bytes | None:
    packed, check = raw[: _HEADER.size], raw[_HEADER.size : _HEADER.size + HASH_BYTES]
    if len(raw) < SLOT or packed[: len(MAGIC)] != MAGIC or check != _check(packed):
        return None
    return bytes(_HEADER.unpack(packed)[1])


def _check(packed: bytes) -> bytes:
    return blake2b(packed, digest_size=HASH_BYTES).digest()


def _read_all(handle: int) -> bytes:
    size = os.fstat(handle).st_size
    chunks, position = [], 0
    while position < size:
        chunk = os.pread(handle, min(size - position, 64 << 20), position)
        if not chunk:
            break
        chunks.append(chunk)
        position += len(chunk)
    return b"".join(chunks)
