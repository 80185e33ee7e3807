"""Conversion by hand: two sets of behaviours, one item that converts more than its clicks say."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.data.interactions import Interactions
from quintet.memory.conversion import Conversion

CLICK, SAVE, BUY = 0, 1, 2


def log(*histories: list[tuple[int, int]], n_items: int = 4) -> Interactions:
    """One user a list of (item, behaviour)."""
    user = np.repeat(np.arange(len(histories)), [len(own) for own in histories])
    flat = np.array([event for own in histories for event in own], np.int64).reshape(-1, 2)
    return Interactions.build(
        user, flat[:, 0], n_users=len(histories), n_items=n_items, behaviour=flat[:, 1]
    )


TRAIN = log(
    [(0, CLICK), (0, BUY), (1, CLICK), (2, CLICK), (2, SAVE), (2, BUY)],
    [(0, CLICK), (1, CLICK), (2, CLICK), (2, SAVE), (3, BUY)],
)


def scores(histories: Interactions, **settings: float) -> np.ndarray:
    settings = {"smoothing": 0.0, "item_smoothing": 1e9, **settings}
    return Conversion(Conversion.Config(**settings)).fit(TRAIN).score(histories)


def test_a_set_of_behaviours_has_the_rate_of_its_pairs() -> None:
    # clicked alone: 1 of 4 pairs bought; clicked and saved: 1 of 2; the plain buy tells nothing
    found = scores(log([(1, CLICK), (2, CLICK), (3, SAVE), (2, SAVE)]))
    # saved alone was never met: 2 of all 6 pairs
    np.testing.assert_allclose(found, [[0, 1 / 4, 1 / 2, 2 / 6]], rtol=1e-6)


def test_what_was_reached_is_not_told_again() -> None:
    assert not scores(log([(0, CLICK), (0, BUY), (3, BUY)])).any()


def test_an_item_that_converts_more_than_expected_counts_more() -> None:
    found = scores(log([(0, CLICK), (1, CLICK)]), item_smoothing=1.0)
    # item 0: 1 bought, 2/4 expected; item 1: none bought, 2/4 expected
    ratio = (1 + 1) / (0.5 + 1), (0 + 1) / (0.5 + 1)
    np.testing.assert_allclose(found[0, :2], [ratio[0] / 4, ratio[1] / 4], rtol=1e-6)


def test_smoothing_draws_a_set_to_the_share_of_all() -> None:
    found = scores(log([(1, CLICK)]), smoothing=2.0)
    assert found[0, 1] == pytest.approx((1 + 2 * 2 / 6) / (4 + 2))


def test_the_target_can_be_another_behaviour() -> None:
    memory = Conversion(Conversion.Config(target=SAVE, smoothing=0.0, item_smoothing=1e9))
    found = memory.fit(TRAIN).score(log([(1, CLICK), (3, BUY)]))
    # clicked and not bought: (0, second), (1, both), (2, second): 1 of 4 saved; bought alone: 0
    np.testing.assert_allclose(found, [[0, 1 / 4, 0, 0]], rtol=1e-6)


def test_the_parts_of_an_explanation_add_up() -> None:
    memory = Conversion().fit(TRAIN)
    history = log([(2, CLICK), (1, CLICK), (2, SAVE)])
    parts = memory.explain(history, 2)
    assert parts.tolist() == pytest.approx([parts[0], 0, parts[0]])
    assert parts.sum() == pytest.approx(memory.score(history)[0, 2])
