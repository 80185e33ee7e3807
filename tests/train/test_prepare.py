"""From arrays to batches: which events supervise, and whose features and labels they get."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nn.worlds import log, losses_at, model_of, prepared, tables

from quintet.data.batch import Windows
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.states import state_before
from quintet.errors import ConfigError
from quintet.nn.model import ModelConfig
from quintet.nn.tasks.interaction import Interaction
from quintet.train.prepare import (
    TrainingTables,
    check_names,
    cooccurrence_vectors,
    recounted,
)

DATA = tables()
EVENTS = DATA.events


def test_supervised_events_get_their_own_rows() -> None:
    model = model_of(DATA)
    events = prepared(DATA, model)
    first, second = EVENTS.offsets[1], EVENTS.offsets[2]
    # a whole history, and one cut in the middle: no real state stands before its first event
    windows = Windows(np.array([first, second + 3]), np.array([first + 5, second + 7]),
                      np.array([1, 2]))  # fmt: skip
    chosen = events.batch(windows)
    batch, positions, features, labels = (
        chosen.batch,
        chosen.positions,
        chosen.features,
        chosen.labels,
    )
    target_E = model.shape.rules.targets(EVENTS)
    rows = [*range(first, first + 5), *range(second + 4, second + 7)]
    rows = [row for row in rows if target_E[row]]
    assert len(rows) > 0
    np.testing.assert_array_equal(chosen.request["scenario"], EVENTS.scenario[rows])
    assert batch.event_BL[positions].tolist() == rows
    assert set(features) == set(labels) == set(model.tasks)
    for name in model.tasks:
        task = model.task(name)
        for key, column in task.features(EVENTS, in_training=True).items():
            expected = torch.from_numpy(column[state_before(EVENTS)[rows]])
            assert torch.equal(features[name][key], expected), key
        for key, column in task.labels(EVENTS, DATA.users).items():
            expected = torch.from_numpy(column[rows])
            torch.testing.assert_close(labels[name][key], expected, equal_nan=True)


def test_tasks_with_nothing_to_learn_are_left_out_of_training() -> None:
    """Nobody returns, no item is of a kind, nothing is rated: all explore, and what was counted
    is the whole answer. A tower of its own would be read at every step for nothing."""
    length, once = 4, np.arange(20)
    events = Interactions.build(np.repeat(np.arange(5), length), once, n_users=5, n_items=20)
    plain = FeatureTable(20, categories={}, numbers={}, texts={}, vectors={})
    nobody = FeatureTable(5, categories={}, numbers={}, texts={}, vectors={})
    alike = tables(events=events, items=plain, users=nobody, behaviours=["view"], scenarios=[""])
    model = model_of(alike, own_towers=["strategy"])
    prepared_events = prepared(alike, model)
    assert set(prepared_events.labels) == {"item", "profile", "ranking"}
    losses = losses_at(model, prepared_events, Windows(*(np.array([n]) for n in (0, 4, 0))))
    torch.stack(list(losses.values())).sum().backward()
    own = model.own_towers["strategy"]
    assert all(weight.grad is None for weight in own.parameters())
    assert model.embedding_ID.grad is not None


def test_the_model_is_a_function_of_the_data_and_the_seed() -> None:
    one, other, third = (model_of(DATA, seed=seed).state_dict() for seed in (0, 0, 1))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert any(not torch.equal(value, third[name]) for name, value in one.items())


def test_warm_items_and_implications_are_set() -> None:
    model = model_of(DATA)
    np.testing.assert_array_equal(model.warm_I.numpy(), EVENTS.item_counts() > 0)
    task = model.task("interaction")
    assert isinstance(task, Interaction)
    assert task.rules.closure.tolist() == [[1, 0], [1, 1]]  # buying implies viewing


def test_items_met_together_start_nearer() -> None:
    rng = np.random.default_rng(0)
    histories = [rng.permutation(6) + 6 * (user % 2) for user in range(40)]
    events = Interactions.build(
        np.repeat(np.arange(40), 6), np.concatenate(histories), n_users=40, n_items=13
    )
    vector = cooccurrence_vectors(events, 2)
    assert vector is not None
    assert vector.shape == (13, 2)
    unit = vector[:12] / np.linalg.norm(vector[:12], axis=1, keepdims=True)
    near = unit @ unit.T
    assert near[:6, :6].min() > 0.9
    assert np.abs(near[:6, 6:]).max() < 0.1
    assert (vector[12] == 0).all(), "an item that was never met"


def test_too_little_to_factorise_is_left_at_random() -> None:
    assert cooccurrence_vectors(log(), 24) is None  # as many dimensions as items
    lonely = Interactions.build(np.arange(9), np.arange(9), n_users=9, n_items=9)
    assert cooccurrence_vectors(lonely, 2) is None


def bare(events: Interactions) -> TrainingTables:
    """A log of which nothing else is known."""
    items, users = FeatureTable(events.n_items), FeatureTable(events.n_users)
    return TrainingTables(events, items, users, behaviours=["view"], scenarios=["shop"])


def test_items_met_for_the_first_time_start_near_others_as_learned() -> None:
    """A factorisation of more events has directions of its own; learned vectors keep theirs."""
    rng = np.random.default_rng(0)
    kind, n_users = np.arange(60) % 4, 300
    wanted = rng.integers(0, 4, n_users)
    item = np.concatenate([rng.choice(np.flatnonzero(kind == one), 6) for one in wanted])
    user = np.repeat(np.arange(n_users), 6)
    late = item < 8  # two of each kind
    settings = {"user": user, "item": item}
    early = {name: column[~late] for name, column in settings.items()}
    before, after = (
        Interactions.build(**own, n_users=n_users, n_items=60) for own in (early, settings)
    )
    learned = model_of(bare(before), towers=("identity",), off=("item",))
    turned, _ = np.linalg.qr(rng.normal(size=(learned.config.width,) * 2))
    with torch.no_grad():  # as training would: the directions mean something else by now
        turned_ID = learned.embedding_ID @ torch.from_numpy(turned.astype(np.float32))
        learned.embedding_ID.copy_(turned_ID)
    again = recounted(learned, bare(after))
    known_ID = learned.embedding_ID.detach()[8:]
    centre_CD = torch.stack([known_ID[kind[8:] == one].mean(0) for one in range(4)])
    nearest = (again.embedding_ID.detach()[:8] @ centre_CD.T).argmax(1)
    assert nearest.tolist() == kind[:8].tolist()
    torch.testing.assert_close(again.embedding_ID.detach()[8:], known_ID)


def test_an_item_without_neighbours_goes_on_standing_in_by_content() -> None:
    """Its first vector would be nothing, and nothing is nearer to nobody."""
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(50), 6), rng.integers(0, 28, 300)
    once = {"user": np.append(user, [50, 51]), "item": np.append(item, [29, 29])}  # met alone
    before = Interactions.build(user, item, n_users=52, n_items=30)
    after = Interactions.build(**once, n_users=52, n_items=30)
    learned = model_of(bare(before), towers=("identity",), off=("item",))
    again = recounted(learned, bare(after))
    assert again.warm_I[:28].tolist() == (before.item_counts()[:28] > 0).tolist()
    assert not again.warm_I[29]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"off": ["stratgy"]}, "unknown task 'stratgy'"),
        ({"tasks": {"rankin": {"weight": 3}}}, "unknown task 'rankin'"),
        ({"modality_settings": {"txt": {}}}, "unknown modality 'txt'"),
        ({"experts": "foo"}, "unknown kind of experts 'foo'"),
        ({"expert_settings": {"foo": 1}}, "foo"),
    ],
)
def test_settings_of_parts_that_do_not_exist_are_refused(settings, said) -> None:
    with pytest.raises(ConfigError, match=said):
        check_names(ModelConfig(**settings))
    check_names(ModelConfig(off=["item"], tasks={"ranking": {}}))
