"""Gates: whom they learn from, whom a target competes with, and evidence that is left out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from quintet.data.clean import clean
from quintet.data.encode import encode
from quintet.data.interactions import Interactions
from quintet.data.split import Part, Split, leave_one_out
from quintet.nn import fusion as fusion_module
from quintet.nn.fusion import Fusion, FusionConfig, Rivals, item_buckets, rivals_each
from quintet.serve import evidence as evidence_module
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.fused import FusedScores
from quintet.train import gates
from quintet.train.gates import (
    OTHER_PRIOR_WEIGHT,
    PRIOR_WEIGHTS,
    fitted_fusion,
    validation_targets,
)


@pytest.fixture(scope="module")
def split(market):
    return leave_one_out(encode(clean(market)[0]).events)


@pytest.fixture
def evidence(recommender) -> EvidenceBuilder:
    return recommender.scorer.evidence


def prior(evidence: EvidenceBuilder) -> Fusion:
    return fitted_fusion(evidence, NOBODY, np.zeros(0, np.int64), FusionConfig())


NOBODY = Interactions.build(np.zeros(0), np.zeros(0), n_users=1, n_items=50)

# ---------------------------------------------------------------- whom they learn from


def test_gates_and_calibration_learn_from_different_users(split) -> None:
    for seed in (0, 1):
        fuse, calibrate = validation_targets(split, 0.2, 1500, seed)
        assert len(fuse)
        assert len(calibrate)
        group = split.events.group()
        assert not set(group[fuse]) & set(group[calibrate])
        assert (split.part[fuse] == Part.VALID).all()
        assert (split.part[calibrate] == Part.VALID).all()
        assert len(fuse) + len(calibrate) == (split.part == Part.VALID).sum()
    few, _ = validation_targets(split, 0.2, 5, 0)
    assert len(few) == 5
    assert (np.diff(few) > 0).all()


def test_gates_without_targets_are_plain_weights(recommender) -> None:
    evidence = recommender.scorer.evidence
    events = recommender.trained.events
    fusion = fitted_fusion(evidence, events, np.zeros(0, np.int64), FusionConfig())
    weight = fusion.weights(evidence.context(events.users([0, 1])))
    plain = [PRIOR_WEIGHTS.get(name, OTHER_PRIOR_WEIGHT) for name in evidence.names]
    torch.testing.assert_close(weight, torch.tensor(plain).expand_as(weight))


# ---------------------------------------------------------------- whom a target competes with


@pytest.mark.parametrize("size", [7, 25])
def test_rivals_in_blocks_are_those_of_one_block(
    evidence, split, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = validation_targets(split, 0.2, 1500, 0)
    assert 25 < len(rows) < evidence_module.HISTORIES_PER_BLOCK
    found = []
    for block in (evidence_module.HISTORIES_PER_BLOCK, size):
        monkeypatch.setattr(evidence_module, "HISTORIES_PER_BLOCK", block)
        found.append(gates._rivals(evidence, prior(evidence), split.events, rows))
    one, other = found
    assert (
        one.evidence_BCK.shape
        == other.evidence_BCK.shape
        == (len(rows), one.bucket_BC.shape[1], len(evidence.names))
    )
    torch.testing.assert_close(one.evidence_BCK[:, 0], other.evidence_BCK[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(one.context_BF, other.context_BF)
    torch.testing.assert_close(one.correction_BC, other.correction_BC)
    for column in range(len(evidence.names)):  # near ties may change places among the rivals
        kept = [np.sort(rivals.evidence_BCK[:, 1:, column].numpy()) for rivals in found]
        np.testing.assert_allclose(kept[0], kept[1], atol=1e-4)


def test_repeats_leave_no_fewer_rivals(evidence) -> None:
    # the first has met items 0, 1 and 2 a hundred times, the second items 3 to 7 once; targets: 9
    item = np.array([0, 1, 2] * 100 + [9, 3, 4, 5, 6, 7, 9])
    user = np.repeat([0, 1], [301, 6])
    events = Interactions.build(user, item, n_users=2, n_items=50)
    rivals = gates._rivals(evidence, prior(evidence), events, np.array([300, 306]))
    # everybody competes with as many: all 50 but the target and the 5 that the second knows
    assert rivals.bucket_BC.shape == (2, 1 + 50 - 1 - 5)


def test_the_highest_and_a_sample_that_stands_for_the_rest() -> None:
    score_BI = torch.arange(12.0).repeat(40, 1)
    masked_BI = torch.zeros(40, 12, dtype=torch.bool)
    masked_BI[:, 11] = True
    target_B = torch.full((40,), 10)
    rival_BC, correction_BC = fusion_module._rivals(score_BI, masked_BI, target_B, 10, 0, most=8)
    # the target; 9 and 8, the highest but for the masked one; 6 of the 8 others, each for 8 / 6
    assert rival_BC[:, :3].tolist() == [[10, 9, 8]] * 40
    assert all(len(set(row)) == 6 for row in rival_BC[:, 3:].tolist())
    assert set(rival_BC[:, 3:].flatten().tolist()) == set(range(8))
    corrected = torch.tensor([0.0] * 3 + [math.log(8 / 6)] * 6)
    torch.testing.assert_close(correction_BC, corrected.repeat(40, 1))


def test_who_met_little_has_more_rivals_that_the_sample_stands_for() -> None:
    """The corrected sum estimates that over all rivals of each, however long another's history."""
    score_BI = torch.randn(2, 600, generator=torch.Generator().manual_seed(0))
    masked_BI = torch.zeros(2, 600, dtype=torch.bool)
    masked_BI[0, 1:401] = True
    target_B = torch.zeros(2, dtype=torch.long)
    rival_BC, correction_BC = fusion_module._rivals(score_BI, masked_BI, target_B, 199, 2, most=160)
    sampled_B = (score_BI.gather(1, rival_BC) + correction_BC).logsumexp(1)
    whole_B = score_BI.masked_fill(masked_BI, -torch.inf).logsumexp(1)
    torch.testing.assert_close(sampled_B, whole_B, atol=0.05, rtol=0)


def test_many_targets_compete_with_fewer_rivals_each() -> None:
    assert rivals_each(0) == rivals_each(4000) == 400
    assert rivals_each(8000) == 200
    assert rivals_each(16_000) == rivals_each(10**6) == 100


def test_a_large_catalogue_is_scored_for_fewer_targets() -> None:
    n = 5000
    events = Interactions.build(np.arange(n), np.zeros(n, np.int64), n_users=n, n_items=10**6)
    split = Split("all held out", events, np.full(n, Part.VALID, np.int8))
    few, _ = validation_targets(split, 0.0, 16_000, 0)
    assert len(few) == gates.LEAST_TARGETS


def test_joined_rivals_are_all_of_them(evidence, split) -> None:
    rows, _ = validation_targets(split, 0.2, 1500, 0)
    whole = gates._rivals(evidence, prior(evidence), split.events, rows)
    parts = [
        replace(
            whole,
            evidence_BCK=whole.evidence_BCK[some],
            bucket_BC=whole.bucket_BC[some],
            context_BF=whole.context_BF[some],
        )
        for some in (slice(0, 4), slice(4, None))
    ]
    again = Rivals.joined(parts)
    assert torch.equal(again.evidence_BCK, whole.evidence_BCK)
    assert torch.equal(again.bucket_BC, whole.bucket_BC)


# ---------------------------------------------------------------- evidence left out


def without(evidence: EvidenceBuilder, *names: str) -> EvidenceBuilder:
    return EvidenceBuilder(
        evidence.model,
        evidence.memories,
        evidence.item_inputs,
        evidence.user_inputs,
        evidence.count_I,
        left_out=names,
    )


NAMES = ["identity", "content", "stand_in", "transitions", "ease", "content_ridge", "popularity"]


@pytest.mark.parametrize("left_out", [*NAMES, ("identity", "trend", "content_neighbours")])
def test_left_out_removes_that_evidence_and_no_other(evidence, split, left_out) -> None:
    names = (left_out,) if isinstance(left_out, str) else left_out
    assert set(names) <= set(evidence.names)
    less = without(evidence, *names)
    kept = [index for index, name in enumerate(evidence.names) if name not in names]
    assert less.names == [evidence.names[index] for index in kept]
    histories = split.events.users([0, 1, 2])
    whole_BIK = evidence.evidence(histories)
    assert torch.equal(less.evidence(histories), whole_BIK[:, :, kept])
    # and what serves adds up what is left
    torch.manual_seed(0)
    fusion = Fusion(torch.randn(len(kept)))
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I))
    with torch.no_grad():
        dense = fusion(whole_BIK[:, :, kept], less.context(histories), bucket_I).numpy()
    got = FusedScores(less, fusion, bucket_I)(histories)
    np.testing.assert_allclose(got, dense, rtol=1e-3, atol=1e-3)


def test_nothing_left_out_is_the_whole(evidence) -> None:
    assert without(evidence).names == evidence.names
    assert without(evidence, "no such evidence").names == evidence.names


# ---------------------------------------------------------------- new items


def test_new_items_enter_lists_as_often_as_targets_are_new(evidence, split) -> None:
    rows, _ = validation_targets(split, 0.0, 1500, 0)
    count_I = evidence.count_I.copy()
    count_I[::5] = 0
    own = EvidenceBuilder(
        evidence.model, evidence.memories, evidence.item_inputs, evidence.user_inputs, count_I
    )
    fusion = fitted_fusion(own, split.events, rows, FusionConfig(iterations=5))
    new_I = count_I == 0
    bucket_I = item_buckets(torch.from_numpy(count_I))
    entered = []
    for _, block in own.blocks(split.events.before(rows)):
        with torch.no_grad():
            score_BI = fusion(own.evidence(block), own.context(block), bucket_I)
        score_BI[block.group(), block.item] = -torch.inf
        entered.append(new_I[score_BI.topk(gates.LIST, dim=1).indices.numpy()])
    wanted = gates._share_of_new(new_I, split.events.item[rows])
    assert wanted == pytest.approx(new_I[split.events.item[rows]].mean(), abs=0.05)
    assert np.concatenate(entered).mean() == pytest.approx(wanted, abs=1e-3)


def test_where_nothing_is_new_known_items_pretend(evidence, split) -> None:
    assert (evidence.count_I > 0).all()
    rows, _ = validation_targets(split, 0.2, 1500, 0)
    fusion = fitted_fusion(evidence, split.events, rows, FusionConfig(iterations=5))
    assert fusion.new_K is not None
    assert math.isfinite(float(fusion.new_bias))
    assert float(fusion.new_bias) != 0


# ---------------------------------------------------------------- where many targets are new items


def test_weights_of_new_items_are_those_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    evidence_BCK = torch.randn(600, 8, 2, generator=generator)
    # who is met is drawn by the second kind of evidence, with weight 2
    choice_B = torch.multinomial((2 * evidence_BCK[..., 1]).softmax(1), 1, generator=generator)
    place = choice_B[:, :, None].expand(-1, -1, 2)
    first = evidence_BCK[:, :1].clone()
    evidence_BCK[:, :1] = evidence_BCK.gather(1, place)
    evidence_BCK.scatter_(1, place, first)
    rivals = Rivals(evidence_BCK, torch.zeros(600, 8).long(), torch.ones(600, 3), torch.zeros(8))
    found_K = gates._weights_among(rivals, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(found_K, torch.tensor([0.0, 2.0]), atol=0.25, rtol=0)


def test_new_items_are_weighed_by_targets_where_enough_are_new(
    recommender, split, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recommender.scorer.evidence
    count_I = np.where(np.arange(len(whole.count_I)) % 2 == 0, whole.count_I, 0)
    evidence = EvidenceBuilder(
        whole.model, whole.memories, whole.item_inputs, whole.user_inputs, count_I
    )
    rows, _ = validation_targets(split, 0.2, 1500, 0)
    n_new = int((count_I[split.events.item[rows]] == 0).sum())
    found = {}
    for least in (n_new, n_new + 1):
        monkeypatch.setattr(gates, "NEW_TARGETS", least)
        found[least] = fitted_fusion(evidence, split.events, rows, FusionConfig())
    fixed = [gates.NEW_ITEM_WEIGHTS.get(name, 0.0) for name in evidence.names]
    assert found[n_new + 1].new_K.tolist() == pytest.approx(fixed)
    assert not torch.allclose(found[n_new].new_K, found[n_new + 1].new_K, atol=1e-2)
    # the gates of known items are the same
    torch.testing.assert_close(found[n_new].strength_K, found[n_new + 1].strength_K)


def test_rivals_among_some_items_are_those_alone(evidence, split) -> None:
    rows, _ = validation_targets(split, 0.2, 1500, 0)
    some_I = np.zeros(50, np.bool_)
    some_I[split.events.item[rows]] = True
    some_I[:30] = True
    bucket_I = item_buckets(torch.from_numpy(np.where(some_I, 0, 9)))
    fusion = prior(evidence)
    found = gates._rivals(evidence, fusion, split.events, rows, among_I=some_I)
    histories = split.events.before(rows)
    histories = histories.select(~some_I[histories.item])  # read without those items
    scores = evidence.evidence(histories)
    by_length = np.argsort(histories.lengths, kind="stable")  # the order of blocks
    found_BCK = found.evidence_BCK[torch.from_numpy(np.argsort(by_length, kind="stable"))]
    for row in range(len(rows)):
        own = scores[row][bucket_I == 0]
        for rival in found_BCK[row]:
            assert (own - rival).abs().amax(1).min() < 1e-4


def test_where_few_known_items_are_left_new_ones_take_the_free_places(evidence, split) -> None:
    rows, _ = validation_targets(split, 0.0, 1500, 0)
    count_I = np.zeros_like(evidence.count_I)
    count_I[:4] = evidence.count_I[:4]
    own = EvidenceBuilder(
        evidence.model, evidence.memories, evidence.item_inputs, evidence.user_inputs, count_I
    )
    fusion = fitted_fusion(own, split.events, rows, FusionConfig(iterations=2))
    assert math.isfinite(float(fusion.new_bias))
