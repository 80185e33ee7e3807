from __future__ import annotations

import numpy as np
import pytest

from quintet.memory.ratings import ValueScale, liked_matrix

from .logs import log

NAN = float("nan")


def test_values_are_squashed_between_1_and_2() -> None:
    scale = ValueScale.of(log([0, 1, 2], values=[[1, 5, 3]]))
    assert scale.squash(np.array([1.0, 5, 3, 7, -2])).tolist() == [1, 2, 1.5, 2, 1]
    assert scale.spread == pytest.approx(np.std([1, 2, 1.5]))
    assert ValueScale.unpack({"s": scale.pack()}, "s") == scale


def test_values_that_are_missing_or_equal_say_nothing() -> None:
    assert not ValueScale.of(log([0, 1])).informative
    assert not ValueScale.of(log([0, 1], values=[[4, 4]])).informative
    assert ValueScale.of(log([0, 1], values=[[4, 3]])).informative


def test_repeated_values_are_averaged_and_missing_ones_left_out() -> None:
    events = log([0, 1, 0, 2], [1], values=[[1, 5, 3, NAN], [NAN]])
    matrix = ValueScale.of(events).matrix(events)
    assert matrix.toarray().tolist() == [[1.25, 2, 0], [0, 0, 0]]


def test_deviations_are_from_the_mean_of_the_history() -> None:
    events = log([0, 1, 2], [0, 1], values=[[1, 5, NAN], [3, 3]])
    scale = ValueScale.of(events)
    spread = np.std([1, 5, 3, 3])
    expected = [(1 - 3) / spread, (5 - 3) / spread, 0, 0, 0]
    np.testing.assert_allclose(scale.deviations(events), expected, rtol=1e-6)
    assert ValueScale().deviations(events).tolist() == [0] * 5


def test_liked_items_weigh_more_and_keep_their_entry_at_0() -> None:
    events = log([0, 1, 2], values=[[1, 5, NAN]])
    scale = ValueScale.of(events)
    liked = liked_matrix(events, scale, liking=1.0)  # deviations -1, +1 and none
    assert liked.toarray().tolist() == [[0, 2, 1]]
    assert liked.nnz == 3
