"""The train path end to end: ids mean nothing, held-out events teach nothing, figures recur."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from quintet.config import build
from quintet.data.clean import clean
from quintet.data.encode import encode
from quintet.data.split import Part, leave_one_out
from quintet.errors import ConfigError, DataError
from quintet.nn.device import pick_device
from quintet.train.evaluate import evaluate_ranking
from quintet.train.measure import write_predictions
from quintet.train.pipeline import (
    TrainConfig,
    fit_memories,
    train,
    training_tables,
)


@pytest.fixture(scope="module")
def encoded(market):
    return encode(clean(market)[0])


@pytest.fixture(scope="module")
def split(encoded):
    return leave_one_out(encoded.events)


# ---------------------------------------------------------------- ids mean nothing


def test_renaming_all_ids_changes_no_score(recommender, renamed) -> None:
    other = renamed.model.recommender
    users = recommender.trained.users.values.to_pylist()
    items = recommender.trained.items.values.to_pylist()
    one = recommender.scorer.scores(recommender.histories(users))
    two = other.scorer.scores(other.histories([renamed.user[user] for user in users]))
    row = other.item_rows([renamed.item[item] for item in items])
    np.testing.assert_allclose(two[:, row], one, rtol=1e-5, atol=1e-5)
    # and so does every other answer
    assert sorted(renamed.item.values()) != list(renamed.item.values())
    pairs = list(zip(users[:20], items[:20], strict=True))
    new = [(renamed.user[user], renamed.item[item]) for user, item in pairs]
    before, after = recommender.predict(pairs), other.predict(new)
    for name in before.column_names[2:]:
        np.testing.assert_allclose(after[name].to_numpy(), before[name].to_numpy(), atol=1e-5)
    mine, theirs = recommender.profile(users[3]), other.profile(renamed.user[users[3]])
    assert {**theirs, "user_id": users[3]} == mine
    listed = recommender.recommend(users[:10], k=5)
    again = other.recommend([renamed.user[user] for user in users[:10]], k=5)
    assert [renamed.item[answer.item_id] for answer in listed] == [a.item_id for a in again]


def test_the_figures_are_the_same_too(fitted, renamed) -> None:
    one, other = fitted.evaluate(), renamed.model.evaluate()
    assert one.keys() == other.keys()
    for name, figure in one.items():
        assert other[name] == pytest.approx(figure, rel=1e-6)


# ---------------------------------------------------------------- figures can be redone


def test_exported_predictions_give_the_same_ndcg_again(fitted, encoded, split, tmp_path) -> None:
    """From the written lists and the raw log alone, with a formula of its own."""
    recommender = fitted.recommender
    masked = recommender.masks(None)  # as lists are served
    result = evaluate_ranking(recommender.scorer, split, ks=(10, 20), mask_history=masked)
    path = write_predictions(tmp_path / "predictions.tsv", encoded, split, result)
    newest: dict[str, str] = {}
    opens_E = fitted.recommender.trained.model.shape.rules.targets(split.events)
    for user in range(split.events.n_users):
        own = split.events.user == user
        items = split.events.item[own]
        if len(items) >= 3 and opens_E[own][-1]:
            newest[encoded.users.ids([user])[0]] = encoded.items.ids(items[-1:])[0]
    gains = []
    for line in path.read_text().splitlines():
        user, listed = line.split("\t")
        ranked = listed.split(" ")
        assert len(set(ranked)) == len(ranked) <= 20
        target = newest.pop(user)
        place = ranked[:10].index(target) + 1 if target in ranked[:10] else math.inf
        gains.append(1 / math.log2(place + 1))
    assert newest == {}
    assert np.mean(gains) == pytest.approx(result.summary()["ndcg@10"]["mean"], abs=1e-9)
    assert fitted.evaluate()["ndcg@10"]["mean"] == pytest.approx(np.mean(gains), abs=1e-9)


def test_exported_lists_are_what_people_are_shown(fitted, encoded, split) -> None:
    """At the moment before the target, through the scorer that serves."""
    scorer = fitted.recommender.scorer
    result = evaluate_ranking(scorer, split, ks=(5,))
    for index in (0, 11, 30):
        target = result.targets[index]
        alone = scorer.rank(split.events.before([target]), 5).items_BK[0]
        np.testing.assert_array_equal(alone, result.lists_NK[index, :5])


# ---------------------------------------------------------------- nothing held out is learned


def test_held_out_events_change_no_table_and_no_memory(encoded, split) -> None:
    later = split.part != Part.TRAIN
    moved = replace(encoded.events, item=encoded.events.item.copy())
    moved.item[later] = (moved.item[later] + 7) % moved.n_items
    other = replace(split, events=moved)
    config = TrainConfig()
    one, two = (training_tables(encoded, s)[0] for s in (split, other))
    np.testing.assert_array_equal(one.events.item, two.events.item)
    for name, column in one.items.numbers.items():
        np.testing.assert_array_equal(column.values, two.items.numbers[name].values)
    memories = [fit_memories(config, tables) for tables in (one, two)]
    for name, memory in memories[0].items():
        for key, array in memory.state().items():
            np.testing.assert_array_equal(array, memories[1][name].state()[key])


# ---------------------------------------------------------------- settings and refusals


def test_stages_are_told_in_order_and_the_run_is_on_record(encoded, split) -> None:
    small = build(
        TrainConfig,
        {
            "model": {"width": 8, "off": ["profile", "strategy"]},
            "loop": {"epochs": 1},
            "memories": {"last_item": {}},
        },
    )
    stages: list[str] = []
    steps: list[int] = []
    done = train(
        encoded, split, small, on_stage=stages.append, on_step=lambda step, *_: steps.append(step)
    )
    assert stages == [
        "encoding attributes",
        "training",
        "counting memories",
        "fitting gates and calibration",
    ]
    assert steps
    run = done.trained.run
    assert run["split"] == "leave_one_out"
    assert run["evidence"] == done.trained.scorer.evidence.names
    assert "last_item" in run["evidence"]
    assert "ease" not in run["evidence"]
    assert set(done.trained.model.tasks) == {"interaction", "item", "ranking"}


def test_what_cannot_be_trained_is_refused(encoded, split) -> None:
    nothing = replace(split, part=np.full(len(split.part), Part.TEST, np.int8))
    with pytest.raises(DataError, match="no training event"):
        train(encoded, nothing)
    tables, _, _ = training_tables(encoded, split)
    with pytest.raises(ConfigError, match="unknown memory 'oracle'"):
        fit_memories(TrainConfig(memories={"oracle": {}}), tables)
    with pytest.raises(ConfigError, match="'als' is a baseline"):
        fit_memories(TrainConfig(memories={"als": {}}), tables)
    with pytest.raises(ConfigError, match="unknown device 'tpu'; choose one of: cpu, cuda"):
        pick_device("tpu")


def test_ease_is_left_out_where_the_catalogue_is_large(encoded, split) -> None:
    tables, _, _ = training_tables(encoded, split)
    config = TrainConfig(memories={"ease": {}, "last_item": {}}, most_items_for_dense=49)
    assert list(fit_memories(config, tables)) == ["last_item"]
    config = config.model_copy(update={"most_items_for_dense": 50})
    assert list(fit_memories(config, tables)) == ["ease", "last_item"]
