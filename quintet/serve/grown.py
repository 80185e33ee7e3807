"""A model whose catalogue has changed since it was trained, with nothing refitted.

New items stand in by content, as cold items of the training catalogue do: their counts are zero,
so that fusion gives them the weights of its "new" bucket. Everything learned stays as it is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from quintet.data.features import CategoryColumn, FeatureTable, NumberColumn, VectorColumn
from quintet.data.vocab import CANONICAL
from quintet.errors import DataError
from quintet.nn.content import Inputs, to_device
from quintet.nn.model import QuintetModel
from quintet.nn.tasks.interaction import Interaction
from quintet.nn.tasks.profile import Profile
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer
from quintet.serve.trained import Trained

Id = str | int


@dataclass(frozen=True)
class Prepared:
    """Features of a catalogue and what its modalities made of them, kept to be added to."""

    table: FeatureTable
    inputs: Inputs


def prepared(trained: Trained) -> Prepared:
    """What :func:`grown` starts from, once a model."""
    encoder, table = trained.model.item_encoder, trained.item_features
    return Prepared(table, {} if encoder is None else encoder.prepare(table))


def grown(
    trained: Trained,
    base: Prepared,
    upserts: Mapping[Id, Mapping[str, Any]],
    counted: Trained | None = None,
) -> tuple[Trained, list[Id]]:
    """The model with items added or changed; ``trained`` is left as it is.

    Args:
        trained: the model.
        base: of :func:`prepared`.
        upserts: by item id, all attributes: columns that a row does not name are missing in it.
        counted: the same model with newer counts, over the first of these items.

    Returns:
        The model, and the ids of the items that are new.

    Raises:
        DataError: an attribute does not fit its column.
    """
    ids = list(upserts)
    own = ids_of(trained, ids)
    rows = trained.items.rows(own.to_pylist())
    items = trained.items.extended(own) if ids else trained.items
    place = items.rows(own.to_pylist())
    added = attribute_table(trained.item_table.schema, [upserts[one] for one in ids])
    order = np.arange(len(trained.items))
    taken = np.concatenate([order, np.full(len(items) - len(order), -1, np.int64)])
    taken[place] = len(order) + np.arange(len(ids))
    item_table = pa.concat_tables([trained.item_table, added]).take(pa.array(taken))
    new = trained.item_encoder.transform(added)
    encoder = trained.model.item_encoder
    inputs: Inputs = {}
    if encoder is not None:
        inputs = _joined(base.inputs, encoder.prepare(new), taken)
    count_I = np.zeros(len(items), np.float32)
    counted = trained if counted is None else counted
    count_I[: len(counted.count_I)] = counted.count_I
    features = joined_features(base.table, new, taken)
    model = _grown_model(trained.model, len(items), features)
    memories = {
        name: copy.copy(memory if memory.reads_attributes else counted.memories[name]).add_items(
            features
        )
        for name, memory in trained.memories.items()
    }
    made = replace(
        trained,
        model=model,
        memories=memories,
        items=items,
        item_table=item_table,
        count_I=count_I,
        events=replace(trained.events, n_items=len(items)),
    )
    made.__dict__["item_features"] = features
    made.__dict__["user_features"] = trained.user_features
    made.__dict__["scorer"] = _scorer(made, inputs, trained.scorer.evidence.user_inputs)
    return made, [one for one, row in zip(ids, rows, strict=True) if row < 0]


def ids_of(trained: Trained, ids: Sequence[Id]) -> pa.Array:
    """Ids in the catalogue's own type.

    Raises:
        DataError: the catalogue's ids are whole numbers and one is not.
    """
    if not trained.items.is_integer:
        return pa.array([str(one) for one in ids], pa.string())
    try:
        plain = [int(one) if re.fullmatch(CANONICAL, str(one)) else None for one in ids]
        if None not in plain:
            return pa.array(plain, pa.int64())
    except OverflowError:
        pass
    raise DataError(
        "the catalogue's item ids are whole numbers, and a new one is not, or is not written "
        'plainly ("7", neither "07" nor "+7")'
    )


def attribute_table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Attributes as a table like the catalogue's; times may be given as ISO 8601 text.

    Raises:
        DataError: a value does not fit its column; names the column.
    """
    columns = {}
    for field in schema:
        values = [row.get(field.name) for row in rows]
        try:
            if pa.types.is_temporal(field.type) and all(isinstance(v, str | None) for v in values):
                columns[field.name] = pa.array(values, pa.string()).cast(field.type)
            else:
                columns[field.name] = pa.array(values, field.type)
            _refuse_beyond(columns[field.name])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError):
            raise DataError(f"attribute {field.name!r}: must be {field.type}") from None
    if not columns:
        return pa.table({})
    return pa.table(columns, schema=schema)


def _refuse_beyond(column: pa.Array) -> None:
    """Numbers that single precision cannot hold, and times that no calendar has."""
    if pa.types.is_floating(column.type) and len(column):
        if (np.abs(column.drop_null().to_numpy()) > np.finfo(np.float32).max).any():
            raise OverflowError
    elif pa.types.is_timestamp(column.type):
        column.cast(pa.timestamp("us")).to_pylist()


def _joined(old: Inputs, new: Mapping[str, Mapping[str, Tensor]], taken: np.ndarray) -> Inputs:
    rows = torch.from_numpy(taken)
    return {
        name: {key: _stacked(value, new[name][key])[rows] for key, value in own.items()}
        for name, own in old.items()
    }


def _stacked(one: Tensor, other: Tensor) -> Tensor:
    """Rows of two tensors; lists of codes are padded with -1 to one width."""
    if one.dim() == 2 and one.shape[1] != other.shape[1]:
        width = max(one.shape[1], other.shape[1])
        one, other = (
            nn.functional.pad(part, (0, width - part.shape[1]), value=-1) for part in (one, other)
        )
    return torch.cat([one, other])


def joined_features(old: FeatureTable, new: FeatureTable, taken: np.ndarray) -> FeatureTable:
    """Rows ``taken`` of the two tables, one below the other."""

    def both(one: np.ndarray, other: np.ndarray) -> Any:
        return np.concatenate([one, other])[taken]

    def texts(one: list[str], other: list[str]) -> list[str]:
        pool = [*one, *other]
        return [pool[row] for row in taken]

    return FeatureTable(
        n_rows=len(taken),
        categories={
            name: _joined_categories(column, new.categories[name], taken)
            for name, column in old.categories.items()
        },
        numbers={
            name: NumberColumn(
                both(column.values, new.numbers[name].values),
                both(column.present, new.numbers[name].present),
                both(column.raw, new.numbers[name].raw),
            )
            for name, column in old.numbers.items()
        },
        texts={name: texts(column, new.texts[name]) for name, column in old.texts.items()},
        images={name: texts(column, new.images[name]) for name, column in old.images.items()},
        vectors={
            name: VectorColumn(
                both(column.values, new.vectors[name].values),
                both(column.present, new.vectors[name].present),
            )
            for name, column in old.vectors.items()
        },
    )


def _joined_categories(
    one: CategoryColumn, other: CategoryColumn, taken: np.ndarray
) -> CategoryColumn:
    offsets = np.concatenate([one.offsets, one.offsets[-1] + other.offsets[1:]])
    codes = np.concatenate([one.codes, other.codes])
    length = np.diff(offsets)[taken]
    made = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    shift = np.repeat(offsets[:-1][taken] - made[:-1], length)
    return CategoryColumn(made, codes[np.arange(made[-1]) + shift], one.names)


def _grown_model(old: QuintetModel, n_items: int, features: FeatureTable) -> QuintetModel:
    """A copy with rows for new items: never trained, so that content stands in for them."""
    model = copy.deepcopy(old).eval()
    more = n_items - old.shape.n_items
    model.shape = replace(old.shape, n_items=n_items)
    model.embedding_ID = nn.Parameter(_padded(old.embedding_ID, more), requires_grad=False)
    model.bias_I = nn.Parameter(_padded(old.bias_I, more), requires_grad=False)
    model.warm_I = _padded(old.warm_I, more)
    for name in model.tasks:
        task = model.task(name)
        if isinstance(task, Interaction):
            task.item_log_IC = _padded(task.item_log_IC, more)
            task.item_count_I = _padded(task.item_count_I, more)
            task.item_value_2I = nn.functional.pad(task.item_value_2I, (0, more))
        elif isinstance(task, Profile):
            task.set_items(features)
        elif isinstance(task, Strategy):
            interest = old.shape.interest
            task.labeller.set_categories(features.categories[interest] if interest else None)
    return model


def _padded(values: Tensor, more: int) -> Tensor:
    return torch.cat([values.detach(), values.new_zeros(more, *values.shape[1:])])


def _scorer(trained: Trained, inputs: Inputs, user_inputs: Inputs | None) -> Scorer:
    device = trained.model.bias_I.device
    evidence = EvidenceBuilder(
        trained.model,
        trained.memories,
        to_device(inputs, device) if inputs else None,
        user_inputs,
        trained.count_I,
    )
    return Scorer(evidence, trained.fusion, trained.calibration)
