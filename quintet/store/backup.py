"""Backups of a journal: all rows in one file, and a manifest that tells whether it is whole.

They hold no key. A plain file copy of a store's folder would: use :meth:`Journal.backup`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from quintet.errors import CorruptStoreError, StoreError
from quintet.files import write_json_atomic
from quintet.store.base import Entry
from quintet.store.disk import open_file
from quintet.store.frame_log import FrameLog, pages
from quintet.store.key_file import KeyFile
from quintet.store.keys import Key
from quintet.store.seal import NOBODY, Sealed, keyed_hash, unseal

RECORDS, MANIFEST = "records.log", "manifest.json"
FORMAT = 1


def fingerprint(pepper: bytes) -> str:
    """Tells two peppers apart and tells nothing of them."""
    return keyed_hash(pepper, b"fingerprint", b"").hex()


def write(folder: Path, rows: Iterable[Sealed], last_offset: int, pepper: bytes) -> None:
    """Write a backup; one that stood there holds until the new one is whole.

    Raises:
        StoreError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_own(folder)
        work = Path(tempfile.mkdtemp(prefix=".records.", dir=folder))
        turn = open_file(folder / ".turn")
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two at once would each delete the other's records
            log = FrameLog(work / RECORDS)
            try:
                for page in pages(rows):
                    log.append(page)
            finally:
                log.close()
            digest = _digest(work / RECORDS)
            manifest = {
                "format": FORMAT,
                "last_offset": last_offset,
                "bytes": (work / RECORDS).stat().st_size,
                "sha256": digest,
                "keys": fingerprint(pepper),
            }
            name = f"records-{digest[:16]}.log"
            (work / RECORDS).replace(folder / name)
            write_json_atomic(folder / MANIFEST, manifest | {"file": name})
            for old in folder.glob("records-*.log"):
                if old.name != name:
                    old.unlink()
        finally:
            os.close(turn)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"backup to {folder}: {error.strerror}") from None


def _check_own(folder: Path) -> None:
    """Refuse a folder of something else, a bundle's for instance, whose files would be lost.

    Raises:
        StoreError: it holds other files.
    """
    held = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    others = held - {path.name for path in folder.glob("records-*.log")}
    if MANIFEST in held:
        try:
            own = json.loads((folder / MANIFEST).read_text("utf8"))["format"] == FORMAT
        except (ValueError, KeyError, TypeError):
            own = False
        others -= {MANIFEST} if own else set()
    if others:
        raise StoreError(
            f"backup to {folder}: it holds other files ({min(others)}); give an empty or a new "
            "folder"
        )


def read(folder: Path, pepper: bytes) -> Iterator[Sealed]:
    """The rows of a backup, once it is known to be whole.

    Raises:
        StoreError: there is none, or it belongs to other keys.
        CorruptStoreError: it is damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf8"))
        path = folder / str(manifest["file"])
        whole = (
            manifest["format"] == FORMAT
            and path.stat().st_size == manifest["bytes"]
            and _digest(path) == manifest["sha256"]
        )
    except FileNotFoundError as error:
        raise StoreError(f"no backup in {folder}: {error.filename} is missing") from None
    except (ValueError, KeyError, TypeError):
        raise CorruptStoreError(f"{folder / MANIFEST} is damaged") from None
    if not whole:
        raise CorruptStoreError(f"{path} does not match its manifest; use another backup")
    if manifest["keys"] != fingerprint(pepper):
        raise StoreError(
            f"the backup in {folder} was sealed with other keys; give the copy made of them (keys=)"
        )
    log = FrameLog(path)
    try:
        yield from log.scan()
        if log.last_offset != manifest["last_offset"]:
            raise CorruptStoreError(f"{path} ends at offset {log.last_offset}")
    finally:
        log.close()


def read_keys(path: Path) -> tuple[bytes, list[Key]]:
    """Pepper and keys of a copy.

    Raises:
        StoreError: there is none.
        CorruptStoreError: it is damaged.
    """
    if not path.exists():
        raise StoreError(f"no copy of the keys at {path}")
    copy = KeyFile([path])
    try:
        return copy.pepper, copy.everything()
    finally:
        copy.close()


def read_entries(folder: Path, keys: Path) -> Iterator[Entry]:
    """The records of a backup, without a journal to restore it to; erased ones are left out.

    Raises:
        StoreError: there is none, or the keys are not the backup's.
        CorruptStoreError: one of them is damaged.
    """
    pepper, held = read_keys(keys)
    secrets = {key.token: key.secret for key in held}
    for row in read(folder, pepper):
        if row.owner == NOBODY and not row.erased:
            yield Entry(row.offset, unseal(row, b""))
        elif row.owner in secrets:
            yield Entry(row.offset, unseal(row, secrets[row.owner]))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        digest = sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
