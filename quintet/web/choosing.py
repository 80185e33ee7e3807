"""Which items may be in an answer, and what a query or an edit of the profile adds to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quintet.data.feature_codecs import parted
from quintet.data.interactions import Floats, Mask
from quintet.errors import InvalidRequestError, UnknownIdError
from quintet.serve.asking import offered
from quintet.serve.trained import Trained
from quintet.web.live import Live
from quintet.web.models import Filter, RecommendIn
from quintet.web.people import Person

MOST_MASKS = 256


def allowed(live: Live, asked: RecommendIn, one: Person) -> Mask:
    """[I] the items that this answer may hold.

    Raises:
        InvalidRequestError: the scenario, a column or a filter cannot be used.
        UnknownIdError: a candidate is not in the catalogue.
    """
    mask_I = live.offered_I
    if asked.scenario is not None:
        mask_I = mask_I & _cached(live, ("scenario", asked.scenario), _scenario, asked.scenario)
    for condition in asked.filters:
        key = ("filter", json.dumps(condition.model_dump(), sort_keys=True))
        mask_I = mask_I & _cached(live, key, _filter, condition)
    if asked.candidates is not None:
        wanted_I = np.zeros(len(mask_I), np.bool_)
        wanted_I[rows_of(live, asked.candidates)] = True
        mask_I = mask_I & wanted_I
    return mask_I & ~muted(live, one) if one.edits else mask_I


def rows_of(live: Live, items: Sequence[str | int]) -> np.ndarray:
    """Rows of item ids.

    Raises:
        UnknownIdError: one is not in the catalogue.
    """
    rows = live.trained.items.rows(list(items))
    if (rows < 0).any():
        raise UnknownIdError(f"an item is not in the catalogue of {len(live.trained.items):,}")
    return rows


def muted(live: Live, one: Person) -> Mask:
    """[I] what the person does not want to see."""
    mask_I = np.zeros(len(live.offered_I), np.bool_)
    items = [name for name, on in (one.edits.get("mute_items") or {}).items() if on]
    rows = live.trained.items.rows(items)
    mask_I[rows[rows >= 0]] = True
    for name, on in (one.edits.get("mute_categories") or {}).items():
        if on:
            mask_I |= _cached(live, ("category", name), _category, name)
    return mask_I


def _cached(live: Live, key: Any, make: Any, argument: Any) -> Mask:
    found = live.masks.get(key)
    if found is None:
        found = make(live, argument)
        if len(live.masks) >= MOST_MASKS:
            live.masks.clear()
        live.masks[key] = found
    return np.asarray(found, np.bool_)


def _scenario(live: Live, name: str) -> Mask:
    trained = live.trained
    scenario_index(trained, name)
    mask_I = offered(trained, name)
    if name in trained.model.shape.offers:
        return mask_I
    new = trained.items.rows(list(live.upserts))
    mask_I[new[new >= len(live.base.items)]] = True  # nothing is known of where new ones belong
    return mask_I


def scenario_index(trained: Trained, name: str) -> int:
    """Place of a scenario.

    Raises:
        InvalidRequestError: it is unknown; lists what there is.
    """
    names = trained.model.shape.scenarios
    if name not in names:
        raise InvalidRequestError(f"scenario: choose one of: {', '.join(names)}")
    return list(names).index(name)


def _category(live: Live, name: str) -> Mask:
    """Items of a category, in any column of categories."""
    mask_I = np.zeros(len(live.trained.items), np.bool_)
    for column in live.trained.item_features.categories.values():
        if name in column.names:
            code = column.names.index(name)
            rows = np.repeat(np.arange(len(mask_I)), np.diff(column.offsets))
            mask_I[rows[column.codes == code]] = True
    return mask_I


def _filter(live: Live, condition: Filter) -> Mask:
    table = live.trained.item_table
    if condition.column not in table.column_names:
        raise InvalidRequestError(f"filters: choose a column of: {', '.join(table.column_names)}")
    values = table[condition.column].combine_chunks()
    owner = np.arange(len(values))
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        owner, values = pc.list_parent_indices(values).to_numpy(), pc.list_flatten(values)
    elif separator := live.trained.item_encoder.separators.get(condition.column):
        values, owner = parted(values, separator)
    try:
        kept = _passes(values, condition)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise InvalidRequestError("filters: the values do not fit the column's type") from None
    mask_I = np.zeros(len(live.trained.items), np.bool_)
    mask_I[owner[np.asarray(kept.fill_null(False))]] = True
    return mask_I


def _passes(values: pa.Array, condition: Filter) -> pa.Array:
    kept = pa.array(np.ones(len(values), np.bool_))
    if condition.any_of is not None:
        kept = pc.is_in(values, value_set=pa.array(condition.any_of).cast(values.type))
    if condition.at_least is not None:
        kept = pc.and_(kept, pc.greater_equal(values, pa.scalar(condition.at_least)))
    if condition.at_most is not None:
        kept = pc.and_(kept, pc.less_equal(values, pa.scalar(condition.at_most)))
    return kept


def query_match(live: Live, query: str) -> Floats:
    """[I] cosine of the query and each item's texts and categories.

    Raises:
        InvalidRequestError: the catalogue has no text.
    """
    index = live.trained.text_index
    if index is None:
        raise InvalidRequestError(
            "query: this model's catalogue has no text to match; leave the query out"
        )
    return index.match(query)
