"""Items that come, change and go while the service runs."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from quintet.errors import InvalidRequestError
from quintet.store import ItemUpsert, Journal
from quintet.web.choosing import rows_of
from quintet.web.journaling import now
from quintet.web.live import Holder, Live
from quintet.web.models import ItemIn
from quintet.web.owners import own_id
from quintet.web.readable import fits


def checked(live: Live, sent: Sequence[ItemIn]) -> list[ItemUpsert]:
    """Items as the journal holds them, after a look at whether the model can read them.

    What a change does not name stays as it was, and the journal holds all of it.

    Raises:
        InvalidRequestError: an attribute is not a column of the catalogue, does not fit it, or an
            item stands twice.
    """
    columns = live.trained.item_table.column_names
    ids = [own_id(live.trained.items, one.item_id) for one in sent]
    if len(set(ids)) != len(ids):
        raise InvalidRequestError("items: an item stands twice")
    for one in sent:
        if not set(one.attributes) <= set(columns):
            raise InvalidRequestError(f"items: attributes: the columns are: {', '.join(columns)}")
    rows = [_attributes(live, item) | one.attributes for item, one in zip(ids, sent, strict=True)]
    if not fits(live, ids, rows):
        types = ", ".join(f"{f.name}: {f.type}" for f in live.trained.item_table.schema)
        raise InvalidRequestError(f"items: an id or a value does not fit; the columns are: {types}")
    return [
        ItemUpsert(
            upsert_id=secrets.token_hex(16),
            item_id=item,
            timestamp=now(),
            attributes={} if one.retired else attributes,
            retired=one.retired,
        )
        for item, one, attributes in zip(ids, sent, rows, strict=True)
    ]


def _attributes(live: Live, item: str | int) -> dict[str, Any]:
    """What is known of an item, as it could be sent; nothing of a new one."""
    row = int(live.trained.items.rows([item])[0])
    if row < 0:
        return {}
    known = {}
    for name, column in zip(
        live.trained.item_table.column_names, live.trained.item_table.columns, strict=True
    ):
        value = column[row]
        given = value.cast(pa.string()) if pa.types.is_temporal(value.type) else value
        if given.is_valid and _is_finite(told := given.as_py()):
            known[name] = told
    return known


def _is_finite(value: Any) -> bool:
    """Whether JSON can say it: a number of a file may be none."""
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def described(live: Live, item: str | int) -> dict[str, Any]:
    """The attributes of an item, as the service knows them now.

    Raises:
        UnknownIdError: it is not in the catalogue.
    """
    row = int(rows_of(live, [item])[0])
    trained = live.trained
    return {
        "model": live.version,
        "item_id": trained.items.ids([row])[0],
        "attributes": trained.item_table.slice(row, 1).to_pylist()[0],
        "offered": bool(live.offered_I[row]),
    }


class Builder:
    """Keeps the catalogue in step with the journal; used by one thread."""

    def __init__(self, holder: Holder, journal: Journal) -> None:
        self.holder = holder
        self.journal = journal
        self.offset = 0

    def follow(self) -> int:
        """Take in items written since the last look; gives how many."""
        changes = list[ItemUpsert]()
        offset = self.offset
        for entry in self.journal.read(after=offset, kinds=(ItemUpsert.kind,)):
            offset = max(offset, entry.offset)
            if isinstance(entry.record, ItemUpsert):
                changes.append(entry.record)
        if changes:
            self.holder.replace_items(changes)
        self.offset = offset  # not before they take part: what failed is read again
        return len(changes)
