"""Parts are found by looking: what counts as a part, and what does not."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quintet.errors import ConfigError
from quintet.registry import Registry

PACKAGE = "parts_for_registry_test"

FILES = {
    "__init__.py": "",
    "base.py": """
from abc import ABC, abstractmethod

class Base(ABC):
    @abstractmethod
    def act(self): ...

class Abstract(Base):
    name = "abstract"
""",
    "walk.py": """
from .base import Base

class Walk(Base):
    name = "walk"
    def act(self): return "walks"

class Nameless(Base):
    def act(self): return "has no name"

class Stranger:
    name = "stranger"
""",
    "fly.py": """
from .base import Base
from .walk import Walk  # an import is no second part

class Fly(Base):
    name = "fly"
    def act(self): return "flies"
""",
}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[object]]:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf8")
    monkeypatch.syspath_prepend(str(tmp_path))
    base = importlib.import_module(f"{PACKAGE}.base").Base
    yield Registry(PACKAGE, base, "gait")
    for module in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[module]


def test_concrete_named_subclasses_are_parts(registry: Registry[object]) -> None:
    assert registry.names() == ["fly", "walk"]
    assert registry.get("walk")().act() == "walks"  # type: ignore[attr-defined]


def test_an_unknown_part_lists_the_known_ones(registry: Registry[object]) -> None:
    with pytest.raises(ConfigError, match="unknown gait 'swim'; choose one of: fly, walk"):
        registry.get("swim")


def test_a_new_file_is_a_new_part(registry: Registry[object], tmp_path: Path) -> None:
    swim = FILES["fly.py"].replace("fly", "swim").replace("Fly", "Swim")
    (tmp_path / PACKAGE / "swim.py").write_text(swim, encoding="utf8")
    importlib.invalidate_caches()
    assert registry.names() == ["fly", "swim", "walk"]


def test_nothing_is_imported_before_it_is_asked(registry: Registry[object]) -> None:
    assert f"{PACKAGE}.walk" not in sys.modules
    registry.names()
    assert f"{PACKAGE}.walk" in sys.modules
