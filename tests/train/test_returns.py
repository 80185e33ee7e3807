"""Where items of the history stand: chosen by what lists are measured by, from few choices."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from quintet.data.dataset import join
from quintet.data.encode import encode
from quintet.data.frames import EventLog
from quintet.data.split import Part, leave_one_out
from quintet.nn.fusion import FusionConfig
from quintet.serve.scorer import Scorer
from quintet.train import returns
from quintet.train.gates import fitted_fusion
from quintet.train.pipeline import TrainConfig, train
from quintet.train.returns import CHOICES, settle_returns

from .test_repeats import of_habit


@pytest.fixture(scope="module")
def world():
    encoded = encode(join(EventLog.read(of_habit())))
    split = leave_one_out(encoded.events)
    settings = {"loop": {"epochs": 1}, "model": {"width": 16}}
    trained = train(encoded, split, TrainConfig.model_validate(settings)).trained
    rows = np.flatnonzero((split.part == Part.VALID) | (split.part == Part.TEST))
    return trained, split.events, rows


def gains(trained, fusion, events, rows):
    """[N] NDCG@10 of each target, by the lists themselves."""
    scorer = Scorer(trained.scorer.evidence, fusion, trained.calibration)
    found = scorer.rank(events.before(rows), 10, mask_history=False).items_BK
    hit = found == events.item[rows][:, None]
    return np.where(hit.any(1), 1 / np.log2(hit.argmax(1) + 2), 0)


def moved(fusion, factor: float, shift: float):
    made = copy.deepcopy(fusion)
    with torch.no_grad():
        made.strength_K[made.towers_K > 0] *= factor
        made.again_bias += shift
    return made


def test_the_first_choice_moves_nothing() -> None:
    assert CHOICES[0] == (1.0, 0.0)
    assert len(set(CHOICES)) == len(CHOICES)


def test_every_choice_gains_what_its_lists_do(world) -> None:
    trained, events, rows = world
    got = returns._gains(trained.scorer.evidence, trained.fusion, events, rows)
    for choice in (0, 3, 7, len(CHOICES) - 1):
        fusion = moved(trained.fusion, *CHOICES[choice])
        expected = gains(trained, fusion, events, rows)
        np.testing.assert_allclose(got[:, choice], expected, atol=1e-6)


def test_a_level_that_is_far_too_low_is_raised(world) -> None:
    trained, events, rows = world
    fusion = moved(trained.fusion, 1.0, -6.0)
    low = gains(trained, fusion, events, rows).mean()
    before = float(fusion.again_bias.detach())
    settle_returns(trained.scorer.evidence, fusion, events, rows)
    assert float(fusion.again_bias.detach()) > before
    assert gains(trained, fusion, events, rows).mean() > low


def test_of_equals_the_one_that_moves_least_is_taken(world, monkeypatch) -> None:
    trained, events, rows = world
    one = np.linspace(0, 1, len(rows))
    monkeypatch.setattr(returns, "_gains", lambda *_: np.tile(one[:, None], (1, len(CHOICES))))
    fusion = copy.deepcopy(trained.fusion)
    settle_returns(trained.scorer.evidence, fusion, events, rows)
    torch.testing.assert_close(fusion.state_dict(), trained.fusion.state_dict())


def test_where_histories_are_left_out_nothing_is_settled(recommender) -> None:
    trained = recommender.trained
    rows = np.flatnonzero(trained.events.positions() > 2)[:50]
    fusion = fitted_fusion(trained.scorer.evidence, trained.events, rows, FusionConfig())
    assert fusion.towers_K is None
    before = copy.deepcopy(fusion.state_dict())
    settle_returns(trained.scorer.evidence, fusion, trained.events, rows)
    torch.testing.assert_close(fusion.state_dict(), before)


def test_new_items_displace_nobody_while_it_is_settled(world, monkeypatch) -> None:
    trained, events, rows = world
    evidence = copy.copy(trained.scorer.evidence)
    evidence.count_I = evidence.count_I.copy()
    rare = int(evidence.count_I.argmin())
    evidence.count_I[rare] = 0
    kept = rows[events.item[rows] != rare]
    got = returns._gains(evidence, trained.fusion, events, kept)
    assert np.isfinite(got).all()
    before = returns._gains(trained.scorer.evidence, trained.fusion, events, kept)
    assert (got >= before - 1e-6).all(), "one rival less"
