"""The rehearsal of new items: hidden ones teach nothing, and their weights are fitted on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from quintet.config import build
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import Catalogue, EventLog
from quintet.data.split import leave_one_out
from quintet.train.new_items import RehearsalConfig, rehearsed
from quintet.train.pipeline import Fitted, TrainConfig, train, training_tables

N_ITEMS = 120
SHARE = {"share": 0.05, "least_items": 6}


def shop(seed: int = 0) -> Encoded:
    """People buy within one kind of thing; the words of a title tell the kind."""
    rng = np.random.default_rng(seed)
    kind_I = rng.integers(0, 4, N_ITEMS)
    words = ["red lamp", "blue chair", "green soap", "black brush"]
    rows = []
    for user in range(150):
        own = np.flatnonzero(kind_I == user % 4)
        for time, item in enumerate(rng.permutation(own)[:8]):
            rows.append((f"u{user}", f"i{item}", time))
    names = ("user_id", "item_id", "timestamp")
    log = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    titles = [f"{words[kind]} {item}" for item, kind in enumerate(kind_I)]
    items = pa.table({"item_id": [f"i{i}" for i in range(N_ITEMS)], "title": titles})
    return encode(join(EventLog.read(log), Catalogue.read(items)))


ENCODED = shop()
SPLIT = leave_one_out(ENCODED.events)
TABLES = training_tables(ENCODED, SPLIT)[0]


def fitted(**rehearsal: Any) -> Fitted:
    config = build(
        TrainConfig,
        {
            "model": {"width": 8, "towers": ["content"], "off": ["profile", "strategy", "item"]},
            "loop": {"epochs": 1},
            "memories": {"transitions": {}, "content_ridge": {}, "content_neighbours": {}},
            "rehearsal": rehearsal,
        },
    )
    return train(ENCODED, SPLIT, config)


@pytest.fixture(scope="module")
def with_rehearsal() -> Fitted:
    return fitted(**SHARE)


def test_the_share_of_the_items_is_hidden_and_drawn_by_the_seed() -> None:
    config = build(RehearsalConfig, SHARE)
    hidden_I = rehearsed(TABLES, config, 0)
    assert hidden_I.sum() == 6
    assert (TABLES.events.item_counts()[hidden_I] > 0).all()
    assert not np.array_equal(hidden_I, rehearsed(TABLES, config, 1))


def test_nothing_is_hidden_where_it_would_cost_too_much() -> None:
    few = build(RehearsalConfig, {"share": 0.05})
    assert not rehearsed(TABLES, few, 0).any(), "40 of 120 items are too many"
    assert not rehearsed(TABLES, RehearsalConfig(), 0).any(), "and none where nothing is said"


def test_towers_never_met_the_hidden_and_counts_did(with_rehearsal: Fitted) -> None:
    trained = with_rehearsal.trained
    hidden_I = rehearsed(TABLES, build(RehearsalConfig, SHARE), 0)
    assert trained.run["rehearsed items"] == hidden_I.sum()
    assert np.array_equal(
        ~trained.model.warm_I.numpy(), hidden_I | (TABLES.events.item_counts() == 0)
    )
    np.testing.assert_array_equal(trained.count_I, TABLES.events.item_counts())
    assert not bool((trained.scorer.bucket_I[torch.from_numpy(hidden_I)] == 0).any())


def test_weights_of_new_items_are_fitted(with_rehearsal: Fitted) -> None:
    plain = fitted(share=0.0).trained
    own = with_rehearsal.trained.fusion
    names = with_rehearsal.trained.scorer.evidence.names
    assert plain.run["rehearsed items"] == 0
    assert float(own.new_bias) != float(plain.fusion.new_bias)
    words = names.index("content_neighbours")
    assert float(plain.fusion.new_K[words]) == 0
    read = [names.index(name) for name in ("content", "content_ridge", "content_neighbours")]
    gained = float((own.new_K - plain.fusion.new_K)[read].sum())
    assert gained > 0.5, "attributes tell which new items a person wants"
    assert float(own.new_K[words]) > 0
    assert float(own.new_K[names.index("transitions")]) == 0, "nobody came from or to a new item"
