from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.memory import transitions
from quintet.memory.last_item import LastItem
from quintet.memory.transitions import Transitions, count_pairs

from .logs import log, logs

PLAIN = {"reverse": 0.0, "norm_row": 0.0, "norm_col": 0.0}


def fitted(events, **settings) -> Transitions:
    return Transitions(Transitions.Config(**settings)).fit(events)


def test_pairs_lose_weight_with_every_step_apart() -> None:
    counts = count_pairs(log([0, 1, 2], [0, 1]), window=2, decay=0.5)
    assert counts.toarray().tolist() == [
        [0, 1 + 1, 0.5],  # 0 then 1 by both people; 0 then 2, two steps apart
        [0, 0, 1],
        [0, 0, 0],
    ]


def test_pairs_end_at_the_window_and_at_the_history() -> None:
    counts = count_pairs(log([0, 1, 2], [3]), window=1, decay=0.5)
    assert counts.toarray().sum() == 2  # 0-1 and 1-2, not 2-3


def test_a_history_sums_its_items_rows_decayed_by_age() -> None:
    memory = fitted(log([0, 1, 2]), window=2, decay=0.5, user_decay=0.5, last=2, **PLAIN)
    scores = memory.score(log([2, 0, 1], n_items=3))
    # 2 is too old; 0 is one step back: 0.5 * (0, 1, 0.5); 1 is the last: (0, 0, 1)
    assert scores.tolist() == [[0, 0.5, 0.25 + 1]]


def test_pairs_read_backwards_count_by_their_weight() -> None:
    memory = fitted(log([0, 1]), reverse=0.25, norm_row=0.0, norm_col=0.0)
    assert memory.score(log([1], [0], n_items=2)).tolist() == [[0.25, 0], [0, 1]]


def test_counts_are_divided_by_powers_of_their_row_and_column_sums() -> None:
    events = log([0, 1], [0, 1], [0, 2], [3, 2], [3, 2], [3, 2])
    memory = fitted(events, reverse=0.0, norm_row=0.5, norm_col=1.0)
    scores = memory.score(log([0], n_items=4))
    # row 0 sums to 3, column 1 to 2, column 2 to 4
    np.testing.assert_allclose(scores, [[0, 2 / 3**0.5 / 2, 1 / 3**0.5 / 4, 0]], rtol=1e-6)


def test_the_final_logarithm_forgets_the_scale_and_keeps_the_order() -> None:
    events = log([0, 1], [0, 1], [0, 2])
    plain = fitted(events, **PLAIN).score(log([0], n_items=3))
    logged = fitted(events, log_scale=9.0, **PLAIN).score(log([0], n_items=3))
    assert plain.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(logged, [[0, np.log(1 + 9 * 2 / 2), np.log(1 + 9 * 1 / 2)]])


def test_parts_add_up_to_the_score_before_the_logarithm() -> None:
    events = log([0, 1, 2], [0, 2, 1])
    parts = fitted(events, log_scale=9.0).explain(log([0, 1], n_items=3), 2)
    plain = fitted(events).score(log([0, 1], n_items=3))
    assert parts.sum() == pytest.approx(plain[0, 2])
    assert parts[1] > parts[0] > 0


def reference(events, history, c: Transitions.Config) -> np.ndarray:
    counts = np.zeros((events.n_items, events.n_items))
    for user in range(events.n_users):
        items = events.item[events.offsets[user] : events.offsets[user + 1]]
        for i in range(len(items)):
            for j in range(i + 1, min(len(items), i + 1 + c.window)):
                counts[items[i], items[j]] += c.decay ** (j - i - 1)
                counts[items[j], items[i]] += c.reverse * c.decay ** (j - i - 1)
    row, column = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True)
    divisor = (
        np.where(row > 0, row, 1) ** c.norm_row * np.where(column > 0, column, 1) ** c.norm_col
    )
    normed = counts / divisor
    recent = history.item[::-1][: c.last]
    return sum((c.user_decay**k * normed[i] for k, i in enumerate(recent)), np.zeros(len(counts)))


@settings(max_examples=60, deadline=None)
@given(
    logs(),
    st.integers(1, 4),
    st.floats(0.1, 1),
    # a weight near the smallest float squares to zero in the reference's divisor
    st.just(0.0) | st.floats(1e-3, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 4),
)
def test_counting_all_at_once_equals_pair_by_pair(
    events, window, decay, reverse, norm_row, norm_col, last
) -> None:
    memory = fitted(
        events,
        window=window,
        decay=decay,
        reverse=reverse,
        norm_row=norm_row,
        norm_col=norm_col,
        last=last,
    )
    scores = memory.score(events)
    for user in range(events.n_users):
        expected = reference(events, events.users([user]), memory.config)
        np.testing.assert_allclose(scores[user], expected, rtol=1e-5, atol=1e-6)


def test_adding_up_in_several_goes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    events = log([0, 1, 2, 3, 1], [2, 0, 3])
    at_once = count_pairs(events, window=4, decay=0.5).toarray()
    monkeypatch.setattr(transitions, "PENDING", 1)
    assert count_pairs(events, window=4, decay=0.5).toarray().tolist() == at_once.tolist()


def test_last_item_gives_the_share_of_its_successors() -> None:
    events = log([0, 1], [0, 1], [0, 2], [1, 2])
    scores = LastItem().fit(events).score(log([1, 0], [2], n_items=3))
    np.testing.assert_allclose(scores, [[0, 2 / 3, 1 / 3], [0, 0, 0]], rtol=1e-6)
    damped = LastItem(LastItem.Config(smoothing=1.0)).fit(events)
    np.testing.assert_allclose(damped.score(log([1], n_items=3)), [[0, 0, 1 / (1 + 1)]])
    assert damped.explain(log([1, 0], n_items=3), 1).tolist() == [0, 0.5]
