"""The other tasks' figures: by hand, and equal to what the recommender answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.train.evaluate_tasks import (
    cross_entropy,
    interest_loss,
    interest_targets,
    like_figures,
    strategy_labels,
    strategy_loss,
)


@pytest.fixture(scope="module")
def scorer(recommender):
    return recommender.scorer


@pytest.fixture(scope="module")
def events(recommender):
    return recommender.trained.events


@pytest.fixture(scope="module")
def newest(events) -> np.ndarray:
    """Rows of everybody's last event."""
    return events.offsets[1:][events.lengths > 0] - 1


def test_cross_entropy_by_hand() -> None:
    predicted = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]], np.float32)
    target = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], np.float32)
    got = cross_entropy(predicted, target, np.array([4, 2]))
    # the second is certain of something else: a large, finite loss
    np.testing.assert_allclose(got.loss_N, [1.5 * math.log(2), -math.log(1e-7)], rtol=1e-5)
    assert got.user_N.tolist() == [4, 2]


def test_likes_are_asked_of_rated_events_only(scorer, events) -> None:
    rows = np.arange(len(events))
    figures = like_figures(scorer, events, rows, like_at=4)
    rated = rows[~np.isnan(events.value)]
    assert 0 < len(rated) < len(rows)
    np.testing.assert_array_equal(figures.value_N, events.value[rated])
    np.testing.assert_array_equal(figures.user_N, events.user[rated])
    np.testing.assert_array_equal(figures.like_N, figures.value_N >= 4)
    assert ((figures.probability_N >= 0) & (figures.probability_N <= 1 + 1e-6)).all()
    everything = like_figures(scorer, events, rows, like_at=1).probability_N
    np.testing.assert_allclose(everything, 1, rtol=1e-5)


def test_likes_are_what_the_recommender_would_have_answered(recommender, scorer, events) -> None:
    rated = np.flatnonzero(~np.isnan(events.value) & (events.positions() > 2))[:4]
    figures = like_figures(scorer, events, rated, like_at=4)
    for index, row in enumerate(rated):
        past = recommender.trained.items.ids(events.before([row]).item)
        answer = scorer.predict(Moments.newest(events.before([row])), events.item[[row]])
        assert len(past) == events.positions()[row]
        expected = answer.level_NK[0, 3] + answer.level_NK[0, 4]
        assert figures.probability_N[index] == pytest.approx(expected, abs=1e-5)
        assert figures.expected_N[index] == pytest.approx(answer.value_N[0], abs=1e-4)


def test_interests_are_the_shares_of_the_next_window_by_hand(recommender, scorer, events) -> None:
    window = scorer.evidence.model.task("profile").config.window
    shape = scorer.evidence.model.shape
    counts = recommender.trained.item_features.categories[shape.interest].counts()
    rows, target = interest_targets(scorer, events, events.offsets[:-1][:5])
    for row, share in zip(rows, target, strict=True):
        stop = events.offsets[events.group()[row] + 1]
        items = events.item[row : min(row + window, stop)]
        each = counts[items] / np.maximum(counts[items].sum(1, keepdims=True), 1)
        np.testing.assert_allclose(share, each.sum(0) / each.sum(), atol=1e-5)


def test_rows_without_interests_to_come_are_left_out(recommender, scorer, events) -> None:
    interest = scorer.evidence.model.shape.interest
    column = recommender.trained.item_features.categories[interest]
    none = np.diff(column.offsets) == 0
    rows, target = interest_targets(scorer, events, np.arange(len(events)))
    np.testing.assert_allclose(target.sum(1), 1, rtol=1e-5)
    last = events.offsets[1:][events.lengths > 0] - 1
    expected = np.isin(last, rows)
    np.testing.assert_array_equal(expected, ~none[events.item[last]])


def test_the_loss_of_interests_is_that_of_the_served_answer(scorer, events, newest) -> None:
    rows, target = interest_targets(scorer, events, newest)
    got = interest_loss(scorer, events, rows, target)
    served = scorer.interests(Moments.newest(events.before(rows)))
    expected = -(target * np.log(np.maximum(served, 1e-7))).sum(1)
    np.testing.assert_allclose(got.loss_N, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(got.user_N, events.user[rows])
    entropy = -(target * np.log(np.maximum(target, 1e-7))).sum(1)
    assert (got.loss_N >= entropy - 1e-4).all()  # nothing beats the truth


def test_the_loss_of_the_strategy_is_that_of_the_served_answer(scorer, events, newest) -> None:
    label = strategy_labels(scorer, events)
    assert label.shape == (len(events),)
    assert set(label.tolist()) <= set(range(-1, len(STRATEGIES)))
    newest = newest[label[newest] >= 0]  # what only follows on an episode shows none
    assert len(newest) > 10
    got = strategy_loss(scorer, events, newest, label[newest])
    served = scorer.strategy(Moments.newest(events.before(newest)))
    expected = -np.log(served[np.arange(len(newest)), label[newest]])
    np.testing.assert_allclose(got.loss_N, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(got.user_N, events.user[newest])
