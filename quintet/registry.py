"""Parts found by looking: a new task, backbone, modality, memory or source is one new file.

A registry names a folder of the package and a base class. The first time it is asked, it imports
every module of that folder and collects the concrete subclasses by their ``name``. Nothing is
listed by hand, so nothing can be forgotten.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cached_property
from typing import Any, Generic, TypeVar

from quintet.errors import ConfigError

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """The concrete subclasses of ``base`` in the modules of ``package``, by their ``name``."""

    def __init__(self, package: str, base: type[Part], kind: str) -> None:
        self.package = package
        self.base = base
        self.kind = kind

    @cached_property
    def parts(self) -> dict[str, type[Part]]:
        """All parts by name, in alphabetical order; imports the folder's modules once."""
        folder = importlib.import_module(self.package)
        found: dict[str, type[Part]] = {}
        for module_info in pkgutil.iter_modules(folder.__path__, f"{self.package}."):
            module = importlib.import_module(module_info.name)
            for member in vars(module).values():
                if self._is_part(member, module.__name__):
                    found[self._name_of(member)] = member
        return dict(sorted(found.items()))

    def _is_part(self, member: Any, module_name: str) -> bool:
        return (
            inspect.isclass(member)
            and issubclass(member, self.base)
            and member.__module__ == module_name
            and isinstance(getattr(member, "name", None), str)
            and not inspect.isabstract(member)
        )

    @staticmethod
    def _name_of(member: Any) -> str:
        return str(member.name)

    def names(self) -> list[str]:
        """The names of all parts."""
        return list(self.parts)

    def get(self, name: str) -> type[Part]:
        """The part called ``name``.

        Raises:
            ConfigError: no part has that name; the message lists those that exist.
        """
        try:
            return self.parts[name]
        except KeyError:
            valid = ", ".join(self.parts)
            raise ConfigError(f"unknown {self.kind} {name!r}; choose one of: {valid}") from None
