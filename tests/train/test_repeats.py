"""Where people return to items, lists hold them again: by default, without a setting."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from quintet.data.dataset import join
from quintet.data.encode import encode
from quintet.data.frames import EventLog
from quintet.data.interactions import Interactions
from quintet.data.outcomes import BehaviourRules
from quintet.data.split import leave_one_out
from quintet.data.states import repeat_share
from quintet.serve.recommender import Recommender
from quintet.train.evaluate import evaluate_ranking
from quintet.train.pipeline import TrainConfig, masks_history, train


def of_habit() -> pa.Table:
    """40 people of whom each goes around the same two items, and now and then to another."""
    rng = np.random.default_rng(0)
    users, items = [], []
    for user in range(40):
        own = rng.choice(30, 2, replace=False)
        for step in range(12):
            users.append(f"u{user}")
            items.append(f"i{rng.integers(30) if step % 5 == 4 else own[step % 2]}")
    return pa.table({"user_id": users, "item_id": items})


@pytest.fixture(scope="module")
def trained():
    encoded = encode(join(EventLog.read(of_habit())))
    split = leave_one_out(encoded.events)
    settings = {"loop": {"epochs": 1}, "model": {"width": 16}, "memories": {"repeat": {}}}
    return train(encoded, split, TrainConfig.model_validate(settings)).trained, split


def test_the_log_says_so(trained) -> None:
    _, split = trained
    assert repeat_share(split.train) > 0.5
    assert not masks_history(split.train)
    alone = split.train.select(np.arange(len(split.train)) < 2)
    assert masks_history(alone)


def test_what_follows_up_an_item_is_no_return() -> None:
    events = [("view", 0), ("buy", 0), ("view", 1), ("buy", 1), ("view", 2)]
    user = np.repeat(np.arange(8), len(events))
    behaviour = np.tile([int(name == "buy") for name, _ in events], 8)
    item = np.tile([item for _, item in events], 8)
    log = Interactions.build(user, item, behaviour=behaviour, n_users=8, n_items=3)
    rules = BehaviourRules(["view", "buy"], {"buy": ["view"]}, {}, {}, {})
    assert repeat_share(log) == pytest.approx(0.4)
    assert not masks_history(log)
    assert masks_history(log, rules)


def test_the_copy_evidence_carries_the_list(trained) -> None:
    model, split = trained
    assert "repeat" in model.run["evidence"]
    open_lists = evaluate_ranking(model.scorer, split, mask_history=False)
    masked = evaluate_ranking(model.scorer, split, mask_history=True)
    assert open_lists.per_user["hr@5"].mean() > masked.per_user["hr@5"].mean() + 0.3


def test_met_items_are_recommended_unless_left_out(trained) -> None:
    model, split = trained
    recommender = Recommender(model)
    user = model.users.values[0].as_py()
    met = set(model.items.ids(split.events.users([0]).item))
    by_default = {one.item_id for one in recommender.recommend([user], k=3)}
    without = {one.item_id for one in recommender.recommend([user], k=3, exclude_seen=True)}
    assert by_default & met
    assert not without & met
