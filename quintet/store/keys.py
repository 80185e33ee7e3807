"""Keys of owners: one random secret each, whose destruction erases whatever it sealed.

A key store also holds one **pepper**: the secret of the keyed hashes that stand for ids.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quintet.errors import QuintetError
from quintet.store.seal import HASH_BYTES

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """An owner's key.

    Attributes:
        owner: hash of the owner.
        token: what rows call it; tells nothing of the owner.
        secret: empty while an erasure is under way.
    """

    owner: bytes
    token: bytes
    secret: bytes


class KeyStore(ABC):
    """Keys by owner and by token; every change is on disk when the call returns."""

    pepper: bytes

    @abstractmethod
    def find(self, owners: Iterable[bytes]) -> dict[bytes, Key]:
        """The keys of those owners that have one."""

    @abstractmethod
    def add(self, owners: Sequence[bytes]) -> dict[bytes, Key]:
        """New keys; an owner that got one meanwhile (from another process) keeps it."""

    @abstractmethod
    def by_token(self, tokens: Iterable[bytes]) -> dict[bytes, Key]:
        """The keys of those tokens that have one."""

    @abstractmethod
    def shred(self, owner: bytes) -> bytes | None:
        """Destroy an owner's secret and keep its token until :meth:`forget`; None if unknown."""

    @abstractmethod
    def forget(self, token: bytes) -> None:
        """Drop what :meth:`shred` left."""

    @abstractmethod
    def shredded(self) -> list[Key]:
        """Erasures that a crash left half done."""

    @abstractmethod
    def everything(self) -> list[Key]:
        """All keys that are whole."""

    @abstractmethod
    def absorb(self, pepper: bytes, keys: Iterable[Key]) -> None:
        """Take over the pepper and keys of a copy; what this store erased stays erased.

        Raises:
            StoreError: this store holds keys under another pepper.
        """

    @abstractmethod
    def copies(self) -> list[str]:
        """Paths of the copies that erasures must reach."""

    @abstractmethod
    def remember_copy(self, path: str) -> None:
        """Add a path to :meth:`copies`."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""


def new_secret() -> bytes:
    """32 random bytes."""
    return os.urandom(SECRET_BYTES)


def new_token(prefix: bytes = b"") -> bytes:
    """A random token of 16 bytes that starts with ``prefix``."""
    return prefix + os.urandom(HASH_BYTES - len(prefix))


def write_copy(store: KeyStore, path: Path) -> None:
    """Write all keys to one file of the form of :class:`~quintet.store.key_file.KeyFile`."""
    from quintet.store.key_file import KeyFile

    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    copy = KeyFile([fresh])
    try:
        copy.absorb(store.pepper, store.everything())
    finally:
        copy.close()
    fresh.replace(path)
    store.remember_copy(str(path.absolute()))


def shred_copies(store: KeyStore, owner: bytes) -> tuple[str, ...]:
    """Destroy an owner's key in every copy; the paths of those that could not be reached."""
    from quintet.store.key_file import KeyFile

    unreached = []
    for path in store.copies():
        try:
            if not Path(path).exists():
                raise FileNotFoundError(path)  # unmounted, moved or deleted: nobody can tell
            copy = KeyFile([Path(path)])
            try:
                token = copy.shred(owner)
                if token is not None:
                    copy.forget(token)
            finally:
                copy.close()
        except (OSError, QuintetError):
            unreached.append(path)
    return tuple(unreached)
