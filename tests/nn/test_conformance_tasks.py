"""What every task owes the model: labels, features of the past, and a loss that can be learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.schema import DataSchema
from quintet.data.states import state_before
from quintet.data.strategies import STRATEGIES
from quintet.nn.items import ItemVectors
from quintet.nn.model import QuintetModel
from quintet.nn.tasks.base import TASKS, Step, Task, Tensors, as_tensors

from .worlds import SMALL, model_of, tables

DATA = tables()
EVENTS = DATA.events
D = SMALL["width"]
every = pytest.mark.parametrize("name", TASKS.names())


@pytest.fixture(scope="module")
def model() -> QuintetModel:
    return model_of(DATA)


def random_step(seed: int = 0, rows: np.ndarray | None = None) -> Step:
    """States and vectors drawn at random, as leaves of the graph, at the given events."""
    generator = torch.Generator().manual_seed(seed)
    rows = np.arange(len(EVENTS)) if rows is None else rows

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    n, n_items = len(rows), EVENTS.n_items
    return Step(
        hidden={"identity": leaf(n, D), "content": leaf(n, D)},
        shared_ND=leaf(n, D),
        items={k: ItemVectors(leaf(n_items, D), leaf(n_items)) for k in ("identity", "content")},
        stand_in=ItemVectors(leaf(n_items, D), leaf(n_items)),
        warm_I=torch.from_numpy(EVENTS.item_counts() > 0),
        target_N=torch.from_numpy(EVENTS.item[rows]),
        history_N=torch.from_numpy(EVENTS.group()[rows]),
        attributes_hidden_N=torch.from_numpy(EVENTS.group()[rows] % 2 == 0),
        user_N=torch.from_numpy(EVENTS.user[rows]),
        views=(leaf(6, D), leaf(6, D)),
        low_precision=False,
    )


def leaves(step: Step) -> list[Tensor]:
    assert step.stand_in is not None
    assert step.views is not None
    items = [t for v in step.items.values() for t in (v.vector_ID, v.bias_I)]
    content = [step.stand_in.vector_ID, step.stand_in.bias_I]
    return [*step.hidden.values(), step.shared_ND, *items, *content, *step.views]


def rows_of(task: Task, rows: np.ndarray | None = None) -> tuple[Tensors, Tensors]:
    """The task's features and labels at the given events."""
    rows = np.arange(len(EVENTS)) if rows is None else rows
    features = as_tensors(task.features(EVENTS), state_before(EVENTS)[rows])
    return features, as_tensors(task.labels(EVENTS, DATA.users), rows)


def loss_of(task: Task, step: Step, features: Tensors, labels: Tensors) -> Tensor:
    torch.manual_seed(0)  # dropout and samples
    return task.loss(step, features, labels)


def test_the_five_tasks_are_found() -> None:
    assert TASKS.names() == ["interaction", "item", "profile", "ranking", "strategy"]


@every
def test_labels_and_features_have_a_row_each(name: str, model: QuintetModel) -> None:
    task = model.task(name)
    for label in task.labels(EVENTS, DATA.users).values():
        assert len(label) == len(EVENTS)
    for key, feature in task.features(EVENTS).items():
        assert len(feature) == len(EVENTS) + EVENTS.n_users
        assert feature.dtype == np.float32, key
        assert np.isfinite(feature).all(), key


@every
def test_what_the_data_set_tells_is_learned(name: str, model: QuintetModel) -> None:
    task = model.task(name)
    assert task.learns(task.labels(EVENTS, DATA.users))


def test_labels_are_those_of_the_data_set(model: QuintetModel) -> None:
    n = len(EVENTS)
    interaction = model.task("interaction").labels(EVENTS, DATA.users)
    assert interaction["reached"].shape == (n, 2)
    assert interaction["item_log"].shape == (n, 5 + 2)
    # a look that is rated later has that rating's level
    later = model.shape.rules.later_value(EVENTS, 30)
    np.testing.assert_array_equal(interaction["level"] < 0, np.isnan(later))
    assert (np.isnan(EVENTS.value) >= np.isnan(later)).all()
    assert set(interaction["level"]) == {-1, 0, 1, 2, 3, 4}
    strategy = model.task("strategy").labels(EVENTS, DATA.users)["strategy"]
    opens = model.shape.rules.opens(EVENTS)
    np.testing.assert_array_equal(strategy >= 0, opens)  # what follows has no strategy
    assert set(strategy) <= set(range(-1, len(STRATEGIES)))
    profile = model.task("profile").labels(EVENTS, DATA.users)
    assert profile["next_share"].shape == (n, 4)
    region = DATA.users.categories["home.region"]
    expected = [
        region.codes[region.offsets[u]] if region.offsets[u] < region.offsets[u + 1] else -1
        for u in EVENTS.user
    ]
    assert profile["column_home.region"].tolist() == expected


def test_the_next_window_begins_with_the_event_itself(model: QuintetModel) -> None:
    next_share = model.task("profile").labels(EVENTS, DATA.users)["next_share"]
    newest = EVENTS.offsets[1:][EVENTS.lengths > 0] - 1
    kind = DATA.items.categories[model.shape.interest].counts()[EVENTS.item[newest]]
    expected = kind / np.maximum(kind.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(next_share[newest], expected)


@every
def test_features_depend_on_the_past_only(name: str, model: QuintetModel) -> None:
    task, rng = model.task(name), np.random.default_rng(0)
    cut = 6
    later = EVENTS.positions() >= cut

    def otherwise(values: np.ndarray, low: int, high: int) -> np.ndarray:
        return np.where(later, rng.integers(low, high, len(values)), values).astype(values.dtype)

    changed = replace(
        EVENTS,
        item=otherwise(EVENTS.item, 0, 20),
        behaviour=otherwise(EVENTS.behaviour, 0, 2),
        value=otherwise(EVENTS.value, 1, 6),
    )
    one, other = task.features(replace(EVENTS)), task.features(changed)
    known = np.concatenate([np.arange(n + 1) <= cut for n in EVENTS.lengths])
    assert not known.all()
    for key in one:
        np.testing.assert_array_equal(one[key][known], other[key][known], err_msg=key)
        assert (one[key][~known] != other[key][~known]).any() or key == "length"


@every
def test_features_of_a_history_do_not_depend_on_its_company(name: str, model: QuintetModel) -> None:
    task, states = model.task(name), np.cumsum(EVENTS.lengths + 1)
    whole = task.features(replace(EVENTS))
    for user in (0, 1, 7):
        alone = task.features(EVENTS.users([user]))
        rows = slice(states[user] - EVENTS.lengths[user] - 1, states[user])
        for key in whole:
            np.testing.assert_allclose(alone[key], whole[key][rows], rtol=1e-5, atol=1e-6)


@every
def test_loss_is_a_finite_scalar_with_a_gradient(name: str) -> None:
    task, step = model_of(DATA).task(name).train(), random_step()
    with torch.no_grad():
        for parameter in task.parameters():  # some layers start at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    loss = loss_of(task, step, *rows_of(task))
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss > 0
    loss.backward()
    gradients = [leaf.grad for leaf in leaves(step) if leaf.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)
    for parameter_name, parameter in task.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@every
def test_one_position_is_enough(name: str, model: QuintetModel) -> None:
    rows, task = np.array([3]), model.task(name).train()
    assert loss_of(task, random_step(rows=rows), *rows_of(task, rows)).isfinite()


@every
def test_states_that_know_the_answer_have_a_smaller_loss(name: str) -> None:
    task, step = model_of(DATA).task(name).eval(), random_step()
    free = [*leaves(step), *task.parameters()]
    features, labels = rows_of(task)
    optimizer = torch.optim.Adam(free, lr=0.03)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = loss_of(task, step, features, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_profile_reads_attributes_only_where_they_were_withheld(model: QuintetModel) -> None:
    task, step = model.task("profile"), random_step()
    features, labels = rows_of(task)
    changed = dict(labels)
    shown = ~step.attributes_hidden_N
    changed["column_home.region"] = torch.where(shown, 0, labels["column_home.region"])
    changed["number_age"] = torch.where(shown, 9.0, labels["number_age"])
    torch.testing.assert_close(
        task.eval().loss(step, features, changed), task.loss(step, features, labels)
    )


def test_the_items_histogram_leaves_the_event_itself_out(model: QuintetModel) -> None:
    item_log = model.task("interaction").labels(EVENTS, DATA.users)["item_log"]
    counts = EVENTS.item_counts()
    # an item met once: without that event nothing is known, and the prior stands
    once = np.flatnonzero(counts[EVENTS.item] == 1)
    if len(once) == 0:
        lonely = replace(EVENTS, item=np.where(np.arange(len(EVENTS)) == 5, 23, EVENTS.item))
        other = model_of(tables(events=lonely)).task("interaction")
        item_log, once = other.labels(lonely, DATA.users)["item_log"], np.array([5])
    np.testing.assert_allclose(item_log[once], 0, atol=1e-5)


def test_a_log_without_ratings_behaviours_and_attributes_still_trains() -> None:
    bare = Interactions.build(
        EVENTS.user, EVENTS.item, n_users=EVENTS.n_users, n_items=EVENTS.n_items
    )
    data = tables(
        events=bare,
        items=FeatureTable(EVENTS.n_items),
        users=FeatureTable(EVENTS.n_users),
        behaviours=["view"],
        scenarios=["all"],
        schema=DataSchema(),
    )
    network = model_of(data)
    step = replace(random_step(), stand_in=None)
    for name in TASKS.names():
        task = network.task(name)
        features = as_tensors(task.features(bare), state_before(bare))
        labels = as_tensors(task.labels(bare, data.users), np.arange(len(bare)))
        assert task.loss(step, features, labels).isfinite(), name


def test_the_ratings_evidence_is_the_expected_levels_order(model: QuintetModel) -> None:
    task = model.task("interaction").eval()
    torch.manual_seed(1)
    state_1D, item_ID = torch.randn(1, D), torch.randn(EVENTS.n_items, D)
    features = {"user_log": torch.zeros(1, 7), "context": torch.zeros(1, 4)}
    n = EVENTS.n_items
    pairs = task.pair_scores(
        state_1D.expand(n, -1),
        {key: value.expand(n, -1) for key, value in features.items()},
        torch.arange(n),
        item_ID,
    )
    vector_IR, bias_I = task.evidence(item_ID)
    evidence_I = vector_IR @ task.state_side(state_1D)[0] + bias_I
    # Σ_k slope_k · logit_k, less what depends on the user alone
    centred = pairs.level_logit_NK @ task.slope_K
    torch.testing.assert_close(evidence_I - evidence_I.mean(), centred - centred.mean())
    assert task.expected_value(pairs).min() >= 1
    assert task.expected_value(pairs).max() <= 5
