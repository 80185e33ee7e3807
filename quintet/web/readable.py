"""Changes of items as a model can read them: a journal outlives bundles, and models differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quintet.data.vocab import Vocabulary
from quintet.errors import DataError
from quintet.serve.grown import attribute_table, ids_of
from quintet.store import ItemUpsert
from quintet.web.owners import own_id

if TYPE_CHECKING:
    from quintet.web.live import Live


def fits(live: Live, ids: Sequence[str | int], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the model can read these items."""
    trained = live.base
    try:
        ids_of(trained, ids)
        trained.item_encoder.transform(attribute_table(trained.item_table.schema, rows))
    except DataError:
        return False
    return True


def readable(live: Live, change: ItemUpsert) -> ItemUpsert | None:
    """A change of the journal as this model can read it; None where it cannot.

    A journal outlives bundles: columns may have gone since, and ids may have changed their type.
    """
    item = own_id(live.trained.items, change.item_id)
    columns = set(live.base.item_table.column_names)
    kept = {name: value for name, value in change.attributes.items() if name in columns}
    if not _own_type(live.base.items, item) or not fits(live, [item], [kept]):
        return None
    return ItemUpsert(
        upsert_id=change.upsert_id,
        item_id=item,
        timestamp=change.timestamp,
        attributes=kept,
        retired=change.retired,
    )


def _own_type(ids: Vocabulary, item: str | int) -> bool:
    return isinstance(item, int) == ids.is_integer


def all_readable(live: Live, changes: Iterable[ItemUpsert]) -> list[ItemUpsert]:
    """Those of some changes that this model can read, as it can."""
    read = (readable(live, change) for change in changes)
    return [change for change in read if change is not None]
