"""A trained model on disk: safetensors, JSON and Parquet, a manifest of sha256, and no code.

::

    bundle/
      weights.safetensors    network, gates and calibration
      features.safetensors   frozen statistics of the encoders
      memories.safetensors   counted evidence
      events.parquet         histories of the known users, by row
      items.parquet          ids and attributes, in row order
      users.parquet          likewise
      run.json               settings, shapes, versions, how it was made
      card.md                what a person should know of it
      manifest.json          sha256 of every other file

Nothing is ever unpickled. A file that is missing, truncated or altered is refused by its name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays

from quintet.errors import BundleError, CorruptBundleError, SchemaVersionError
from quintet.files import usual_folder_mode

SCHEMA_VERSION = 4
OLDEST_READABLE = 3
MANIFEST = "manifest.json"

Arrays = dict[str, NDArray[Any]]


class BundleFiles:
    """The contents of a bundle as plain data: arrays, tables and JSON.

    Attributes:
        arrays: by file name, arrays by key.
        tables: by file name, Arrow tables.
        run: settings and facts of the run, JSON-able.
        card: Markdown for people.
    """

    def __init__(
        self,
        arrays: Mapping[str, Arrays],
        tables: Mapping[str, pa.Table],
        run: Mapping[str, Any],
        card: str,
    ) -> None:
        self.arrays = {name: dict(group) for name, group in arrays.items()}
        self.tables = dict(tables)
        self.run = dict(run)
        self.card = card


def write_bundle(folder: str | Path, files: BundleFiles) -> Path:
    """Write a bundle, whole or not at all; an older bundle at the same place is replaced.

    Raises:
        BundleError: something that is no bundle stands at ``folder``.
    """
    target = Path(folder)
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    staging.chmod(usual_folder_mode())
    try:
        _fill(staging, files)
        _swap(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return target


def check_replaceable(target: Path) -> bool:
    """Whether a bundle stands at ``target``, where one is to be written.

    What is replaced is deleted, so that a folder has to hold a bundle's files and no others.

    Raises:
        BundleError: something that is no bundle stands there.
    """
    if target.exists() and not target.is_dir():
        raise BundleError(f"{target}: is a file; give a folder for the bundle")
    held = {path.name for path in target.iterdir()} if target.exists() else set()
    try:
        own = {MANIFEST, *_manifest(target)} if MANIFEST in held else set()
    except CorruptBundleError:
        own = set()
    if held - own:
        raise BundleError(
            f"{target}: holds other files ({min(held - own)}); give an empty or a new folder"
        )
    return bool(held)


def _swap(staging: Path, target: Path) -> None:
    """Put the new bundle in place; until it stands, the former one is kept beside it."""
    former = _former(target)
    if target.exists():
        shutil.rmtree(former, ignore_errors=True)
        target.rename(former)
    try:
        staging.rename(target)
    except BaseException:
        if former.exists():
            former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _former(target: Path) -> Path:
    """Where the bundle that is being replaced is kept."""
    return target.with_name(f".{target.name}.former")


def _fill(folder: Path, files: BundleFiles) -> None:
    for name, group in files.arrays.items():
        contiguous = {key: np.ascontiguousarray(array) for key, array in group.items()}
        save_arrays(contiguous, folder / f"{name}.safetensors")
    for name, table in files.tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    run = {"schema_version": SCHEMA_VERSION, **files.run}
    (folder / "run.json").write_text(json.dumps(run, indent=2, allow_nan=False), encoding="utf8")
    (folder / "card.md").write_text(files.card, encoding="utf8")
    manifest = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf8")


def read_bundle(folder: str | Path) -> BundleFiles:
    """Read and verify a bundle.

    Raises:
        BundleError: there is no bundle at ``folder``.
        CorruptBundleError: a file is missing, truncated or altered; names it.
        SchemaVersionError: it was written by a version that this one does not read.
    """
    source = Path(folder)
    if not source.exists() and _former(source).is_dir():
        source = _former(source)  # a crash fell between the two renames
    manifest = _manifest(source)
    for name, digest in manifest.items():
        path = source / name
        if not path.is_file():
            raise CorruptBundleError(f"{path}: missing; the bundle is incomplete")
        if _digest(path) != digest:
            raise CorruptBundleError(f"{path}: altered or truncated (sha256 does not match)")
    run = _json(source / "run.json")
    _check_version(run.get("schema_version"), source)
    return BundleFiles(
        arrays={
            n[: -len(".safetensors")]: _arrays(source / n) for n in _ending(manifest, "tensors")
        },
        tables={n[: -len(".parquet")]: _table(source / n) for n in _ending(manifest, "parquet")},
        run=run,
        card=(source / "card.md").read_text(encoding="utf8"),
    )


def _manifest(source: Path) -> dict[str, str]:
    if not source.is_dir():
        raise BundleError(f"{source}: no bundle there; train one with: quintet train")
    if not (source / MANIFEST).is_file():
        raise CorruptBundleError(f"{source / MANIFEST}: missing; this is no complete bundle")
    manifest = _json(source / MANIFEST)
    names_safe = all(Path(name).name == name and isinstance(d, str) for name, d in manifest.items())
    if not names_safe or not {"run.json", "card.md"} <= set(manifest):
        raise CorruptBundleError(f"{source / MANIFEST}: not a manifest of a bundle")
    return manifest


def _check_version(version: Any, source: Path) -> None:
    if not isinstance(version, int) or not OLDEST_READABLE <= version <= SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{source}: schema version {version}; this quintet reads {OLDEST_READABLE} to "
            f"{SCHEMA_VERSION}. Train again, or use the quintet that wrote it"
        )


def _ending(manifest: Mapping[str, str], ending: str) -> list[str]:
    return [name for name in manifest if name.endswith(ending)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, OSError) as error:
        raise CorruptBundleError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise CorruptBundleError(f"{path}: not a JSON object")
    return value


def _arrays(path: Path) -> Arrays:
    try:
        return dict(load_arrays(path))
    except (SafetensorError, ValueError, OSError) as error:
        raise CorruptBundleError(f"{path}: not readable ({error})") from None


def _table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CorruptBundleError(f"{path}: not readable ({error})") from None
