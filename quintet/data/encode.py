"""From a data set to arrays: vocabularies, events by row, attribute tables by row.

The vocabulary is the catalogue: its items come first, in its order, then items that only the log
knows. Users stand in the order of their first event, then those that only the user table knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quintet.data import engine
from quintet.data.columns import ORDER
from quintet.data.dataset import Dataset, fallback_label, label_names
from quintet.data.frames import EventLog, Frame, Relations
from quintet.data.interactions import Floats, Interactions, Ints, rows_of
from quintet.data.requests import encoded_devices, encoded_queries
from quintet.data.schema import DataSchema
from quintet.data.vocab import Vocabulary
from quintet.errors import DataError, EmptyDataError


@dataclass(frozen=True, eq=False)
class Encoded:
    """A data set as arrays.

    Shapes: E events, U users, I items.

    Attributes:
        events: all events, by user and in time order.
        users: user ids by row.
        items: item ids by row.
        behaviours: names by index.
        scenarios: names by index.
        item_table: [I] the catalogue's columns, by item row; null where there is no attribute.
        user_table: [U] the user table's columns, by user row.
        schema: behaviours, scenarios and column types.
        log_row: [E] place of each event in the log, from 0.
        timed: whether the log has times.
        devices: kinds of devices by index; empty where the log has none.
        price: [E] price of each event, NaN where missing; None where the log has no prices.
        repeated_items: catalogue rows left out because their item stood there before.
        repeated_users: likewise of the user table.
        friends: [F, 2] user rows of every friendship (a relation of kind user-user); none without.
    """

    events: Interactions
    users: Vocabulary
    items: Vocabulary
    behaviours: list[str]
    scenarios: list[str]
    item_table: pa.Table
    user_table: pa.Table
    schema: DataSchema
    log_row: Ints
    timed: bool
    price: Floats | None = None
    repeated_items: int = 0
    repeated_users: int = 0
    devices: list[str] = field(default_factory=list)
    friends: Ints = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    name: str = field(default="dataset")

    def with_tie_seed(self, seed: int) -> Encoded:
        """The same data set, with events of one user at one time in another order."""
        back = np.argsort(self.log_row)
        price = self.price[back] if self.price is not None else None
        columns = {
            name: getattr(self.events, name)[back]
            for name in ("user", "item", "time", "behaviour", "scenario", "value")
        }
        events, order = _ordered(columns, len(self.users), len(self.items), self.timed, seed)
        context = rows_of(rows_of(self.events.context, back), order)
        return replace(
            self,
            events=replace(events, context=context),
            log_row=order,
            price=price[order] if price is not None else None,
        )


def encode(dataset: Dataset, tie_seed: int = 0) -> Encoded:
    """Encode ``dataset``.

    Args:
        dataset: cleaned, so that no id is missing.
        tie_seed: orders events of one user at one time.

    Raises:
        DataError: an id is missing, or some events have a time and others none.
        EmptyDataError: there is no event.
    """
    _check(dataset)
    catalogue = _first_rows(dataset.items, "item_id")
    people = _first_rows(dataset.users, "user_id")
    seen = {name: _first_appearance(dataset.log, name) for name in ("user_id", "item_id")}
    items = _vocabulary(_ids(catalogue, "item_id"), seen["item_id"])
    users = _vocabulary(seen["user_id"], _ids(people, "user_id"))
    declared = [behaviour.name for behaviour in dataset.schema.behaviours]
    behaviours = label_names(dataset.log, "behaviour", declared)
    scenarios = label_names(dataset.log, "scenario", dataset.schema.scenario_names)
    labels = {"behaviour": behaviours, "scenario": scenarios}
    columns, price, context, devices = _event_columns(dataset.log, users, items, labels)
    timed = columns["time"] is not None
    amounts = [behaviours.index(one.name) for one in dataset.schema.behaviours if not one.rates]
    if amounts and columns["value"] is not None:
        given = columns["value"]
        columns["value"] = np.where(np.isin(columns["behaviour"], amounts), np.nan, given)
    events, order = _ordered(columns, len(users), len(items), timed, tie_seed)
    return Encoded(
        events=replace(events, context=rows_of(context, order)),
        users=users,
        items=items,
        behaviours=behaviours,
        scenarios=scenarios,
        item_table=_aligned(catalogue, "item_id", items),
        user_table=_aligned(people, "user_id", users),
        schema=dataset.schema,
        log_row=order,
        timed=timed,
        price=price[order] if price is not None else None,
        devices=devices,
        repeated_items=_repeated(dataset.items, catalogue),
        repeated_users=_repeated(dataset.users, people),
        friends=_friends(dataset.relations, users),
        name=dataset.name,
    )


def _friends(relations: Relations | None, users: Vocabulary) -> Ints:
    """[F, 2] the friendships whose two ends are known."""
    if relations is None:
        return np.zeros((0, 2), np.int64)
    edges = engine.fetch(relations.table.filter(relations.table.kind == "user-user"))
    ends_F2 = np.stack([users.rows(edges[name]) for name in ("source_id", "target_id")], axis=1)
    return ends_F2[(ends_F2 >= 0).all(1)]


def _check(dataset: Dataset) -> None:
    log = dataset.log
    if not len(log):
        raise EmptyDataError(f"{dataset.name}: the log holds no events")
    required = {"log": ("user_id", "item_id"), "items": ("item_id",), "users": ("user_id",)}
    for name, frame in dataset.frames().items():
        for column in required.get(name, ()):
            missing = engine.value(frame.table[column].isnull().sum())
            if missing:
                raise DataError(
                    f"{frame.name}: {missing} rows have no {column}; clean the data set first"
                )
    if "timestamp" in log.columns:
        untimed = engine.value(log.table.timestamp.isnull().sum())
        if 0 < untimed < len(log):
            raise DataError(
                f"{log.name}: {untimed} of {len(log)} events have no timestamp, so they cannot be "
                "put in order; clean the data set first"
            )


def _first_appearance(log: EventLog, column: str) -> pa.Array:
    """The distinct ids of the log, in order of first appearance."""
    table = log.table
    first = table.group_by(id=table[column]).aggregate(first=table[ORDER].min())
    return engine.fetch(first.order_by("first"))["id"].combine_chunks()


def _first_rows(frame: Frame | None, column: str) -> pa.Table | None:
    """The rows of a table whose id did not stand there before, in order."""
    if frame is None:
        return None
    table = frame.table
    firsts = table.group_by(column).aggregate(**{ORDER: table[ORDER].min()}).select(ORDER)
    kept = table.semi_join(firsts, ORDER).order_by(ORDER).select(*frame.columns)
    return engine.fetch(kept)


def _repeated(frame: Frame | None, kept: pa.Table | None) -> int:
    return 0 if frame is None or kept is None else len(frame) - len(kept)


def _ids(table: pa.Table | None, column: str) -> pa.Array | None:
    return None if table is None else table[column].combine_chunks()


def _vocabulary(*parts: pa.Array | None) -> Vocabulary:
    given = [part for part in parts if part is not None]
    if len({part.type for part in given}) > 1:
        given = [part.cast(pa.string()) for part in given]
    return Vocabulary.from_arrow(pa.concat_arrays(given))


def _aligned(table: pa.Table | None, column: str, vocabulary: Vocabulary) -> pa.Table:
    """[N] the rows of ``table`` in vocabulary order, nulls where it has none."""
    if table is None:
        return pa.table({column: vocabulary.values})
    place = np.full(len(vocabulary), -1, np.int64)
    place[vocabulary.rows(table[column])] = np.arange(len(table))
    rows = table.take(pa.array(place, mask=place < 0))
    return rows.set_column(rows.column_names.index(column), column, vocabulary.values)


def _event_columns(
    log: EventLog, users: Vocabulary, items: Vocabulary, labels: dict[str, list[str]]
) -> tuple[dict[str, Any], Floats | None, dict[str, Ints], list[str]]:
    """[E] rows, times, label indices and values in log order; prices; context and devices."""
    table = _with_row(log.table, "user_id", users.values, "user")
    table = _with_row(table, "item_id", items.values, "item")
    for label, names in labels.items():
        if label in log.columns:
            table = _with_row(table, label, pa.array(names, pa.string()), f"{label}_index")
    plain = ("timestamp", "value", "price", "query", "device")
    given_columns = [name for name in plain if name in log.columns]
    indices = [f"{label}_index" for label in labels if label in log.columns]
    rows = engine.fetch(table.order_by(ORDER).select("user", "item", *indices, *given_columns))

    def column(name: str, missing: float) -> Any:
        if name not in rows.column_names:
            return None
        return pc.fill_null(rows[name], missing).to_numpy()

    untimed = "timestamp" not in rows.column_names or rows["timestamp"].null_count == len(rows)
    columns = {
        "user": column("user", -1),
        "item": column("item", -1),
        "time": None if untimed else column("timestamp", 0),
        "value": column("value", np.nan),
    }
    for label, names in labels.items():
        fallback = fallback_label(label, names)
        given = column(f"{label}_index", fallback)
        columns[label] = np.full(len(rows), fallback) if given is None else given
    price = column("price", np.nan)
    context, devices = _context(rows)
    return columns, None if price is None else price.astype(np.float32), context, devices


def _context(rows: pa.Table) -> tuple[dict[str, Ints], list[str]]:
    """What was known when each event was asked for, and the kinds of devices."""
    context: dict[str, Ints] = {}
    devices: list[str] = []
    if "query" in rows.column_names and rows["query"].null_count < len(rows):
        context["query"] = encoded_queries(rows["query"])
    if "device" in rows.column_names:
        device_E, devices = encoded_devices(rows["device"])
        context |= {"device": device_E} if devices else {}
    return context, devices


def _with_row(table: Any, column: str, ids: pa.Array, name: str) -> Any:
    """``table`` with the row of each value of ``column`` among ``ids``; null where it has none."""
    rows = engine.load(pa.table({"__id": ids, name: np.arange(len(ids))}))
    same = table[column].type() == rows["__id"].type()
    left = table[column] if same else table[column].cast("string")
    right = rows["__id"] if same else rows["__id"].cast("string")
    return table.left_join(rows, left == right).drop("__id")


def _ordered(
    columns: dict[str, Any], n_users: int, n_items: int, timed: bool, seed: int
) -> tuple[Interactions, Ints]:
    """The events by user and time, and the log row of each."""
    built = Interactions.build(
        columns["user"],
        columns["item"],
        n_users=n_users,
        n_items=n_items,
        time=columns["time"] if timed else None,
        scenario=columns["scenario"],
        value=columns["value"],
        behaviour=np.arange(len(columns["user"])),  # carries the row through the sort
        tie_seed=seed,
        # one time for all says no more than none: the order of the rows is all there is
        keep_order=timed and len(np.unique(columns["time"])) < 2,
    )
    order = built.behaviour
    return replace(built, behaviour=columns["behaviour"].astype(np.int64)[order]), order
