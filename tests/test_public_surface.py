"""What ``import quintet`` promises: these names, and quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest

import quintet

NAMES = [
    "Catalogue",
    "EventLog",
    "Quintet",
    "Relations",
    "Users",
    "load",
    "open_dataset",
    "pretrain",
]
HEAVY = ("torch", "pandas", "sklearn", "ibis", "duckdb", "scipy", "pyarrow", "numpy", "pydantic")


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    """A new name is a promise: add it here on purpose, and never take one away."""
    assert quintet.__all__ == NAMES
    assert sorted(quintet._PUBLIC) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name) -> None:
    assert getattr(quintet, name).__doc__
    assert getattr(quintet, name) is getattr(quintet, name)


def test_an_unknown_name_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="'Quartet'"):
        quintet.Quartet  # noqa: B018


def test_importing_quintet_imports_nothing_heavy() -> None:
    loaded = python("import sys, quintet; print(*sorted({m.split('.')[0] for m in sys.modules}))")
    assert not set(HEAVY) & set(loaded.split())


def test_asking_for_the_data_alone_loads_no_torch() -> None:
    code = "import sys, quintet; quintet.EventLog, quintet.open_dataset; print(*sys.modules)"
    assert not {"torch", "pandas", "sklearn"} & set(python(code).split())
