"""People as what is recommended: friends, groups, and whom to follow, from a data set's edges.

An edge becomes an event, its target an item, so that everything that ranks items ranks people and
groups too. People keep their attributes, as users and as items alike; what they met in the log
stands beside them as one more category, so that shared interests speak for somebody without edges.

Among people, everybody's history begins with themselves, as an event that is no target. A list that
leaves out the history leaves out its owner, friends of a friend stand two steps away and not three,
and evidence that is asked of this event alone (``content_neighbours@self``) compares two people.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pyarrow as pa

from quintet.data.dataset import Dataset, join
from quintet.data.frames import Catalogue, EventLog, Users
from quintet.data.schema import Behaviour, DataSchema
from quintet.errors import DataError

#: the column with the items that a person met in the log
MET = "met"
#: behaviours: an edge, and the event of oneself
EDGE, SELF = "edge", "self"


def people_dataset(
    dataset: Dataset, kind: Literal["user-user", "user-group"] = "user-user", *, mutual: bool = True
) -> Dataset:
    """A data set whose events are the edges of another.

    Args:
        dataset: with relations.
        kind: "user-user" recommends people to people, "user-group" groups.
        mutual: whether an edge between people holds in both directions, as friendship does and
            following does not.

    Raises:
        DataError: the data set has no edges of this kind.
    """
    relations = dataset.relations
    pairs = [] if relations is None else _pairs(relations.to_arrow(), kind)
    if not pairs:
        raise DataError(
            f"data set {dataset.name!r} has no {kind!r} edges: give Relations with source_id, "
            f"target_id and kind = {kind!r}"
        )
    if kind == "user-user" and mutual:
        pairs += [(target, source) for source, target in pairs]
    pairs = list(dict.fromkeys(pairs))
    people, items, behaviours = _people(dataset), None, [EDGE] * len(pairs)
    schema = DataSchema(behaviours=[Behaviour(name=EDGE)])
    if kind == "user-user":
        items = Catalogue.read(people.rename_columns({"user_id": "item_id"}))
        themselves = dict.fromkeys([*people["user_id"].to_pylist(), *(s for s, _ in pairs)])
        behaviours = [SELF] * len(themselves) + behaviours
        pairs = [(one, one) for one in themselves] + pairs
        schema = DataSchema(behaviours=[Behaviour(name=EDGE), Behaviour(name=SELF, polarity=0)])
    sources, targets = zip(*pairs, strict=True)
    log = EventLog.read(
        {"user_id": list(sources), "item_id": list(targets), "behaviour": behaviours}
    )
    name = f"{dataset.name}: {kind}"
    joined = join(log, items, Users.read(people), schema=schema, name=name)
    return replace(joined, relations=relations)


def _pairs(edges: pa.Table, kind: str) -> list[tuple[object, object]]:
    columns = (edges[name].to_pylist() for name in ("source_id", "target_id", "kind"))
    return [
        (source, target)
        for source, target, own in zip(*columns, strict=True)
        if own == kind and (source != target or kind == "user-group")
    ]


def _people(dataset: Dataset) -> pa.Table:
    """One row a person of the table and the log: attributes, and what the person met."""
    log = dataset.log.to_arrow()
    met: dict[object, dict[str, None]] = {}
    for user, item in zip(log["user_id"].to_pylist(), log["item_id"].to_pylist(), strict=True):
        met.setdefault(user, {})[str(item)] = None
    known = dataset.users
    table = pa.table({"user_id": list(met)}) if known is None else known.to_arrow()
    own = [list(met.get(user, {})) for user in table["user_id"].to_pylist()]
    return table.append_column(MET, pa.array(own, pa.list_(pa.string())))
