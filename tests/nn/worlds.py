"""A small data set with every kind of column, and models shaped by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quintet.data.batch import Windows
from quintet.data.features import CategoryColumn, FeatureTable, NumberColumn, VectorColumn
from quintet.data.interactions import Interactions
from quintet.data.schema import Behaviour, DataSchema
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.train.prepare import PreparedEvents, TrainingTables, build_model

WORDS = ["red", "blue", "lamp", "chair", "soap", "brush", "green", "table"]
N_USERS, N_ITEMS, N_COLD = 20, 24, 3
CPU = torch.device("cpu")


def categories(rng: np.random.Generator, n: int, size: int, missing: float) -> CategoryColumn:
    """Up to two codes a row; some rows have none."""
    count = np.where(rng.random(n) < missing, 0, rng.integers(1, 3, n))
    codes = [rng.choice(size, c, replace=False) for c in count]
    return CategoryColumn(
        np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        np.concatenate([*codes, []]).astype(np.int64),
        [f"c{code}" for code in range(size)],
    )


def numbers(rng: np.random.Generator, n: int, missing: float) -> NumberColumn:
    present = rng.random(n) >= missing
    value = np.where(present, rng.uniform(-1, 1, n), 0).astype(np.float32)
    return NumberColumn(value, present, np.where(present, value, np.nan).astype(np.float32))


def item_table(n: int = N_ITEMS, seed: int = 0) -> FeatureTable:
    """Items with categories, a price, a title and a vector; some values missing."""
    rng = np.random.default_rng(seed)
    titles = [" ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in range(n)]
    titles[1] = ""
    present = rng.random(n) >= 0.2
    vectors = np.where(present[:, None], rng.standard_normal((n, 5)), 0).astype(np.float32)
    return FeatureTable(
        n,
        categories={"kind": categories(rng, n, 4, 0.1), "brand": categories(rng, n, 3, 0.4)},
        numbers={"price": numbers(rng, n, 0.2)},
        texts={"title": titles},
        vectors={"sound": VectorColumn(vectors, present)},
    )


def user_table(n: int = N_USERS, seed: int = 1) -> FeatureTable:
    """Users with a category (its name holds a dot) and a number."""
    rng = np.random.default_rng(seed)
    return FeatureTable(
        n,
        categories={"home.region": categories(rng, n, 3, 0.3)},
        numbers={"age": numbers(rng, n, 0.2)},
    )


def log(n_users: int = N_USERS, n_items: int = N_ITEMS, seed: int = 0) -> Interactions:
    """Histories of 0 to 15 events; the last items stay cold; some values are missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 16, n_users)
    lengths[0], lengths[1:4] = 0, (15, 12, 9)
    n = int(lengths.sum())
    value = rng.integers(1, 6, n).astype(np.float32)
    value[rng.random(n) < 0.3] = np.nan
    return Interactions.build(
        np.repeat(np.arange(n_users), lengths),
        rng.integers(0, n_items - N_COLD, n),
        n_users=n_users,
        n_items=n_items,
        time=rng.integers(0, 60 * 86_400, n) * 1_000_000,
        behaviour=rng.integers(0, 2, n),
        scenario=rng.integers(0, 2, n),
        value=value,
    )


def tables(**changes: Any) -> TrainingTables:
    """The whole data set; fields may be replaced."""
    whole = TrainingTables(
        events=log(),
        items=item_table(),
        users=user_table(),
        behaviours=["view", "buy"],
        scenarios=["shop", "feed"],
        schema=DataSchema(
            behaviours=[Behaviour(name="view"), Behaviour(name="buy", implies=["view"])]
        ),
    )
    return replace(whole, **changes)


SMALL: dict[str, Any] = {
    "width": 8,
    "longest": 10,
    "backbone_settings": {"layers": 1, "dropout": 0.0},
    "identity_dropout": 0.0,
}


def model_of(data: TrainingTables, seed: int = 0, **settings: Any) -> QuintetModel:
    """A small model, ready to train."""
    return build_model(data, ModelConfig(**{**SMALL, **settings}), seed)


def prepared(data: TrainingTables, model: QuintetModel) -> PreparedEvents:
    return PreparedEvents(data, model, CPU)


def losses_at(model: QuintetModel, events: PreparedEvents, windows: Windows) -> dict[str, Tensor]:
    """The loss of every task on some windows of the events."""
    chosen = events.batch(windows)
    return model.losses(
        chosen.batch,
        chosen.positions,
        events.item_inputs,
        events.user_inputs,
        chosen.features,
        chosen.labels,
        chosen.request,
    )
