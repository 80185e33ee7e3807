"""Files written whole or not at all: temporary file, flush to disk, one rename.

A reader, a crash or a second writer never sees half a file. Every file that quintet leaves behind
goes through here.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without error.

    For writers that want a path of their own (Parquet, safetensors). Parent folders are made; on
    an error the temporary file is removed and what stood at ``path`` stays untouched.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(_usual_mode(target))
        yield temporary
        _flush(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def write_bytes_atomic(path: str | Path, data: bytes) -> Path:
    """Write ``data`` to ``path``, whole or not at all; returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text_atomic(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all; returns the path.

    Lone surrogates (broken titles) are written as ``?``: a report must not fail because of one.
    """
    return write_bytes_atomic(path, text.encode("utf-8", errors="replace"))


def write_json_atomic(path: str | Path, data: Any) -> Path:
    """Write ``data`` as indented, standard JSON to ``path``, whole or not at all.

    Accepts what :func:`jsonable` accepts. Not-a-number and infinities become ``null``, because JSON
    has no word for them and other readers would refuse the file.
    """
    text = json.dumps(jsonable(data), indent=2, ensure_ascii=False, allow_nan=False)
    return write_text_atomic(path, text + "\n")


def jsonable(data: Any) -> Any:
    """``data`` in JSON's own types.

    Takes mappings, sequences, arrays, numpy scalars, dataclasses, pydantic models and paths.

    Raises:
        TypeError: a value has no meaning in JSON (a function, a set); names its type.
    """
    if data is None or isinstance(data, str | bool | int):
        return data
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, np.generic | np.ndarray):
        return jsonable(data.tolist())
    if isinstance(data, BaseModel):
        return jsonable(data.model_dump(exclude_none=True))
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {f.name: jsonable(getattr(data, f.name)) for f in dataclasses.fields(data)}
    if isinstance(data, Mapping):
        return {str(key): jsonable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [jsonable(value) for value in data]
    if isinstance(data, Path):
        return str(data)
    raise TypeError(f"a value of type {type(data).__name__} cannot be written as JSON")


def _usual_mode(target: Path) -> int:
    """The mode that a plain open() would leave: mkstemp's own is for its owner only."""
    if target.exists():
        return target.stat().st_mode & 0o777
    current = os.umask(0)
    os.umask(current)
    return 0o666 & ~current


def usual_folder_mode() -> int:
    """The mode that a plain mkdir() would leave: mkdtemp's own is for its owner only."""
    current = os.umask(0)
    os.umask(current)
    return 0o777 & ~current


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; not every system lets a folder be opened (Windows)."""
    if os.name == "posix":
        _flush(folder)
