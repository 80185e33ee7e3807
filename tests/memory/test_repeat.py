from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.memory.repeat import Repeat

from .logs import log, logs

RAW = {"smoothing": 0.0, "item_smoothing": 1e9}  # rates as counted, items all alike


def fitted(events, **settings) -> Repeat:
    return Repeat(Repeat.Config(**settings)).fit(events)


def test_rates_by_recency_rank() -> None:
    memory = fitted(log([0, 1, 0], [0, 1, 1]), counts=1, **RAW)
    # rank 0 is asked before every event but the first, 4 times, and is right once (1, then 1);
    # rank 1 twice (before the third events), right once (0 after 0, 1)
    scores = memory.score(log([0, 1], n_items=3))
    np.testing.assert_allclose(scores, [[1 / 2, 1 / 4, 0]], rtol=1e-6)


def test_rates_by_number_of_occurrences() -> None:
    memory = fitted(log([0, 0, 0, 1], [0, 1]), counts=2, ranks=1, **RAW)
    # met once: asked before the second events of both, right once; met twice or more: asked
    # twice, right once
    assert memory.score(log([0], [0, 0], [0, 0, 0], n_items=2))[:, 0] == pytest.approx([1 / 2] * 3)
    memory = fitted(log([0, 0, 0, 0], [0, 1]), counts=2, ranks=1, **RAW)
    scores = memory.score(log([0], [0, 0], [0, 0, 0], n_items=2))
    assert scores[:, 0] == pytest.approx([1 / 2, 2 / 2, 2 / 2])


def test_an_items_own_rate_by_hand() -> None:
    events = log([0, 0], [0, 0], [1, 2], [1, 2], n_items=4)
    memory = fitted(events, smoothing=0.0, item_smoothing=1.0)
    # rank 0, met once: 2 of 4; item 0 came back 2 times where 1 was expected, item 1 never
    scores = memory.score(log([0], [1], [3], n_items=4))
    assert scores[0, 0] == pytest.approx(1 / 2 * (2 + 1) / (1 + 1))
    assert scores[1, 1] == pytest.approx(1 / 2 * (0 + 1) / (1 + 1))
    assert scores[2, 3] == pytest.approx(1 / 2)  # never met in training


def test_rare_cells_shrink_to_their_rank_and_that_to_all() -> None:
    memory = fitted(log([0, 0, 0, 1, 0]), ranks=2, counts=2, smoothing=2.0, item_smoothing=1e9)
    # asked: before each event, rank 0; before the last, rank 1. Right: 0, 0, no, and rank 1's 0
    overall = 3 / 5
    rank_0 = (2 + 2 * overall) / (4 + 2)  # asked of 0, 0 twice, and 1
    once = (1 + 2 * rank_0) / (2 + 2)  # of 0 (right) and of 1 (wrong)
    assert memory.score(log([1], n_items=2))[0, 1] == pytest.approx(once)


def test_only_items_of_the_history_are_scored() -> None:
    memory = fitted(log([0, 1, 0, 2, 2]))
    assert np.flatnonzero(memory.score(log([2, 0], n_items=3))[0]).tolist() == [0, 2]


def test_nobody_who_comes_back_makes_no_evidence() -> None:
    events = log([0, 1, 2], [2, 1])
    assert not fitted(events).score(events).any()


def test_parts_are_shared_among_the_occurrences() -> None:
    memory = fitted(log([0, 1, 0], [0, 0]))
    history = log([0, 1, 0], n_items=2)
    parts = memory.explain(history, 0)
    assert parts[0] == parts[2] > 0 == parts[1]
    assert parts.sum() == pytest.approx(memory.score(history)[0, 0])


def reference(events, queries, c: Repeat.Config) -> np.ndarray:
    """Question by question."""
    asked, hit, of_item = {}, {}, []
    sequences = [events.users([user]).item.tolist() for user in range(events.n_users)]
    for items in sequences:
        for t in range(1, len(items)):
            for item, cell in cells(items[:t], c).items():
                asked[cell] = asked.get(cell, 0) + 1
                hit[cell] = hit.get(cell, 0) + (items[t] == item)
                of_item.append((item, cell, items[t] == item))

    def total(counts, keep) -> float:
        return sum(n for cell, n in counts.items() if keep(cell))

    def shrunk(hits, questions, prior) -> float:
        n = questions + c.smoothing
        return (hits + c.smoothing * prior) / n if n else prior

    overall = total(hit, lambda _: True) / max(total(asked, lambda _: True), 1)

    def rate(cell) -> float:
        prior = overall
        if cell != "old":
            same = lambda other: other != "old" and other[0] == cell[0]  # noqa: E731
            prior = shrunk(total(hit, same), total(asked, same), overall)
        return shrunk(hit.get(cell, 0), asked.get(cell, 0), prior)

    scores = np.zeros((queries.n_users, events.n_items))
    for row in range(queries.n_users):
        for item, cell in cells(queries.users([row]).item.tolist(), c).items():
            expected = sum(rate(of) for other, of, _ in of_item if other == item)
            returns = sum(came for other, _, came in of_item if other == item)
            ratio = (returns + c.item_smoothing) / (expected + c.item_smoothing)
            scores[row, item] = rate(cell) * ratio
    return scores


def cells(items: list[int], c: Repeat.Config) -> dict[int, object]:
    newest_first = list(dict.fromkeys(items[::-1]))
    return {
        item: "old"
        if items[::-1].index(item) >= c.window
        else (min(rank, c.ranks - 1), min(items.count(item), c.counts))
        for rank, item in enumerate(newest_first)
    }


@settings(max_examples=120, deadline=None)
@given(
    logs(n_items=4),
    logs(n_items=4),
    st.fixed_dictionaries(
        {
            "ranks": st.integers(1, 4),
            "counts": st.integers(1, 3),
            "window": st.integers(1, 6),
            "smoothing": st.sampled_from([0.0, 2.0]),
            "item_smoothing": st.sampled_from([0.5, 5.0]),
        }
    ),
)
def test_counting_by_distance_equals_question_by_question(events, queries, chosen) -> None:
    memory = fitted(events, **chosen)
    expected = reference(events, queries, memory.config)
    np.testing.assert_allclose(memory.score(queries), expected, rtol=1e-5, atol=1e-6)
