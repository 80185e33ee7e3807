"""Records as they are stored: sealed under their owner's key, with a checksum that needs no key.

AES-256-GCM with a random nonce of 96 bits a record (NIST SP 800-38D: at most 2^32 records a key)
and the record's place in the house (kind, id, owner) as associated data, so that a body cannot be
moved to another row. What is nobody's (items, deployments, tombstones) is stored as it is.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

from quintet.errors import CorruptStoreError, MissingExtraError
from quintet.store import codec
from quintet.store.records import KINDS, Owner, Record, forget_owners

if TYPE_CHECKING:
    from hashlib import _Hash

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from quintet.store.keys import Key

HASH_BYTES = 16
BLOCK = 64  # bytes that SHA-256 takes in at a time
NONCE_BYTES = 12
NOBODY = bytes(HASH_BYTES)
#: codes of kinds in rows and frames; never renumber one
CODES = {"event": 1, "exposure": 2, "profile": 3, "item": 4, "deployment": 5, "erasure": 6}
NAMES = {code: name for name, code in CODES.items()}
MAGIC = b"QJ1\x00"
_HEADER = struct.Struct(f"<4sBQI{HASH_BYTES}s{HASH_BYTES}s{HASH_BYTES}s")
#: where in a frame the id and the owner stand
ID_AT = struct.calcsize("<4sBQI")
OWNER_AT = ID_AT + HASH_BYTES
_LARGEST_BODY = 64 << 20


@dataclass(frozen=True)
class Sealed:
    """A record at rest.

    Attributes:
        offset: where it stands, from 1; 0 before it has a place.
        code: its kind, see :data:`CODES`.
        id: keyed hash of kind and record id.
        owner: token of the owner's key; :data:`NOBODY` for what is nobody's or erased.
        digest: keyed hash of the content; zeros once erased.
        body: ciphertext, or canonical bytes of what is nobody's; empty once erased.
    """

    offset: int
    code: int
    id: bytes
    owner: bytes
    digest: bytes
    body: bytes

    @property
    def erased(self) -> bool:
        """Whether only a blank is left."""
        return not self.body

    @property
    def kind(self) -> str:
        """Name of its kind."""
        return NAMES.get(self.code, f"kind {self.code}")

    def blank(self) -> Sealed:
        """What erasure leaves: a place, a kind and a hash that refuses a late copy."""
        return replace(self, owner=NOBODY, digest=bytes(HASH_BYTES), body=b"")

    def frame(self) -> bytes:
        """The row as it stands in logs and backups: header, body, checksum of both."""
        return self._frame

    @cached_property
    def _frame(self) -> bytes:
        content = self._header() + self.body
        return content + _checksum(content)

    def _header(self) -> bytes:
        return _HEADER.pack(
            MAGIC, self.code, self.offset, len(self.body), self.id, self.owner, self.digest
        )


def frames(data: bytes | memoryview) -> Iterator[tuple[Sealed, int]]:
    """The whole frames at the start of ``data``, each with the position behind it.

    Ends at the first that is torn or does not match its checksum.
    """
    start = 0
    while start + _HEADER.size <= len(data):
        magic, code, offset, length, identity, owner, digest = _HEADER.unpack_from(data, start)
        body_start = start + _HEADER.size
        end = body_start + length + HASH_BYTES
        if magic != MAGIC or length > _LARGEST_BODY or end > len(data):
            return
        if _checksum(data[start : end - HASH_BYTES]) != data[end - HASH_BYTES : end]:
            return
        body = bytes(data[body_start : body_start + length])
        yield Sealed(offset, code, identity, owner, digest, body), end
        start = end


def _checksum(content: bytes | memoryview) -> bytes:
    return blake2b(content, digest_size=HASH_BYTES).digest()


def parse(frame: bytes, offset: int) -> Sealed:
    """The row of a stored frame.

    Raises:
        CorruptStoreError: it does not match its checksum or stands at another's place.
    """
    for row, end in frames(frame):
        if end == len(frame) and row.offset == offset:
            return row
    raise CorruptStoreError(f"offset {offset}: the row does not match its checksum")


def keyed_hash(secret: bytes, purpose: bytes, content: bytes) -> bytes:
    """HMAC-SHA-256 of a content for one purpose (a word without NUL), cut to 16 bytes."""
    inner, outer = (begun.copy() for begun in _begun(secret, purpose))
    inner.update(content)
    outer.update(inner.digest())
    return outer.digest()[:HASH_BYTES]


@lru_cache(maxsize=64)
def _begun(secret: bytes, purpose: bytes) -> tuple[_Hash, _Hash]:
    """Both hashes of an HMAC (RFC 2104), begun once: ``hmac`` takes three times as long to copy."""
    key = sha256(secret).digest() if len(secret) > BLOCK else secret
    inner, outer = (
        sha256(bytes(byte ^ pad for byte in key.ljust(BLOCK, b"\x00"))) for pad in (0x36, 0x5C)
    )
    inner.update(purpose + b"\x00")
    return inner, outer


def record_hash(secret: bytes, record: Record) -> bytes:
    """What stands for a record's id: tells nothing without the secret."""
    return keyed_hash(secret, record.kind.encode(), record.record_id.encode())


@lru_cache(maxsize=32_768)
def owner_hash(secret: bytes, owner: Owner) -> bytes:
    """What stands for an owner: tells nothing without the secret."""
    return keyed_hash(secret, b"owner", owner.text.encode())


def tombstone_digest(secret: bytes, salt: str, hashed: bytes) -> str:
    """The digest in a tombstone, of a salt and an owner's hash."""
    return hmac.digest(secret, b"erased" + bytes.fromhex(salt) + hashed, sha256).hex()


def content_digest(secret: bytes, body: bytes) -> bytes:
    """What tells two contents of one id apart."""
    return keyed_hash(secret, b"content", body)


def seal(kind: str, identity: bytes, body: bytes, digest: bytes, key: Key, offset: int) -> Sealed:
    """A record under its owner's key, whose token is :data:`NOBODY` for what is nobody's.

    Args:
        kind: of the record.
        identity: its :func:`record_hash`.
        body: its canonical bytes.
        digest: their :func:`content_digest`.
        key: of its owner.
        offset: where it will stand.
    """
    code = CODES[kind]
    if key.token != NOBODY:
        nonce = os.urandom(NONCE_BYTES)
        place = bytes([code]) + identity + key.token
        body = nonce + _cipher(key.secret).encrypt(nonce, body, place)
    return Sealed(offset, code, identity, key.token, digest, body)


def unseal(sealed: Sealed, secret: bytes) -> Record:
    """The record of a row.

    Raises:
        CorruptStoreError: the key is not the row's, or the row was altered.
    """
    if sealed.code not in NAMES or NAMES[sealed.code] not in KINDS:
        raise CorruptStoreError(
            f"offset {sealed.offset}: kind {sealed.code} is unknown; a newer version wrote it"
        )
    if sealed.owner == NOBODY:
        return codec.decode(sealed.kind, sealed.body)
    from cryptography.exceptions import InvalidTag

    nonce, ciphertext = sealed.body[:NONCE_BYTES], sealed.body[NONCE_BYTES:]
    place = bytes([sealed.code]) + sealed.id + sealed.owner
    try:
        body = _cipher(secret).decrypt(nonce, ciphertext, place)
    except (InvalidTag, ValueError):
        raise CorruptStoreError(f"offset {sealed.offset}: the record was altered") from None
    return codec.decode(sealed.kind, body)


@lru_cache(maxsize=32_768)
def _cipher(secret: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtraError("the journal", "serve") from None
    return AESGCM(secret)


def forget() -> None:
    """Keep nothing of owners and their secrets in memory: one of them was erased."""
    owner_hash.cache_clear()
    _cipher.cache_clear()
    forget_owners()
