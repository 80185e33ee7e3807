"""The whole network: cold items, unknown users, empty histories, permuted ids, gradients."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from quintet.data.batch import SequenceBatch, Windows, collate, newest_windows
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.states import Moments
from quintet.errors import ConfigError
from quintet.nn.backbones.base import BACKBONES
from quintet.nn.model import ItemTables, QuintetModel, States
from quintet.train.prepare import TrainingTables, cooccurrence_vectors

from .test_conformance_modalities import rows_of
from .worlds import N_ITEMS, SMALL, losses_at, model_of, prepared, tables

DATA = tables()
EVENTS = DATA.events
COLD = np.flatnonzero(EVENTS.item_counts() == 0)
EVENTS_LENGTH = torch.from_numpy(EVENTS.lengths)
BACKBONE_SETTINGS = {name: {"dropout": 0.0} for name in BACKBONES.names()}
BACKBONE_SETTINGS["transformer"] = SMALL["backbone_settings"]
without = importlib.util.find_spec("transformers") is None
marks = {"hugging_face": pytest.mark.skipif(without, reason="needs quintet[hf]")}
every_backbone = pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=marks.get(name, ())) for name in BACKBONES.names()]
)


@pytest.fixture(scope="module")
def model() -> QuintetModel:
    return perturbed(model_of(DATA))


def perturbed(network: QuintetModel) -> QuintetModel:
    """Every weight off its start, so that layers that begin at zero show what they do."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def encoded(network: QuintetModel, data: TrainingTables = DATA) -> ItemTables:
    encoder = network.item_encoder
    return network.item_tables(encoder.prepare(data.items) if encoder else None)


def newest(network: QuintetModel, events: Interactions) -> SequenceBatch:
    return collate(events, newest_windows(Moments.newest(events), network.config.longest))


def states_of(network: QuintetModel, events: Interactions, data: TrainingTables = DATA) -> States:
    users = network.user_encoder.prepare(data.users) if network.user_encoder else None
    batch = newest(network, events)
    with torch.no_grad():
        return network.eval().states(batch, encoded(network, data), users)


def scores_of(network: QuintetModel, states: States, item_tables: ItemTables) -> dict[str, Tensor]:
    return {
        name: states.hidden[name] @ items.vector_ID.T + items.bias_I
        for name, items in item_tables.items.items()
    }


# ---------------------------------------------------------------- items


def test_cold_items_stand_in_by_content_in_service_alone(model: QuintetModel) -> None:
    assert len(COLD) > 0
    trained = encoded(model.train()).items["identity"]
    torch.testing.assert_close(trained.vector_ID, model.embedding_ID)
    torch.testing.assert_close(trained.bias_I, model.bias_I)
    served = encoded(model.eval())
    assert served.stand_in is not None
    identity = served.items["identity"]
    warm = np.setdiff1d(np.arange(N_ITEMS), COLD)
    torch.testing.assert_close(identity.vector_ID[COLD], served.stand_in.vector_ID[COLD])
    torch.testing.assert_close(identity.bias_I[COLD], served.stand_in.bias_I[COLD])
    torch.testing.assert_close(identity.vector_ID[warm], model.embedding_ID[warm])
    torch.testing.assert_close(identity.bias_I[warm], model.bias_I[warm])


def test_the_content_tower_knows_no_identity(model: QuintetModel) -> None:
    other = perturbed(model_of(DATA))
    with torch.no_grad():
        other.embedding_ID.normal_()
    one, two = (encoded(network.eval()).items["content"] for network in (model, other))
    torch.testing.assert_close(one.vector_ID, two.vector_ID)
    assert not torch.allclose(model.embedding_ID, other.embedding_ID)


def test_without_content_there_is_one_tower() -> None:
    data = tables(items=FeatureTable(N_ITEMS))
    network = model_of(data)
    assert network.tower_names == ["identity"]
    served = encoded(network.eval(), data)
    assert served.stand_in is None
    torch.testing.assert_close(served.items["identity"].vector_ID, network.embedding_ID)
    assert states_of(network, EVENTS, data).shared_BD.isfinite().all()


def test_content_alone_serves_too() -> None:
    network = model_of(DATA, towers=["content"])
    states = states_of(network, EVENTS)
    assert set(states.hidden) == {"content"}
    assert states.shared_BD.isfinite().all()


# ---------------------------------------------------------------- histories


@every_backbone
def test_alone_equals_in_a_batch(backbone: str) -> None:
    settings = BACKBONE_SETTINGS.get(backbone, {})
    network = perturbed(model_of(DATA, backbone=backbone, backbone_settings=settings))
    together = states_of(network, EVENTS)
    for user in range(EVENTS.n_users):
        alone = states_of(network, EVENTS.users([user]))
        for name, hidden in alone.hidden.items():
            torch.testing.assert_close(hidden[0], together.hidden[name][user], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.shared_BD[0], together.shared_BD[user], rtol=0, atol=1e-5)
        for name in network.tasks:
            torch.testing.assert_close(
                alone.of(name)[0], together.of(name)[user], rtol=0, atol=1e-5
            )


def test_an_empty_history_has_a_state(model: QuintetModel) -> None:
    assert EVENTS.lengths[0] == 0
    states = states_of(model, EVENTS.users([0]))
    for hidden in [*states.hidden.values(), states.shared_BD]:
        assert hidden.shape == (1, SMALL["width"])
        assert hidden.isfinite().all()


def test_unknown_users_get_finite_states_without_attributes(model: QuintetModel) -> None:
    batch = newest(model, EVENTS)
    unknown = replace(batch, user_B=torch.full_like(batch.user_B, -1))
    assert model.user_encoder is not None
    inputs = model.user_encoder.prepare(DATA.users)
    vector_BD = model.user_vectors(inputs, unknown.user_B)
    assert vector_BD is not None
    assert (vector_BD == 0).all()
    known_BD = model.user_vectors(inputs, torch.arange(EVENTS.n_users))
    assert known_BD is not None
    assert known_BD.abs().sum(1).min() > 0
    states = model.eval().states(unknown, encoded(model), inputs)
    assert states.shared_BD.isfinite().all()
    nobody = model.states(unknown, encoded(model), None)
    torch.testing.assert_close(states.shared_BD, nobody.shared_BD)


def test_events_before_the_window_do_not_count(model: QuintetModel) -> None:
    longest = model.config.longest
    user = int(np.argmax(EVENTS.lengths))
    history = EVENTS.users([user])
    assert len(history) > longest
    changed = history.item.copy()
    changed[0] = (changed[0] + 1) % (N_ITEMS - 3)
    one, other = (
        states_of(model, events).shared_BD for events in (history, replace(history, item=changed))
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_log_whose_values_are_all_alike_is_read() -> None:
    data = tables(events=replace(EVENTS, value=np.ones_like(EVENTS.value)))
    network = model_of(data)
    assert network.shape.n_levels == 0
    assert states_of(network, data.events, data).shared_BD.isfinite().all()


# ---------------------------------------------------------------- ids carry no meaning


def test_permuted_item_rows_change_no_score(model: QuintetModel) -> None:
    order = np.random.default_rng(0).permutation(N_ITEMS)  # new row r holds old row order[r]
    place = np.argsort(order)
    events = replace(EVENTS, item=place[EVENTS.item])
    data = tables(events=events, items=rows_of(DATA.items, order.tolist()))
    other = model_of(data)
    weights = model.state_dict()
    by_item = [name for name in weights if name.endswith(("_I", "_ID", "_IC"))]
    assert {"embedding_ID", "bias_I", "warm_I"} < set(by_item)
    other.load_state_dict(weights | {name: weights[name][order] for name in by_item})
    with torch.no_grad():
        one = scores_of(model, states_of(model, EVENTS), encoded(model.eval()))
        two = scores_of(other, states_of(other, events, data), encoded(other.eval(), data))
    for name, score_BI in one.items():
        torch.testing.assert_close(two[name][:, place], score_BI, rtol=0, atol=1e-4)


def test_permuted_item_rows_change_no_first_vector() -> None:
    order = np.random.default_rng(0).permutation(N_ITEMS)
    place = np.argsort(order)
    one = cooccurrence_vectors(EVENTS, 4)
    other = cooccurrence_vectors(replace(EVENTS, item=place[EVENTS.item]), 4)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one @ one.T, (other @ other.T)[place][:, place], atol=1e-5)


# ---------------------------------------------------------------- training


def all_windows(network: QuintetModel) -> Windows:
    longest = network.config.longest + 1
    return Windows(
        EVENTS.offsets[:-1], np.minimum(EVENTS.offsets[1:], EVENTS.offsets[:-1] + longest),
        np.arange(EVENTS.n_users),
    ).take(EVENTS.lengths > 0)  # fmt: skip


def test_a_task_that_rests_costs_and_moves_nothing() -> None:
    resting = {name: {"share": 1e-9} for name in ("profile", "strategy")}
    network = perturbed(model_of(DATA, tasks=resting)).train()
    losses = losses_at(network, prepared(DATA, network), all_windows(network))
    assert set(losses) == {"interaction", "item", "ranking"}
    network.balance(losses).backward()
    own = ("tasks.profile.", "tasks.strategy.", "own_towers.strategy.")
    for name, parameter in network.named_parameters():
        assert not name.startswith(own) or parameter.grad is None, name


@every_backbone
def test_gradients_reach_every_parameter(backbone: str) -> None:
    settings = BACKBONE_SETTINGS.get(backbone, {})
    network = perturbed(model_of(DATA, backbone=backbone, backbone_settings=settings)).train()
    torch.manual_seed(0)
    losses = losses_at(network, prepared(DATA, network), all_windows(network))
    assert set(losses) == {"interaction", "item", "profile", "ranking", "strategy"}
    network.balance(losses).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    for name, parameter in network.named_parameters():
        if name.endswith("position_LD"):  # each position that service reads was trained
            assert (parameter.grad.abs().sum(1) > 0).all(), name


@every_backbone
def test_a_state_never_sees_the_event_that_it_predicts(backbone: str) -> None:
    """Changing the newest event leaves the states before it as they were."""
    settings = BACKBONE_SETTINGS.get(backbone, {})
    network = perturbed(model_of(DATA, backbone=backbone, backbone_settings=settings)).eval()
    batch = newest(network, EVENTS.users([1]))
    item_BL, time_BL = batch.item_BL.clone(), batch.time_BL.clone()
    item_BL[0, -1] = (item_BL[0, -1] + 1) % 20
    time_BL[0, -1] += 10**12
    seen_N = torch.arange(batch.item_BL.shape[1] + 1)
    with torch.no_grad():
        rest = (encoded(network), None, torch.zeros_like(seen_N), seen_N)
        before, after = (
            network.hidden(b, *rest) | network.hidden(b, *rest, own=network.tasks)
            for b in (batch, replace(batch, item_BL=item_BL, time_BL=time_BL))
        )
    assert {"identity", "content", "strategy"} == set(before)
    for name in before:
        torch.testing.assert_close(before[name][:-1], after[name][:-1], rtol=0, atol=0)
        assert not torch.allclose(before[name][-1], after[name][-1])


def test_one_that_looks_both_ways_trains_on_some_states_of_a_window() -> None:
    few = {"states_a_window": 3, "dropout": 0.0}
    network = model_of(DATA, backbone="bidirectional", backbone_settings=few)
    windows = Windows(EVENTS.offsets[:-1], EVENTS.offsets[1:], np.arange(EVENTS.n_users))
    torch.manual_seed(0)
    events = prepared(DATA, network)
    drawn = [events.batch(windows) for _ in range(40)]
    for chosen in drawn:
        assert chosen.positions.sum(1).tolist() == chosen.batch.length_B.clamp(max=3).tolist()
        assert len(next(iter(chosen.features["profile"].values()))) == chosen.positions.sum()
    counts = torch.stack([chosen.positions for chosen in drawn]).sum(0)
    real = torch.arange(counts.shape[1]) < EVENTS_LENGTH[:, None]
    supervises = real & torch.from_numpy(events.target_E)[drawn[0].batch.event_BL]
    assert supervises.sum() > len(supervises)
    assert (counts[supervises] > 0).all()
    assert (counts[~supervises] == 0).all()


def test_a_task_with_a_tower_of_its_own_leaves_the_others_towers_alone() -> None:
    windows = Windows(EVENTS.offsets[1:2], EVENTS.offsets[1:2] + 8, np.array([1]))
    for own, moved in ((["strategy"], False), ([], True)):
        network = perturbed(model_of(DATA, own_towers=own)).train()
        torch.manual_seed(0)
        losses_at(network, prepared(DATA, network), windows)["strategy"].backward()
        for part in (network.towers, network.shared):
            gradients = [one.grad for one in part.parameters()]
            assert any(one is not None and bool(one.any()) for one in gradients) == moved
        assert set(network.own_towers) == set(own)


def test_a_tower_of_its_own_is_asked_only_where_its_task_is(model: QuintetModel) -> None:
    batch = newest(model, EVENTS)
    asked = (None, ["strategy"], ["interaction"], [])
    states = [model.eval().states(batch, encoded(model), None, asked=one) for one in asked]
    for one in states[1:]:
        torch.testing.assert_close(states[0].hidden, one.hidden)
    torch.testing.assert_close(states[0].of("strategy"), states[1].of("strategy"))
    torch.testing.assert_close(states[0].of("interaction"), states[2].of("interaction"))
    assert ["strategy" in one.by_task for one in states] == [True, True, False, False]
    assert not model_of(DATA, off=["strategy"]).own_towers
    with pytest.raises(ConfigError, match="unknown task 'poetry'"):
        model_of(DATA, own_towers=["poetry"])


def test_switched_off_tasks_are_not_built() -> None:
    network = model_of(DATA, off=["profile", "item"])
    assert set(network.tasks) == {"interaction", "ranking", "strategy"}
    windows = Windows(EVENTS.offsets[1:2], EVENTS.offsets[1:2] + 8, np.array([1]))
    assert set(
        losses_at(network.train(), prepared(DATA, network), windows.take(np.array([0])))
    ) == set(network.tasks)
