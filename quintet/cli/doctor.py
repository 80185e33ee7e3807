"""``quintet doctor``: is everything here that quintet needs?"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from quintet.cli.console import Format, emit, plain
from quintet.cli.options import Output, examples

EXAMPLES = examples(
    "quintet doctor",
    "quintet doctor --format json",
    "quintet doctor --service http://127.0.0.1:8080",
)
OLDEST_PYTHON = (3, 11)
#: groups of other extras, and what developers need
NOT_LISTED = {"all", "dev"}
COLOURS = {"ok": "green", "note": "cyan", "problem": "bold red"}

Check = dict[str, str]


def doctor(
    service: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Check a running service instead; a key is read from QUINTET_KEY."
        ),
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Check Python, packages, threads, the GPU and the cache; exit 1 if something is missing.

    With --service: whether a service answers, is ready, what it serves, how fast, and what its
    numbers say of lost exposures, refused models and errors.
    """
    if service:
        from quintet.cli.doctor_service import examined

        checks = [_check(*one) for one in examined(service)]
    else:
        checks = [*_python(), *_packages(), *_hardware(), *_cache()]
    emit(output, checks, table=_table(checks))
    if any(check["status"] == "problem" for check in checks):
        raise typer.Exit(1)


def _table(checks: list[Check]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="dim")
    for name in ("", "check", "what was found"):
        table.add_column(name, no_wrap=name != "what was found")
    for check in checks:
        status = Text(check["status"], style=COLOURS[check["status"]])
        table.add_row(status, check["check"], Text(plain(check["found"]), overflow="fold"))
    return table


def _check(status: str, name: str, found: str) -> Check:
    return {"status": status, "check": name, "found": found}


def _python() -> Iterator[Check]:
    found = sys.version.split()[0]
    fits = sys.version_info >= OLDEST_PYTHON
    needed = "" if fits else f"; quintet needs {'.'.join(map(str, OLDEST_PYTHON))} or newer"
    yield _check("ok" if fits else "problem", "python", found + needed)


def _packages() -> Iterator[Check]:
    """What the package's own metadata asks for; an extra is there when all of its packages are."""
    extras: dict[str, list[str]] = {}
    for requirement in requires("quintet") or []:
        package = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", requirement)
        if extra is None:
            found = _version(package)
            missing = f"missing: pip install '{requirement}'"
            yield _check("ok" if found else "problem", package, found or missing)
        elif extra.group(1) not in NOT_LISTED:
            extras.setdefault(extra.group(1), []).append(package)
    for extra_name, packages in extras.items():
        absent = [package for package in packages if _version(package) is None]
        if absent:
            found = f"missing {', '.join(absent)}: pip install 'quintet[{extra_name}]'"
            yield _check("note", f"extra {extra_name}", found)
        else:
            listed = ", ".join(f"{package} {_version(package)}" for package in packages)
            yield _check("ok", f"extra {extra_name}", listed)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _hardware() -> Iterator[Check]:
    try:
        import torch
    except ImportError as error:
        yield _check("problem", "torch", f"cannot be imported: {error}")
        return
    yield _check("ok", "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores")
    flags: Any = torch.backends.cpu.get_cpu_capability()
    product = torch.ones(2, 2, dtype=torch.bfloat16) @ torch.ones(2, 2, dtype=torch.bfloat16)
    native = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    how = "in hardware" if native else "emulated, so slower"
    worked = float(product.sum()) == 8.0
    yield _check("ok" if worked else "note", "bfloat16", f"{how}; vector unit {flags}")
    if torch.cuda.is_available():
        names = (torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield _check("ok", "gpu", ", ".join(names))
    else:
        yield _check("note", "gpu", "none that torch can use; everything runs on the processor")


def _cache() -> Iterator[Check]:
    from quintet.data.sources import ml_100k
    from quintet.data.sources.wheel import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            yield _check("ok", "cache folder", str(folder))
    except OSError as error:
        reason = f"{folder}: cannot be written ({error.strerror}); name another in QUINTET_CACHE"
        yield _check("problem", "cache folder", reason)
    place = folder / ml_100k.MovieLens100K.name
    files = [place / Path(member).name for member in ml_100k.WHEEL.members]
    if all(file.is_file() for file in files):
        yield _check("ok", "demo data", str(place))
    elif (folder / ml_100k.WHEEL.file).is_file():
        yield _check("ok", "demo data", f"{folder / ml_100k.WHEEL.file}, to be unpacked on use")
    else:
        yield _check("note", "demo data", "not fetched yet; quintet train ml-100k fetches it")
