"""What the network must know of the data set before it sees an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quintet.data.dataset import fallback_label
from quintet.data.features import CategoryColumn, FeatureTable
from quintet.data.interactions import Floats, Interactions, Mask
from quintet.data.outcomes import BehaviourRules
from quintet.data.schema import DataSchema

MOST_LEVELS = 11
LARGEST_RATING = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class DataShape:
    """Sizes and vocabularies that shape the network's parameters.

    Attributes:
        n_items: catalogue size I.
        behaviours: names of the behaviours.
        scenarios: names of the scenarios.
        level_values: [K] the values that ratings take, ascending; empty where there are none.
        interest: name of the item category column whose shares are a person's interests.
        interest_names: [C] its categories.
        user_categories: sizes of the user's category columns, by name.
        user_numbers: names of the user's numeric columns.
        implies: by behaviour, those that must have come before it.
        polarity: by behaviour, where it is not 1.
        horizon_days: by behaviour, where it has one of its own.
        weight: by behaviour, how much it counts in the ranking, where it is not 1.
        amounts: behaviours whose value is an amount or a time, no rating.
        worth: by behaviour, what one event is worth: a number or a column of the items.
        offers: by scenario, what it can show (see ``data/schema.py``).
        devices: names of the kinds of devices.
        queries: whether events come with query texts.
        timed: whether events have times.
    """

    n_items: int
    behaviours: list[str]
    scenarios: list[str]
    level_values: list[float]
    interest: str | None
    interest_names: list[str]
    user_categories: dict[str, int]
    user_numbers: list[str]
    implies: dict[str, list[str]] = field(default_factory=dict)
    polarity: dict[str, float] = field(default_factory=dict)
    horizon_days: dict[str, float] = field(default_factory=dict)
    weight: dict[str, float] = field(default_factory=dict)
    amounts: list[str] = field(default_factory=list)
    worth: dict[str, float | str] = field(default_factory=dict)
    offers: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    queries: bool = False
    timed: bool = False

    @property
    def rules(self) -> BehaviourRules:
        """How the behaviours hang together."""
        own = (self.implies, self.polarity, self.horizon_days, self.weight)
        return BehaviourRules(self.behaviours, *own)

    @property
    def n_levels(self) -> int:
        """How many levels a rating has."""
        return len(self.level_values)

    @property
    def silent(self) -> dict[str, int]:
        """Indices of the behaviour and the scenario of events that name none."""
        names = {"behaviour": self.behaviours, "scenario": self.scenarios}
        return {column: fallback_label(column, own) for column, own in names.items()}

    def rating_of(self, behaviour: str | None, value: float | None) -> float:
        """The rating that an event gives; NaN where it gives none."""
        amount = (behaviour or self.behaviours[self.silent["behaviour"]]) in self.amounts
        if value is None or amount or abs(value) > LARGEST_RATING:
            return float("nan")
        return value

    def level_edges(self) -> Floats:
        """[K - 1] boundaries halfway between the levels."""
        values = np.asarray(self.level_values, np.float32)
        return (values[1:] + values[:-1]) / np.float32(2)


def describe(
    events: Interactions,
    items: FeatureTable,
    users: FeatureTable,
    behaviours: list[str],
    scenarios: list[str],
    schema: DataSchema | None = None,
    devices: Sequence[str] = (),
) -> DataShape:
    """The shape of a data set, read off its training events, its attributes and its schema."""
    column = interest_column(items, events)
    schema = schema if schema is not None else DataSchema()
    rules = BehaviourRules.of(behaviours, schema.behaviours)
    return DataShape(
        n_items=events.n_items,
        behaviours=behaviours,
        scenarios=scenarios,
        level_values=rating_levels(events),
        interest=column,
        interest_names=items.categories[column].names if column is not None else [],
        user_categories={name: len(part.names) for name, part in users.categories.items()},
        user_numbers=list(users.numbers),
        implies={name: list(others) for name, others in rules.implies.items()},
        polarity=dict(rules.polarity),
        horizon_days=dict(rules.horizon_days),
        weight=dict(rules.weight),
        amounts=[one.name for one in schema.behaviours if not one.rates],
        worth={one.name: one.value for one in schema.behaviours if one.value is not None},
        offers={one.name: dict(one.offers) for one in schema.scenarios if one.offers},
        devices=list(devices),
        queries="query" in events.context,
        timed=bool(events.time.any()),
    )


def rating_levels(events: Interactions) -> list[float]:
    """The distinct values, or up to 11 quantiles of them; empty when fewer than two differ."""
    value = events.value[~np.isnan(events.value)]
    distinct = np.unique(value)
    if len(distinct) < 2:
        return []
    if len(distinct) > MOST_LEVELS:
        distinct = np.unique(np.quantile(value, np.linspace(0.02, 0.98, MOST_LEVELS)))
    return [float(level) for level in distinct]


def interest_column(items: FeatureTable, events: Interactions) -> str | None:
    """The category column that says most about taste: well covered, with a moderate vocabulary."""
    if len(events) == 0:
        return None
    weight = events.item_counts() / len(events)
    best, best_entropy = None, 0.0
    for name, column in items.categories.items():
        covered = float(weight[np.diff(column.offsets) > 0].sum())
        if covered < 0.5 or not 2 <= len(column.names) <= 512:
            continue
        share = _category_shares(column, weight)
        entropy = float(-(share * np.log(np.maximum(share, 1e-12))).sum()) * covered
        if entropy > best_entropy:
            best, best_entropy = name, entropy
    return best


def _category_shares(column: CategoryColumn, weight_I: np.ndarray) -> np.ndarray:
    rows = np.repeat(np.arange(len(column.offsets) - 1), np.diff(column.offsets))
    total = np.bincount(column.codes, weights=weight_I[rows], minlength=len(column.names))
    share: np.ndarray = total / max(total.sum(), 1e-12)
    return share


def warm_items(events: Interactions) -> Mask:
    """[I] items with at least one training event."""
    return events.item_counts() > 0
