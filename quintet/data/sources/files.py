"""A data set on disk, described by one TOML file.

::

    name = "shop"
    logs = ["events.parquet", {path = "sales.csv", behaviour = "buy"}]
    users = "people.csv"
    relations = [{path = "friends.csv", kind = "user-user"}]
    scenarios = ["shop", "feed"]

    [items]
    path = "products.csv"
    columns = {item_id = "sku"}
    types = {title = "text", price = "number"}

    [[behaviours]]
    name = "view"

    [[behaviours]]
    name = "buy"
    implies = ["view"]
    horizon_days = 30
    value = "price"

Scenarios may be tables too, which say what is on offer there::

    [[scenarios]]
    name = "video"
    offers = {kind = ["film", "clip"]}

Paths are relative to the TOML file. A file that needs no more than its path may be written as that
path alone. Everything but ``logs`` may be left out; what is not said is inferred from the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from quintet.config import Config as BaseConfig
from quintet.data.schema import Behaviour, ColumnType, DataSchema, ScenarioTable
from quintet.data.sources.base import Source

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset


class File(BaseConfig):
    """One file; ``columns`` maps canonical names to the file's own."""

    path: Path
    columns: dict[str, str] = Field(default_factory=dict)


class TableFile(File):
    """Items or users; ``types`` says what columns are, where that is not plain to see."""

    types: dict[str, ColumnType] = Field(default_factory=dict)


class LogFile(File):
    """A log; ``behaviour`` and ``scenario`` of all events where the file has no such column."""

    time_unit: str | None = None
    behaviour: str | None = None
    scenario: str | None = None


class RelationFile(File):
    """Edges; ``kind`` of all edges where the file has no such column."""

    kind: str | None = None


def _path_alone(given: Any) -> Any:
    return {"path": given} if isinstance(given, str | Path) else given


_Log = Annotated[LogFile, BeforeValidator(_path_alone)]
_Table = Annotated[TableFile, BeforeValidator(_path_alone)]
_Relation = Annotated[RelationFile, BeforeValidator(_path_alone)]


class FilesSource(Source):
    """Logs, items, users and relations from files."""

    name = "files"
    summary = "a data set on disk: the path of its TOML file or of one log"

    class Config(BaseConfig):
        """Where the files lie and what they hold."""

        name: str = Field(default="files", description="what to call the data set")
        folder: Path = Field(default=Path(), description="what relative paths start from")
        logs: list[_Log] = Field(min_length=1)
        items: _Table | None = None
        users: _Table | None = None
        relations: list[_Relation] = Field(default_factory=list)
        behaviours: list[Behaviour] = Field(default_factory=list)
        scenarios: list[ScenarioTable] = Field(default_factory=list)

    def load(self) -> Dataset:
        """Read the files and join them into one data set."""
        from quintet.data.dataset import join
        from quintet.data.frames import Catalogue, EventLog, Relations, Users

        config: FilesSource.Config = self.config
        items, users = config.items, config.users
        return join(
            [
                EventLog.read(
                    self._path(log),
                    columns=log.columns,
                    time_unit=log.time_unit,
                    behaviour=log.behaviour,
                    scenario=log.scenario,
                )
                for log in config.logs
            ],
            items=Catalogue.read(self._path(items), columns=items.columns) if items else None,
            users=Users.read(self._path(users), columns=users.columns) if users else None,
            relations=[
                Relations.read(self._path(edges), columns=edges.columns, kind=edges.kind)
                for edges in config.relations
            ],
            schema=DataSchema(
                behaviours=config.behaviours,
                scenarios=config.scenarios,
                items=items.types if items else {},
                users=users.types if users else {},
            ),
            name=config.name,
        )

    def _path(self, file: File) -> Path:
        return Path(self.config.folder) / file.path.expanduser()
