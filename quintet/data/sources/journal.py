"""The journal of a service as a data set: what people did since, and what they were shown.

A SQLite journal belongs to the process that serves; read a backup of it instead, or stop the
service. Erased people are not in it. Sessions of nobody known are left out: the log goes by user.
Batches of records go through Parquet, so the journal need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from quintet.data.schema import DEFAULT_BEHAVIOUR
from quintet.data.sources.base import Source, open_dataset
from quintet.errors import ConfigError, DataError, EmptyDataError

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset
    from quintet.store import Entry, Event, Exposure, ItemUpsert

SHARD = 50_000
SHOWN = "impression"
TYPES = {
    "timestamp": pa.int64(),
    "value": pa.float64(),
    "price": pa.float64(),
    "position": pa.int64(),
    "propensity": pa.float64(),
}


class JournalSource(Source):
    """A journal by the url of its store, or a backup of one."""

    name = "journal"
    summary = "events and exposures of a running service: url=... or backup=... and keys=..."

    class Config(Source.Config):
        """Settings of the source."""

        url: str = Field(default="", description="of the store")
        backup: str = Field(default="", description="folder of a backup, in place of a url")
        keys: str = Field(default="", description="the copy of the keys made with the backup")
        also: str = Field(default="", description="data set that the events are added to")
        also_settings: list[str] = Field(default_factory=list, description="of it, NAME=VALUE")
        after: int = Field(default=0, ge=0, description="only events behind this offset")
        until: int = Field(default=0, ge=0, description="nothing behind this offset; 0: all")
        exposures: bool = Field(default=False, description="what was shown, as events of their own")

    def load(self) -> Dataset:
        """Events, and the items that were added or changed.

        Raises:
            ConfigError: neither a url nor a backup with its keys is given.
            EmptyDataError: the journal holds no events.
            DataError: ids are text and numbers at once, or an item's values are of two types.
            StoreError: the journal cannot be read.
        """
        from quintet.data.dataset import join
        from quintet.data.frames import EventLog

        with self._entries() as entries, TemporaryDirectory(prefix="quintet-journal-") as folder:
            items: dict[str | int, ItemUpsert] = {}
            path = Path(folder) / "events.parquet"
            known = _until(entries, self.config.until)
            write_events(known, path, items, self.config.exposures, self.config.after)
            log = EventLog.read(path, time_unit="us", name="journal")
        table = item_table(items.values())
        if not self.config.also:
            return join(log, None if table is None else [table], name=self.name)
        old = open_dataset(self.config.also, self.config.also_settings)
        tables = [known for known in (table, old.items) if known is not None]
        logs = [old.log, log]
        return join(logs, tables or None, old.users, old.relations, old.schema, name=old.name)

    @contextmanager
    def _entries(self) -> Iterator[Iterable[Entry]]:
        from quintet.store import open_standing
        from quintet.store.backup import read_entries

        config = self.config
        if config.backup and config.keys and not config.url:
            yield read_entries(Path(config.backup), Path(config.keys))
        elif config.url and not config.backup:
            with open_standing(config.url) as journal:
                yield journal.read()
        else:
            raise ConfigError("journal: give url=, or backup= and keys=")


def _until(entries: Iterable[Entry], offset: int) -> Iterable[Entry]:
    return takewhile(lambda entry: entry.offset <= offset, entries) if offset else entries


def write_events(
    entries: Iterable[Entry],
    path: Path,
    items: dict[str | int, ItemUpsert],
    exposures: bool = False,
    after: int = 0,
) -> int:
    """Write events as a log to a Parquet file, and collect the newest record of every item.

    Args:
        entries: of a journal, in order.
        path: of the file; columns as in :data:`quintet.data.columns.EVENTS`.
        items: gets the items.
        exposures: also write a row of behaviour ``impression`` for everything shown.
        after: leave out events at this offset or below (items are taken from all).

    Returns:
        The number of rows.

    Raises:
        EmptyDataError: there are none.
        DataError: ids are text and numbers at once.
    """
    from quintet.store import Event

    columns = [field.name for field in fields(Event)]
    schema = pa.schema([(name, TYPES.get(name, pa.string())) for name in columns])
    rows, kinds, n_rows = _rows(entries, items, exposures, after), dict[str, set[type]](), 0
    draft = path.with_name(f"{path.name}.draft")
    with pq.ParquetWriter(draft, schema) as writer:
        while shard := list(islice(rows, SHARD)):
            for name in ("user_id", "item_id"):
                kinds.setdefault(name, set()).update(type(row[name]) for row in shard)
                for row in shard:
                    row[name] = str(row[name])
            writer.write_table(pa.Table.from_pylist(shard, schema))
            n_rows += len(shard)
    if not n_rows:
        raise EmptyDataError("the journal holds no events of known users")
    for name, found in kinds.items():
        if len(found) > 1:
            raise DataError(f"journal: {name}: some are text and some numbers; give all in one way")
    numbers = [name for name, found in kinds.items() if found == {int}]
    _retype(draft, path, numbers)
    return n_rows


def _rows(
    entries: Iterable[Entry], items: dict[str | int, ItemUpsert], exposures: bool, after: int
) -> Iterator[dict[str, Any]]:
    from quintet.store import Event, Exposure, ItemUpsert

    for entry in entries:
        record = entry.record
        if isinstance(record, ItemUpsert):
            if not record.retired:  # which says nothing of what it is like
                items[record.item_id] = record
        elif entry.offset <= after:
            continue
        elif isinstance(record, Event) and record.user_id is not None:
            yield _event_row(record)
        elif isinstance(record, Exposure) and record.user_id is not None and exposures:
            yield from _shown_rows(record)


def _event_row(event: Event) -> dict[str, Any]:
    row = {field.name: getattr(event, field.name) for field in fields(event)}
    return row | {"behaviour": event.behaviour or DEFAULT_BEHAVIOUR}


def _shown_rows(shown: Exposure) -> Iterator[dict[str, Any]]:
    chances = shown.marginals or shown.propensities or (None,) * len(shown.items)
    for item, position, chance in zip(shown.items, shown.positions, chances, strict=True):
        yield {
            "event_id": f"{shown.request_id}/{position}",
            "user_id": shown.user_id,
            "item_id": item,
            "timestamp": shown.timestamp,
            "behaviour": SHOWN,
            "scenario": shown.scenario,
            "session_id": shown.session_id,
            "request_id": shown.request_id,
            "position": position,
            "propensity": chance,
        }


def _retype(draft: Path, path: Path, numbers: list[str]) -> None:
    """The same rows, with ids that were whole numbers as whole numbers again."""
    if not numbers:
        draft.replace(path)
        return
    with pq.ParquetFile(draft) as file:
        schema = file.schema_arrow
        for name in numbers:
            schema = schema.set(schema.get_field_index(name), pa.field(name, pa.int64()))
        with pq.ParquetWriter(path, schema) as writer:
            for batch in file.iter_batches(SHARD):
                arrays = [pc.cast(batch[field.name], field.type) for field in schema]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def item_table(items: Iterable[ItemUpsert]) -> pa.Table | None:
    """Items and their attributes; None if there are none.

    Raises:
        DataError: an attribute is of two types.
    """
    rows = [{**one.attributes, "item_id": one.item_id} for one in items]
    if not rows:
        return None
    names = dict.fromkeys(["item_id", *(name for row in rows for name in row)])
    try:
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"journal: attributes of items: {error}") from None
