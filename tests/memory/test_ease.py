from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from quintet.errors import ConfigError
from quintet.memory.ease import Ease

from .logs import log, logs


def fitted(events, **settings) -> Ease:
    return Ease(Ease.Config(**settings)).fit(events)


def test_two_items_by_hand() -> None:
    memory = fitted(log([0, 1], [0, 1], [0]), l2=1.0)
    # gram + l2 = [[4, 2], [2, 3]], its inverse [[3, -2], [-2, 4]] / 8; B01 = 2/4, B10 = 2/3
    scores = memory.score(log([0], [1], [0, 1], n_items=2))
    np.testing.assert_allclose(scores, [[0, 2 / 4], [2 / 3, 0], [2 / 3, 2 / 4]], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logs())
def test_weights_are_the_ridge_regression_of_each_item_on_the_others(events) -> None:
    seen = np.zeros((events.n_users, events.n_items))
    seen[events.group(), events.item] = 1
    scores = fitted(events, l2=2.0).score(events)
    for i in range(events.n_items):
        others = np.delete(seen, i, axis=1)
        gram = others.T @ others + 2.0 * np.eye(events.n_items - 1)
        weights = np.linalg.solve(gram, others.T @ seen[:, i])
        np.testing.assert_allclose(scores[:, i], others @ weights, rtol=1e-4, atol=1e-6)


def test_recent_items_weigh_more_and_repeats_count_once() -> None:
    events = log([0, 2], [1, 2], [0], [1])
    one = fitted(events, l2=1.0).score(log([0], [1], n_items=3))[:, 2]
    halved = fitted(events, l2=1.0, half_life=1.0).score(log([0, 1], [0, 0], n_items=3))[:, 2]
    np.testing.assert_allclose(halved, [0.5 * one[0] + one[1], one[0]], rtol=1e-6)


def test_a_catalogue_too_large_to_invert_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"4 items .* max_items=3"):
        fitted(log([0, 3]), max_items=3)
