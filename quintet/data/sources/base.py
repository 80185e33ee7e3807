"""What every source is, and the one door to a data set: a source's name, a TOML file or a log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quintet.config import Config as BaseConfig
from quintet.config import apply_overrides, build, read_toml
from quintet.errors import ConfigError
from quintet.registry import Registry

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset


class Source(ABC):
    """A data set that quintet can fetch, read or make by itself.

    Subclasses give ``name``, a nested ``Config`` and ``load``.
    """

    name: ClassVar[str]
    #: one line for listings
    summary: ClassVar[str] = ""

    class Config(BaseConfig):
        """Settings of the source."""

    def __init__(self, config: Config | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def load(self) -> Dataset:
        """The data set.

        Raises:
            SourceError: it cannot be fetched or verified.
            DataError: a file cannot be read as what it should be.
        """


#: the file that describes the data set of a folder
DATA_TOML = "data.toml"
SOURCES: Registry[Source] = Registry("quintet.data.sources", Source, "data source")  # type: ignore[type-abstract]


def load_source(name: str, /, **settings: Any) -> Dataset:
    """The data set of the source called ``name``.

    Raises:
        ConfigError: there is no such source, or it has no such setting; lists those that exist.
    """
    part = SOURCES.get(name)
    return part(build(part.Config, settings, where=name)).load()


def open_dataset(spec: str | Path, overrides: Iterable[str] = ()) -> Dataset:
    """The data set that ``spec`` names.

    Args:
        spec: the name of a source (``market``), a data set's TOML file (see the source ``files``)
            or a folder that holds it as ``data.toml``, or one log file.
        overrides: ``key=value`` settings of the source, such as ``n_users=200``.

    Raises:
        ConfigError: ``spec`` names nothing, or a setting is unknown.
        SourceError: the data cannot be fetched or verified.
        DataError: a file cannot be read.
    """
    if isinstance(spec, str) and spec in SOURCES.parts:
        return load_source(spec, **apply_overrides({}, overrides))
    path = Path(spec).expanduser()
    if (path / DATA_TOML).is_file():  # as ``quintet data convert`` leaves it
        path /= DATA_TOML
    if path.suffix.lower() == ".toml":
        values = {"name": path.stem, "folder": str(path.parent)} | read_toml(path)
    elif path.exists() or "*" in path.name:
        values = {"name": path.name.partition(".")[0], "logs": [str(path)]}
    else:
        raise ConfigError(
            f"no data set {str(spec)!r}: neither a file nor a source; "
            f"sources: {', '.join(SOURCES.names())}"
        )
    return load_source("files", **apply_overrides(values, overrides))
