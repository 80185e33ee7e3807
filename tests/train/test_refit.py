"""Refit: what is learned again, what is kept, and that the test events teach nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from quintet.config import build
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import Catalogue, EventLog
from quintet.data.split import Part, Split, leave_one_out
from quintet.data.states import repeat_share
from quintet.memory.base import MEMORIES
from quintet.serve.trained import Trained
from quintet.train.pipeline import LEAST_REPEATS, Fitted, TrainConfig, train, training_tables
from quintet.train.refit import refit, with_validation

N_USERS, N_ITEMS = 30, 16
CONFIG = build(
    TrainConfig,
    {
        "model": {"width": 8, "off": ["profile", "strategy"]},
        "loop": {"epochs": 1},
        "memories": {"transitions": {}, "trend": {}, "content_neighbours": {}},
        "refit_epochs": 1,
    },
)
SCOPES = pytest.mark.parametrize("scope", ["counts", "full"])


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    """Item 0 and the rating 5 are met in validation only; so item 0's kind comes first there."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        for step, item in enumerate(1 + rng.permutation(N_ITEMS - 1)[:6]):
            held_out = step == 4
            new = held_out and user % 3 == 0
            rows.append((f"u{user}", f"i{0 if new else item}", step, 5 if held_out else 1 + step))
    names = ("user_id", "item_id", "timestamp", "value")
    log = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    items = pa.table(
        {
            "item_id": [f"i{item}" for item in range(N_ITEMS)],
            "kind": ["lamp" if item % 2 == 0 else "chair" for item in range(N_ITEMS)],
            "title": [f"{'red' if item % 3 else 'blue'} thing{item}" for item in range(N_ITEMS)],
        }
    )
    return encode(join(EventLog.read(log), Catalogue.read(items), name="small"))


@pytest.fixture(scope="module")
def split(encoded) -> Split:
    return leave_one_out(encoded.events)


@pytest.fixture(scope="module")
def fitted(encoded, split) -> Fitted:
    return train(encoded, split, CONFIG)


@pytest.fixture(scope="module")
def refitted(fitted, encoded, split) -> dict[str, Trained]:
    found = {}
    for scope in ("counts", "full"):
        found[scope] = refit(fitted, encoded, split, CONFIG, scope).trained
    return found


def arrays(trained: Trained) -> dict[str, np.ndarray]:
    """Everything that a model holds, by name."""
    modules = {"model": trained.model, "fusion": trained.fusion, "scale": trained.calibration}
    found: dict[str, Any] = {
        f"{own}.{name}": value.detach().clone().numpy()
        for own, module in modules.items()
        for name, value in module.state_dict().items()
    }
    for name, memory in trained.memories.items():
        found |= {f"{name}.{key}": np.array(value) for key, value in memory.state().items()}
    return found | {"count": trained.count_I.copy()}


def changed(one: Trained, other: Trained) -> set[str]:
    mine, theirs = arrays(one), arrays(other)
    assert mine.keys() == theirs.keys()
    return {name for name, value in mine.items() if not np.array_equal(value, theirs[name])}


def test_validation_events_join_the_training_events(split) -> None:
    known = with_validation(split)
    assert set(split.part) == {Part.TRAIN, Part.VALID, Part.TEST}
    assert ((known.part == Part.TEST) == (split.part == Part.TEST)).all()
    assert (known.part[split.part != Part.TEST] == Part.TRAIN).all()
    assert len(known.train) == len(split.train) + (split.part == Part.VALID).sum()
    assert known.part.dtype == split.part.dtype


def test_counts_only_changes_counts_and_nothing_learned(fitted, refitted) -> None:
    counts = refitted["counts"]
    names = changed(fitted.trained, counts)
    assert {name.split(".")[0] for name in names} == {"count", "transitions", "trend"}
    assert counts.model is fitted.trained.model
    assert counts.run["refit"] == "counts"


def test_full_changes_the_towers_and_keeps_the_gates(fitted, refitted) -> None:
    names = changed(fitted.trained, refitted["full"])
    assert {name.split(".")[0] for name in names} == {"model", "count", "transitions", "trend"}
    learned = dict(fitted.trained.model.named_parameters())
    moved = {name for name in names if name.removeprefix("model.") in learned}
    assert {n.split(".")[1] for n in moved} >= {"embedding_ID", "towers", "item_encoder", "shared"}
    assert refitted["full"].run["refit"] == "full"
    assert not refitted["full"].model.training


@SCOPES
def test_memories_are_those_of_training_and_validation_events(
    scope: str, fitted, refitted, split
) -> None:
    events = split.events.select(split.part != Part.TEST)
    trained = refitted[scope]
    np.testing.assert_array_equal(trained.count_I, np.bincount(events.item, minlength=N_ITEMS))
    assert list(trained.memories) == list(fitted.trained.memories)
    for name, memory in trained.memories.items():
        direct = MEMORIES.get(name)(memory.config).fit(events, fitted.trained.item_features)
        for key, value in direct.state().items():
            np.testing.assert_array_equal(memory.state()[key], value)


@SCOPES
def test_test_events_are_never_read(scope: str, fitted, refitted, encoded, split) -> None:
    tested = split.part == Part.TEST
    moved = replace(split.events, item=split.events.item.copy(), value=split.events.value.copy())
    moved.item[tested] = np.random.default_rng(1).permutation(moved.item[tested])
    moved.value[tested] = 9.0
    assert (moved.item != split.events.item).any()
    other_data = replace(encoded, events=moved)
    other = refit(fitted, other_data, replace(split, events=moved), CONFIG, scope).trained
    assert changed(refitted[scope], other) == set()


@SCOPES
def test_what_was_trained_stays_as_it_is(scope: str, fitted, encoded, split) -> None:
    before, run = arrays(fitted.trained), dict(fitted.trained.run)
    seconds = dict(run["seconds"])
    refit(fitted, encoded, split, CONFIG, scope)
    after = arrays(fitted.trained)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    assert fitted.trained.run == {**run, "seconds": seconds}


def test_learned_weights_keep_their_meaning(fitted, refitted, encoded, split) -> None:
    """Continued at no rate to speak of, the network says what it said before."""
    plain = training_tables(encoded, with_validation(split))[0].items.categories["kind"].names
    trained = fitted.trained
    assert plain != trained.item_features.categories["kind"].names, "read anew, kinds would swap"
    still = CONFIG.model_copy(update={"refit_rate": 1e-9})
    other = refit(fitted, encoded, split, still).trained
    assert other.model.shape == trained.model.shape
    assert len(trained.model.shape.level_values) == 4, "and a rating would be new"
    warm_I = trained.model.warm_I
    assert not warm_I[0]
    assert other.model.warm_I[0]
    with torch.no_grad():
        tables = [
            own.model.item_tables(own.scorer.evidence.item_inputs) for own in (trained, other)
        ]
    for name in ("identity", "content"):
        one, two = (own.items[name].vector_ID for own in tables)
        rows = warm_I if name == "identity" else slice(None)
        torch.testing.assert_close(two[rows], one[rows], atol=1e-5, rtol=1e-4)


@SCOPES
def test_a_refitted_model_survives_in_a_bundle(scope: str, refitted, split, tmp_path) -> None:
    trained = refitted[scope]
    again = Trained.load(trained.save(tmp_path / "bundle"))
    histories = split.events.users([0, 1, 2])
    np.testing.assert_allclose(
        again.scorer.scores(histories), trained.scorer.scores(histories), atol=1e-5
    )


def test_stages_are_told(fitted, encoded, split) -> None:
    told: list[str] = []
    refit(fitted, encoded, split, CONFIG, "counts", on_stage=told.append)
    assert told == ["counting memories again"]


def test_a_refit_walks_along_friendships_too(encoded, split) -> None:
    social = replace(encoded, friends=np.array([[0, 1], [2, 3]]))
    config = CONFIG.model_copy(update={"memories": {"graph": {}}})
    counts = refit(train(social, split, config), social, split, config, "counts").trained
    assert counts.memories["graph"].state()["friends"].any()


@pytest.mark.parametrize("returning", ["in training", "in validation"])
def test_memories_stay_those_that_gates_were_fitted_on(returning: str) -> None:
    """Whether people return to items is asked once: gates know the evidence by its place."""
    rng, rows = np.random.default_rng(0), []
    for user in range(60):
        items = 1 + rng.permutation(39)[:6]
        if returning == "in training" and user < 5:
            items[3] = items[1]
        elif returning == "in validation" and user < 20:
            items[4] = items[0]
        rows += [(f"u{user}", f"i{item}", step) for step, item in enumerate(items)]
    names = ("user_id", "item_id", "timestamp")
    log = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    encoded = encode(join(EventLog.read(log), name="small"))
    split = leave_one_out(encoded.events)
    # by validation's events the choice would be the other one
    shares = repeat_share(split.train), repeat_share(with_validation(split).train)
    assert (shares[0] > LEAST_REPEATS > shares[1]) == (returning == "in training")
    config = CONFIG.model_copy(update={"memories": {"transitions": {}, "repeat": {}}})
    fitted = train(encoded, split, config)
    again = refit(fitted, encoded, split, config, "counts").trained
    assert list(again.memories) == list(fitted.trained.memories)
    assert ("repeat" in again.memories) == (returning == "in training")
    assert len(again.fusion.strength_K) == len(again.scorer.evidence.names)
