"""Fine-tune a bundle with what a journal holds since: new events, people and items, and erasures.

The towers and tasks train on from their weights, on the histories that grew and on a share of the
others, so that they do not forget. Memories and counts are counted again on everything. Gates,
calibration and the statistics of the encoders stay: evidence is free of scale, and a category that
got another number would get another's weights. Who was erased leaves the histories and the ids.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from quintet.config import Config
from quintet.data.interactions import Mask, seeded_hash
from quintet.data.vocab import Vocabulary
from quintet.errors import DataError, EmptyDataError
from quintet.nn.model import QuintetModel
from quintet.serve.grown import attribute_table, grown, ids_of
from quintet.serve.grown import prepared as prepared_catalogue
from quintet.serve.recounted import joined
from quintet.serve.trained import Trained
from quintet.store import Erasure, Event, ItemUpsert, Journal, Owner
from quintet.train.loop import LoopConfig, OnStep, Trainer
from quintet.train.prepare import TrainingTables, prepared_orders, recounted

Id = str | int


class UpdateConfig(Config):
    """Settings of an update."""

    epochs: int = Field(default=2, ge=0, description="passes over the events")
    rate: float = Field(default=0.25, gt=0, description="of the learning rate of the training")
    replay: float = Field(
        default=0.2, ge=0, le=1, description="share of the unchanged histories that is learned too"
    )
    least_events: int = Field(default=1, ge=1, description="fewer new events are not worth it")
    seed: int = 0


@dataclass(frozen=True)
class News:
    """What a journal holds behind the offset of a bundle.

    Attributes:
        events: of known users, in order.
        items: newest attributes of items added or changed.
        erased: [U] users of the bundle who were erased since.
        offset: of the last record that was read.
    """

    events: list[Event]
    items: Mapping[Id, Mapping[str, Any]]
    erased: Mask
    offset: int


def read_news(journal: Journal, trained: Trained, until: int | None = None) -> News:
    """What is new for a bundle, up to and with an offset; erasures are read to the end.

    Raises:
        StoreError: the journal cannot be read.
    """
    base = int(trained.run.get("journal_offset", 0))
    events: list[Event] = []
    items: dict[Id, Mapping[str, Any]] = {}
    stones: list[Erasure] = []
    old_stones: list[Erasure] = []
    learned: set[Id] = set()
    last = until if until is not None else journal.last_offset
    for entry in journal.read(kinds=[Event.kind, ItemUpsert.kind, Erasure.kind]):
        record = entry.record
        if isinstance(record, Erasure):
            (stones if entry.offset > base else old_stones).append(record)
        elif entry.offset > last:
            continue
        elif isinstance(record, ItemUpsert):
            if not record.retired:
                items[record.item_id] = record.attributes
        elif isinstance(record, Event) and record.user_id is not None:
            if entry.offset > base:
                events.append(record)
            else:
                learned.add(record.user_id)

    def gone(user: Id) -> bool:
        # whoever came back after an erasure has events in the bundle that nobody asked to forget
        counting = stones if user in learned else stones + old_stones
        return any(journal.is_tombstone_of(stone, Owner.user(user)) for stone in counting)

    users = trained.users.values.to_pylist()
    return News(events, items, np.array([gone(user) for user in users], np.bool_), last)


def updated(
    trained: Trained,
    news: News,
    config: UpdateConfig | None = None,
    *,
    on_step: OnStep | None = None,
) -> Trained:
    """A model that has learned the news; ``trained`` stays as it is.

    Raises:
        EmptyDataError: there are fewer new events than ``least_events``.
    """
    config = config if config is not None else UpdateConfig()
    if len(news.events) < config.least_events and not news.erased.any():
        raise EmptyDataError(
            f"{len(news.events)} new events of known users; {config.least_events} are asked for"
        )
    started = time.perf_counter()
    kept = without(trained, news.erased)
    row_U = np.where(news.erased, -1, np.cumsum(~news.erased) - 1)
    base = _with_items(kept, news.items)
    users, user_table = _with_users(base, news.events)
    user_E = users.rows([event.user_id for event in news.events])
    events, changed_U = joined(base, news.events, user_E, len(users))
    user_features = base.user_encoder.transform(user_table)
    tables = TrainingTables(
        events=events,
        items=base.item_features,
        users=user_features,
        behaviours=list(base.model.shape.behaviours),
        scenarios=list(base.model.shape.scenarios),
    )
    model = _continued(base.model, tables, changed_U, config, _loop(base), on_step)
    run = {
        **base.run,
        "journal_offset": news.offset,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "update": {
            "new events": len(news.events),
            "new users": len(users) - len(kept.users),
            "new items": len(base.items) - len(kept.items),
            "erased users": int(news.erased.sum()),
            **config.model_dump(),
        },
        "seconds": {**base.run.get("seconds", {}), "update": time.perf_counter() - started},
    }
    return replace(
        base,
        model=model,
        memories={
            name: memory.fresh(row_U).fit(events, tables.items)
            for name, memory in base.memories.items()
        },
        users=users,
        user_table=user_table,
        count_I=events.item_counts().astype(np.float32),
        events=events,
        run=run,
    )


# ---------------------------------------------------------------- tables


def without(trained: Trained, erased_U: Mask) -> Trained:
    """The same model without some users' ids, attributes and histories."""
    if not erased_U.any():
        return trained
    rows = np.flatnonzero(~erased_U)
    events = trained.events.users(rows)
    user = np.repeat(np.arange(len(rows), dtype=np.int64), events.lengths)
    owner = np.arange(len(rows), dtype=np.int64)
    return replace(
        trained,
        users=Vocabulary.from_arrow(trained.users.values.take(pa.array(rows))),
        user_table=_taken(trained.user_table, rows),
        events=replace(events, user=user, owner=owner),
    )


def _taken(table: pa.Table, rows: np.ndarray) -> pa.Table:
    return table.take(pa.array(rows)) if table.num_columns else table


def _with_items(trained: Trained, items: Mapping[Id, Mapping[str, Any]]) -> Trained:
    """The model over a catalogue with the journal's items, those left out that do not fit it."""
    columns = set(trained.item_table.column_names)
    fitting: dict[Id, Mapping[str, Any]] = {}
    for item, attributes in items.items():
        own = {name: value for name, value in attributes.items() if name in columns}
        try:
            ids_of(trained, [item])
            trained.item_encoder.transform(attribute_table(trained.item_table.schema, [own]))
        except DataError:
            continue
        fitting[item] = own
    if not fitting:
        return trained
    return grown(trained, prepared_catalogue(trained), fitting)[0]


def _with_users(trained: Trained, events: Iterable[Event]) -> tuple[Vocabulary, pa.Table]:
    """The users and those of the events, whose attributes are not known."""
    whole = trained.users.is_integer
    ids = dict.fromkeys(event.user_id for event in events)
    fitting = [one for one in ids if isinstance(one, int) == whole]
    if not fitting:
        return trained.users, trained.user_table
    users = trained.users.extended(fitting)
    more = len(users) - len(trained.users)
    if not trained.user_table.num_columns or not more:
        return users, trained.user_table
    unknown = attribute_table(trained.user_table.schema, [{}] * more)
    return users, pa.concat_tables([trained.user_table, unknown])


# ---------------------------------------------------------------- weights


def replayed(changed_U: Mask, config: UpdateConfig) -> Mask:
    """[U] whose histories are learned: all that grew, and a share of the others."""
    chance_U = seeded_hash(np.arange(len(changed_U)), config.seed) / 2.0**63
    learned_U: Mask = changed_U | (chance_U < config.replay)
    return learned_U


def _loop(trained: Trained) -> LoopConfig:
    """The settings of the training's loop, where the bundle tells them."""
    values = trained.run.get("config", {}).get("loop", {})
    return LoopConfig(**values)


def _continued(
    learned: QuintetModel,
    tables: TrainingTables,
    changed_U: Mask,
    config: UpdateConfig,
    loop: LoopConfig,
    on_step: OnStep | None,
) -> QuintetModel:
    """The network trained on, on the histories that grew and on some that did not."""
    model = recounted(learned, tables)
    events = tables.events.select(replayed(changed_U, config)[tables.events.user])
    if config.epochs and len(events):
        device = model.bias_I.device
        orders = prepared_orders(
            replace(tables, events=events), model, device, loop.tie_orders, config.seed
        )
        # an update of a small shop would be over before a rise as long as a training's
        steps = config.epochs * len(events) // loop.tokens_per_batch
        settings = loop.model_copy(
            update={
                "epochs": config.epochs,
                "learning_rate": loop.learning_rate * config.rate,
                "warmup_steps": min(loop.warmup_steps, steps // 10),
            }
        )
        Trainer(model, orders, settings, config.seed + 1, on_step=on_step).run()
    return model.eval()
