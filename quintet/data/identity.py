"""Merging a person's devices: users that identity edges connect become one user.

The user that comes first, in the log and then in the edges, gives the merged person its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from quintet.data import engine
from quintet.data.columns import ORDER
from quintet.data.frames import EventLog, Frame, Relations
from quintet.data.interactions import Ints
from quintet.data.vocab import Vocabulary

if TYPE_CHECKING:
    import ibis.expr.types as ir

FrameT = TypeVar("FrameT", bound=Frame)
#: which endpoints of a relation are users
USER_ENDS = {"user-user": ("source_id", "target_id"), "user-group": ("source_id",)}


def merged_ids(log: EventLog, relations: Relations) -> pa.Table:
    """Which user ids become another one.

    Returns:
        columns ``other`` and ``canonical``, both text; one row for each id that changes.
    """
    edges = engine.fetch(
        relations.table.filter(relations.table.kind == "identity")
        .order_by(ORDER)
        .select(
            source=relations.table.source_id.cast("string"),
            target=relations.table.target_id.cast("string"),
        )
        .drop_null()
    )
    ends = np.stack([edges["source"].to_numpy(), edges["target"].to_numpy()], axis=1).reshape(-1)
    people = Vocabulary.from_arrow(pa.array(ends, pa.string()))
    if not len(people):
        return pa.table({"other": people.values, "canonical": people.values})
    canonical = _first_of_component(people.rows(ends).reshape(-1, 2), _seniority(log, people))
    changed = np.flatnonzero(canonical != np.arange(len(people)))
    return pa.table(
        {
            "other": people.values.take(pa.array(changed)),
            "canonical": people.values.take(pa.array(canonical[changed])),
        }
    )


def _seniority(log: EventLog, people: Vocabulary) -> Ints:
    """[N] smaller is earlier: first event in the log, then place in the edges."""
    ends = engine.load(pa.table({"id": people.values}))
    ids = log.table.user_id.cast("string")
    first = log.table.group_by(id=ids).aggregate(first=log.table[ORDER].min())
    found = engine.fetch(first.semi_join(ends, "id"))
    rank = np.arange(len(people), dtype=np.int64) + np.iinfo(np.int64).max // 2
    rank[people.rows(found["id"])] = found["first"].to_numpy()
    return rank


def _first_of_component(edges: Ints, rank: Ints) -> Ints:
    """[N] for each node the node of least ``rank`` that ``edges`` [E, 2] connect it with."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(rank)
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (size, size))
    _, component = connected_components(graph, directed=False)
    oldest_first = np.argsort(rank, kind="stable")
    _, at = np.unique(component[oldest_first], return_index=True)
    return np.asarray(oldest_first[at][component], np.int64)


def rename_users(frame: FrameT, merged: pa.Table, column: str = "user_id") -> FrameT:
    """``frame`` with the ids of ``column`` replaced by those of the merged people."""
    return frame.with_table(engine.materialise(_renamed(frame.table, merged, column)))


def rename_ends(relations: Relations, merged: pa.Table) -> Relations:
    """``relations`` with user endpoints replaced; identity edges stay as they are."""
    table = relations.table
    for end in ("source_id", "target_id"):
        kinds = [kind for kind, ends in USER_ENDS.items() if end in ends]
        renamed = _renamed(table, merged, end, "__new")
        table = renamed.mutate(
            **{end: renamed.kind.isin(kinds).ifelse(renamed["__new"], renamed[end])}
        ).drop("__new")
    return relations.with_table(engine.materialise(table))


def _renamed(table: ir.Table, merged: pa.Table, column: str, into: str | None = None) -> ir.Table:
    import ibis

    loaded = engine.load(merged)
    dtype = table[column].type()
    new = loaded.select(
        __other=loaded.other.try_cast(dtype), __canonical=loaded.canonical.try_cast(dtype)
    ).drop_null()
    joined = table.left_join(new, table[column] == new["__other"])
    value = ibis.coalesce(joined["__canonical"], joined[column])
    return joined.mutate(**{into or column: value}).drop("__other", "__canonical")
