from __future__ import annotations

import numpy as np
import pytest
from memory.logs import log

from quintet.data.interactions import Interactions
from quintet.data.states import next_window_shares, state_before
from quintet.errors import DataError, EmptyDataError
from quintet.metrics import multiclass_log_loss
from quintet.train.profile_baselines import (
    LabelTransitions,
    cross_entropy,
    frequency_distribution,
    next_label_target,
    one_hot_labels,
    prior_shares,
    tune_frequency,
    tune_last_label,
)

#: states: user 0 before, after 1, after 2 events; user 1 before, after 1
EVENTS = log([0, 1], [1], n_items=2)
LABELS = np.array([0, 1, 1])


def sticky(seed: int = 0, n_users: int = 80, length: int = 30, stay: float = 0.8):
    """Labels that mostly repeat the one before, of three; as events."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, (n_users, length))
    for step in range(1, length):
        keep = rng.random(n_users) < stay
        label[keep, step] = label[keep, step - 1]
    flat = label.ravel()
    user = np.repeat(np.arange(n_users), length)
    return Interactions.build(user, flat, n_users=n_users, n_items=3), flat


class TestFrequency:
    def test_by_hand(self) -> None:
        prior = np.array([0.25, 0.75])
        got = frequency_distribution(EVENTS, one_hot_labels(LABELS, 2), 0.5, 2.0, prior)
        expected = [
            [0.25, 0.75],
            [(1 + 0.5) / 3, 1.5 / 3],
            [(0.5 + 0.5) / 3.5, (1 + 1.5) / 3.5],
            [0.25, 0.75],
            [0.5 / 3, (1 + 1.5) / 3],
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_events_without_a_category_add_nothing(self) -> None:
        share = np.array([[0, 0], [0.5, 0.5], [0, 0]], np.float32)
        got = frequency_distribution(EVENTS, share, 1.0, 1.0, np.array([1.0, 0.0]))
        np.testing.assert_allclose(got[:3], [[1, 0], [1, 0], [0.75, 0.25]], rtol=1e-6)

    def test_the_prior_is_never_zero(self) -> None:
        share = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]], np.float32)
        np.testing.assert_allclose(prior_shares(share), [3 / 6, 2 / 6, 1 / 6], rtol=1e-6)

    def test_shares_of_a_window_are_predicted_best_by_recent_shares(self) -> None:
        events, label = sticky()
        share = one_hot_labels(label, 3)
        target = next_window_shares(events, share, 3)
        every = np.ones(len(target), bool)
        tuned = tune_frequency(events, share, target, every, prior_shares(share), 12, 0)
        assert tuned.values["decay"] < 0.95  # labels are sticky, not fixed
        chosen = target.sum(axis=1) > 0
        prior = np.tile(prior_shares(share), (len(target), 1))
        assert tuned.log_loss < 0.9 * cross_entropy(target, prior)[chosen].mean()
        predicted = frequency_distribution(events, share, **tuned.values, prior_C=prior[0])
        again = cross_entropy(target, predicted)[chosen].mean()
        assert again == pytest.approx(tuned.log_loss)

    def test_only_the_given_states_are_tuned_on(self) -> None:
        share = one_hot_labels(LABELS, 2)
        target = next_label_target(EVENTS, LABELS, 2)
        first = np.array([True, False, False, False, False])
        tuned = tune_frequency(EVENTS, share, target, first, np.array([0.25, 0.75]), 2, 0)
        assert tuned.log_loss == pytest.approx(-np.log(0.25))


class TestTargets:
    def test_the_next_label_stands_before_its_event(self) -> None:
        target = next_label_target(EVENTS, LABELS, 2)
        np.testing.assert_array_equal(target, [[1, 0], [0, 1], [0, 0], [0, 1], [0, 0]])

    def test_cross_entropy_by_hand(self) -> None:
        target = np.array([[0.5, 0.5], [1, 0], [0, 1]])
        predicted = np.array([[0.25, 0.75], [0.8, 0.2], [1, 0]])
        expected = [-0.5 * np.log(0.25) - 0.5 * np.log(0.75), -np.log(0.8), -np.log(1e-12)]
        np.testing.assert_allclose(cross_entropy(target, predicted), expected)

    def test_of_labels_it_is_the_log_loss(self) -> None:
        events, label = sticky(n_users=5)
        target = next_label_target(events, label, 3)
        share = one_hot_labels(label, 3)
        predicted = frequency_distribution(events, share, 0.9, 2.0, prior_shares(share))
        rows = state_before(events)
        mean = cross_entropy(target, predicted)[rows].mean()
        assert mean == pytest.approx(multiclass_log_loss(label, predicted[rows]), rel=1e-6)


class TestLastLabel:
    def test_by_hand(self) -> None:
        events = log([0, 0, 0, 0], [0, 0], n_items=1)
        label = np.array([0, 1, 1, 0, 1, 1])
        # shares with one added: (2 + 1) / 8, (4 + 1) / 8; pairs 01 11 10 | 11
        model = LabelTransitions.fit(events, label, 2, smoothing=2.0)
        prior = np.array([3 / 8, 5 / 8])
        np.testing.assert_allclose(model.first_C, prior, rtol=1e-6)
        expected = [[0.75 / 3, (1 + 1.25) / 3], [(1 + 0.75) / 5, (2 + 1.25) / 5]]
        np.testing.assert_allclose(model.table_CC, expected, rtol=1e-6)

    def test_each_state_is_answered_by_its_last_label(self) -> None:
        model = LabelTransitions(
            np.array([0.5, 0.5], np.float32), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
        )
        got = model.distribution(EVENTS, LABELS)
        expected = [[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.2, 0.8]]
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_sticky_labels_are_learned(self) -> None:
        train, train_label = sticky(seed=1)
        events, label = sticky(seed=2)
        every = np.ones(len(events) + events.n_users, bool)
        tuned = tune_last_label(train, train_label, events, label, every, 3, 4, 0)
        stay = 0.8 + 0.2 / 3
        entropy = -stay * np.log(stay) - (1 - stay) * np.log((1 - stay) / 2)
        # a thirtieth of the states come first, where nothing is known
        assert tuned.log_loss == pytest.approx((29 * entropy + np.log(3)) / 30, abs=0.03)


class TestRefusals:
    def test_no_state_no_tuning(self) -> None:
        target = next_label_target(EVENTS, LABELS, 2)
        last = np.array([False, False, True, False, True])
        with pytest.raises(EmptyDataError, match="followed by an event"):
            tune_frequency(EVENTS, one_hot_labels(LABELS, 2), target, last, np.ones(2) / 2, 1, 0)

    def test_masks_must_fit_the_states(self) -> None:
        target = next_label_target(EVENTS, LABELS, 2)
        with pytest.raises(DataError, match="have 5 states"):
            tune_frequency(
                EVENTS, one_hot_labels(LABELS, 2), target, np.ones(3, bool), np.ones(2) / 2, 1, 0
            )
