"""What a caller says of a request besides who asks: where, for what, when, on what, beside what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.requests import query_tokens
from quintet.errors import ConfigError, UnknownIdError

if TYPE_CHECKING:
    from quintet.serve.trained import Trained

#: what ``context`` may hold
CONTEXT = ("time", "device", "page_item")


def asking(
    trained: Trained,
    histories: Interactions,
    scenario: str | None = None,
    query: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> Interactions:
    """The histories with a request at the end of each.

    Args:
        trained: the model.
        histories: who asks.
        scenario: where.
        query: the words searched for.
        context: ``time`` (microseconds since 1970), ``device`` (a kind that the log knows) and
            ``page_item`` (an item id): what stands on the page counts as met just now.

    Raises:
        ConfigError: a field, the scenario or the device is unknown; lists what there is.
        UnknownIdError: the page's item is not in the catalogue.
    """
    given = dict(context or {})
    if unknown := sorted(set(given) - set(CONTEXT)):
        raise ConfigError(f"context {unknown[0]!r}: choose from: {', '.join(CONTEXT)}")
    n, shape = histories.n_users, trained.model.shape
    place = -1 if scenario is None else _index("scenario", scenario, shape.scenarios)
    request: dict[str, Ints] = {"scenario": np.full(n, place), "time": _times(given, n)}
    if shape.devices:
        device = given.get("device")
        kind = -1 if device is None else _index("device", str(device), shape.devices)
        request["device"] = np.full(n, kind)
    if shape.queries:
        request["query"] = np.repeat(query_tokens([query]), n, axis=0)
    if "page_item" in given:
        histories = _beside(trained, histories, given["page_item"], max(place, 0))
    return histories.asking(request)


def _index(kind: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ConfigError(f"unknown {kind} {name!r}; choose one of: {', '.join(names)}")
    return list(names).index(name)


def _times(given: Mapping[str, Any], n: int) -> Ints:
    try:
        return np.full(n, int(given.get("time", -1)), np.int64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"context time {given['time']!r}: give microseconds since 1970 as a whole number"
        ) from None


def _beside(trained: Trained, histories: Interactions, item: Any, scenario: int) -> Interactions:
    """The histories with the page's item as their newest event: a look, at the newest moment."""
    row = int(trained.items.rows([item])[0])
    if row < 0:
        raise UnknownIdError(
            f"item {item!r} is not in the catalogue of {len(trained.items):,} items"
        )
    where = histories.offsets[1:]
    newest = np.zeros(histories.n_users, np.int64)
    some = histories.lengths > 0
    newest[some] = histories.time[where[some] - 1]
    look = trained.model.shape.rules.look
    return replace(
        histories,
        offsets=histories.offsets + np.arange(histories.n_users + 1),
        user=np.insert(histories.user, where, histories.owners()),
        item=np.insert(histories.item, where, row),
        time=np.insert(histories.time, where, newest),
        behaviour=np.insert(histories.behaviour, where, look),
        scenario=np.insert(histories.scenario, where, scenario),
        value=np.insert(histories.value, where, np.float32(np.nan)),
        owner=histories.owners(),
        context={},
    )


def offered(trained: Trained, scenario: str) -> Mask:
    """[I] what a scenario can show: what its TOML says, or else what the log has shown there.

    Raises:
        ConfigError: the scenario is unknown, or what it offers names no column of categories.
    """
    shape = trained.model.shape
    place = _index("scenario", scenario, shape.scenarios)
    declared = shape.offers.get(scenario)
    if not declared:
        mask_I = np.zeros(len(trained.items), np.bool_)
        events = trained.events
        mask_I[events.item[events.scenario == place]] = True
        return mask_I
    mask_I = np.ones(len(trained.items), np.bool_)
    for column, values in declared.items():
        mask_I &= _has(trained, scenario, column, values)
    return mask_I


def _has(trained: Trained, scenario: str, column: str, values: Sequence[Any]) -> Mask:
    """[I] items with one of the values in a column of categories."""
    known = trained.item_features.categories
    if column not in known:
        raise ConfigError(
            f"scenario {scenario!r} offers by {column!r}, which is no column of categories of the "
            f"items; there are: {', '.join(known) or 'none'}"
        )
    wanted = {str(value).lower() for value in values}
    codes = [code for code, name in enumerate(known[column].names) if name.lower() in wanted]
    has_I: Mask = known[column].counts()[:, codes].max(1, initial=0) > 0
    return has_I


def expected_value(trained: Trained, item_N: Ints, behaviour_NB: Floats) -> Floats:
    """[N] sum over the behaviours of their chance times what one is worth.

    Worth is a number, or a numeric column of the items, such as the price; an item without it is
    worth nothing there.

    Raises:
        ConfigError: what a behaviour is worth names no such column.
    """
    shape = trained.model.shape
    total_N = np.zeros(len(item_N), np.float64)
    for name, worth in shape.worth.items():
        if name in shape.behaviours:
            chance_N = behaviour_NB[:, shape.behaviours.index(name)]
            total_N += chance_N * _worth(trained, name, worth, item_N)
    return total_N.astype(np.float32)


def _worth(trained: Trained, behaviour: str, worth: float | str, item_N: Ints) -> Floats:
    if not isinstance(worth, str):
        return np.full(len(item_N), worth, np.float32)
    numbers = trained.item_features.numbers
    if worth not in numbers:
        raise ConfigError(
            f"behaviour {behaviour!r} is worth {worth!r}, which is no numeric column of the items; "
            f"there are: {', '.join(numbers) or 'none'}"
        )
    return np.nan_to_num(numbers[worth].raw[item_N], nan=0.0)
