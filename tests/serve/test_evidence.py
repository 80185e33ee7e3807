"""Evidence on scales of its own: closed-form moments, compressed memories, one row a history."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from nn.worlds import N_ITEMS, SMALL, log, model_of, tables

from quintet.data.interactions import Interactions
from quintet.data.states import Moments
from quintet.memory.base import MEMORIES
from quintet.nn.fusion import N_CONTEXT
from quintet.serve import evidence as module
from quintet.serve.evidence import EvidenceBuilder, Standardised, compressed, standardised
from quintet.train.prepare import TrainingTables, prepared_inputs

DATA = tables()
EVENTS = DATA.events
WARM = EVENTS.item_counts() > 0


def builder_of(data: TrainingTables = DATA, **settings) -> EvidenceBuilder:
    torch.manual_seed(0)
    network = model_of(data, **settings)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    memories = {
        name: MEMORIES.get(name)().fit(data.events, data.items) for name in ("transitions",)
    }
    cpu = torch.device("cpu")
    return EvidenceBuilder(
        network,
        memories,
        prepared_inputs(network.item_encoder, data.items, cpu),
        prepared_inputs(network.user_encoder, data.users, cpu),
        data.events.item_counts().astype(np.float32),
    )


@pytest.fixture(scope="module")
def builder() -> EvidenceBuilder:
    return builder_of()


# ---------------------------------------------------------------- standardising


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_closed_form_moments_equal_the_explicit_ones(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vector_ID = torch.randn(50, 6, generator=generator) * 3 + 1
    bias_I, state_BD = torch.randn(50, generator=generator), torch.randn(9, 6, generator=generator)
    warm_I = torch.rand(50, generator=generator) < 0.7
    raw_BI = state_BD @ vector_ID.T + bias_I
    warm_BJ = raw_BI[:, warm_I]
    mean_B1, std_B1 = warm_BJ.mean(1, keepdim=True), warm_BJ.std(1, correction=0, keepdim=True)
    got = Standardised.of(vector_ID, bias_I, warm_I).scores(state_BD)
    torch.testing.assert_close(got, (raw_BI - mean_B1) / std_B1, rtol=1e-3, atol=1e-4)


def test_vectors_that_nothing_trained_say_nothing_where_asked() -> None:
    vector_ID, bias_I, state_BD = torch.randn(20, 4), torch.randn(20), torch.randn(5, 4)
    bias_I[15:] -= 9.0  # training pushed them down as rivals of everything
    warm_I = torch.arange(20) < 15
    told = Standardised.of(vector_ID, bias_I, warm_I).scores(state_BD)
    got = Standardised.of(vector_ID, bias_I, warm_I, only_warm=True).scores(state_BD)
    torch.testing.assert_close(got[:, :15], told[:, :15])
    torch.testing.assert_close(got[:, 15:], torch.zeros(5, 5), atol=1e-5, rtol=0)
    assert (told[:, 15:] < -1).all()


def test_standardised_scores_keep_the_order_of_cold_items_too() -> None:
    vector_ID, state_BD = torch.randn(20, 4), torch.randn(3, 4)
    warm_I = torch.arange(20) < 15
    got = Standardised.of(vector_ID, torch.zeros(20), warm_I).scores(state_BD)
    assert torch.equal(got.argsort(1), (state_BD @ vector_ID.T).argsort(1))


def test_items_all_alike_give_no_evidence() -> None:
    side = Standardised.of(torch.ones(5, 3), torch.zeros(5), torch.ones(5, dtype=torch.bool))
    torch.testing.assert_close(side.scores(torch.tensor([[1.0, 2, 3]])), torch.zeros(1, 5))


def test_a_catalogue_without_a_warm_item_is_measured_whole() -> None:
    side = Standardised.of(torch.randn(9, 3), torch.zeros(9), torch.zeros(9, dtype=torch.bool))
    score_BI = side.scores(torch.randn(2, 3))
    torch.testing.assert_close(score_BI.mean(1), torch.zeros(2), atol=1e-4, rtol=0)


# ---------------------------------------------------------------- memories


def test_compressed_by_hand() -> None:
    got = compressed(np.array([[0, 5, 10], [0, 0, 0], [-3, 0, 2]], np.float32))
    half = math.log(1 + 100 * 0.5) / math.log(101)
    np.testing.assert_allclose(got, [[0, half, 1], [0, 0, 0], [0, 0, 1]], rtol=1e-6)
    assert got.dtype == np.float32


def test_full_evidence_counts_as_1_in_every_row_by_hand() -> None:
    got = compressed(np.array([[0, 5, 10], [0, 0, 0], [1, 0, 20]], np.float32), 10.0)
    percents = np.array([[0, 50, 100], [0, 0, 0], [10, 0, 200]])
    np.testing.assert_allclose(got, np.log1p(percents) / math.log(101), rtol=1e-6)


def test_compressed_is_free_of_scale_and_keeps_the_order() -> None:
    score_BI = np.random.default_rng(0).random((4, 30)).astype(np.float32)
    np.testing.assert_allclose(compressed(score_BI), compressed(1000 * score_BI), rtol=1e-4)
    np.testing.assert_array_equal(compressed(score_BI).argsort(1), score_BI.argsort(1))


# ---------------------------------------------------------------- the whole


def test_every_kind_of_evidence_has_a_name(builder: EvidenceBuilder) -> None:
    expected = ["identity", "content", "stand_in", "transitions", "rating", "popularity"]
    assert builder.names == expected
    evidence_BIK = builder.evidence(EVENTS)
    assert evidence_BIK.shape == (EVENTS.n_users, N_ITEMS, len(expected))
    assert evidence_BIK.isfinite().all()


def test_towers_have_mean_0_and_variance_1_over_the_warm_items(builder: EvidenceBuilder) -> None:
    evidence_BIK = builder.evidence(EVENTS)[:, torch.from_numpy(WARM)]
    for name in ("identity", "content", "stand_in", "rating"):
        own_BI = evidence_BIK[..., builder.names.index(name)]
        torch.testing.assert_close(own_BI.mean(1), torch.zeros(len(own_BI)), atol=1e-3, rtol=0)
        spread = own_BI.std(1, correction=0)
        torch.testing.assert_close(spread, torch.ones(len(own_BI)), atol=1e-2, rtol=0)


def test_popularity_is_the_standardised_log_count_and_0_where_cold(
    builder: EvidenceBuilder,
) -> None:
    own_I = builder.evidence(EVENTS)[0, :, -1].numpy()
    log_count = np.log1p(EVENTS.item_counts()[WARM])
    expected = (log_count - log_count.mean()) / log_count.std()
    np.testing.assert_allclose(own_I[WARM], expected, rtol=1e-4, atol=1e-5)
    assert (own_I[~WARM] == 0).all()


def test_alone_equals_in_a_batch(builder: EvidenceBuilder) -> None:
    together = builder.evidence(EVENTS)
    for user in range(EVENTS.n_users):
        alone = builder.evidence(EVENTS.users([user]))
        torch.testing.assert_close(alone[0], together[user], rtol=1e-4, atol=1e-4)


def test_blocks_do_not_show(builder: EvidenceBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, context = builder.evidence(EVENTS), builder.context(EVENTS)
    monkeypatch.setattr(module, "HISTORIES_PER_BLOCK", 3)
    torch.testing.assert_close(builder.evidence(EVENTS), whole, rtol=1e-4, atol=1e-4)
    rows = []
    for index, block in builder.blocks(EVENTS):
        torch.testing.assert_close(builder.evidence(block), whole[index], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(builder.context(block), context[index])
        rows += index.tolist()
    assert sorted(rows) == list(range(EVENTS.n_users))


def test_the_moment_before_an_event_is_the_newest_of_the_shorter_log(
    builder: EvidenceBuilder,
) -> None:
    # a log that is not the training events themselves, whose own counts would be left out
    events, rows = replace(EVENTS), np.arange(0, len(EVENTS), 7)
    within = builder.states(Moments.before(events, rows))
    alone = builder.states(Moments.newest(EVENTS.before(rows)))
    torch.testing.assert_close(within.shared_BD, alone.shared_BD, rtol=0, atol=1e-5)
    for name, hidden in within.hidden.items():
        torch.testing.assert_close(hidden, alone.hidden[name], rtol=0, atol=1e-5)
    for task in ("profile", "strategy", "interaction"):
        one = builder.task_features(task, Moments.before(events, rows))
        other = builder.task_features(task, Moments.newest(events.before(rows)))
        for name, feature in one.items():
            torch.testing.assert_close(feature, other[name], rtol=1e-4, atol=1e-5)


def test_context_by_hand(builder: EvidenceBuilder) -> None:
    items = EVENTS.item[EVENTS.user == 1]
    history = EVENTS.users([0, 1])  # the first has met nothing
    nobody, somebody = builder.context(history).tolist()
    assert len(nobody) == N_CONTEXT
    assert nobody == [1, -1.5, 0]
    taste = builder.popularity_I[items[-10:]].mean()
    assert somebody == pytest.approx([1, math.log1p(15) / 2 - 1.5, taste], abs=1e-5)


def test_no_histories_give_no_evidence(builder: EvidenceBuilder) -> None:
    assert builder.evidence(EVENTS.users([])).shape == (0, N_ITEMS, len(builder.names))


def test_a_model_that_has_seen_no_event_still_answers() -> None:
    nothing = Interactions.build(
        np.zeros(0, np.int64), np.zeros(0, np.int64), n_users=EVENTS.n_users, n_items=N_ITEMS
    )
    builder = builder_of(tables(events=nothing))
    assert builder.evidence(EVENTS).isfinite().all()


def test_unknown_users_are_served(builder: EvidenceBuilder) -> None:
    rows = np.full(len(EVENTS), -1, np.int64)
    strangers = replace(EVENTS, user=rows, owner=np.full(EVENTS.n_users, -1, np.int64))
    got, known = builder.evidence(strangers), builder.evidence(EVENTS)
    assert got.isfinite().all()
    assert not torch.allclose(got[..., 0], known[..., 0]), "attributes say something"


def test_one_tower_without_content() -> None:
    data = tables(items=replace(DATA.items, categories={}, numbers={}, texts={}, vectors={}))
    builder = builder_of(data, off=["interaction"])
    assert builder.names == ["identity", "transitions", "popularity"]
    assert builder.evidence(log()).shape == (EVENTS.n_users, N_ITEMS, 3)
    assert builder.states(Moments.newest(EVENTS)).shared_BD.shape[1] == SMALL["width"]


def test_dense_scores_are_standardised_over_warm_items_alone() -> None:
    score = np.array([[1.0, 3.0, 100.0], [2.0, 2.0, 2.0]], np.float32)
    warm = np.array([True, True, False])
    # warm mean 2 and deviation 1; a flat row says nothing
    expected = [[-1.0, 1.0, 98.0], [0.0, 0.0, 0.0]]
    assert standardised(score, warm).tolist() == expected
    # without any warm item all of them set the scale
    assert standardised(score[:1], np.zeros(3, np.bool_)).mean() == pytest.approx(0.0, abs=1e-6)


def test_known_items_all_alike_say_nothing_of_others() -> None:
    """A single other vector would stand any number of deviations of rounding away."""
    vector_ID = torch.full((6, 3), 0.1234567).add(torch.randn(6, 3) * 1e-7)
    vector_ID[5] = 7.0
    warm_I = torch.tensor([True] * 5 + [False])
    side = Standardised.of(vector_ID, torch.zeros(6), warm_I)
    torch.testing.assert_close(side.scores(torch.ones(1, 3)), torch.zeros(1, 6))
