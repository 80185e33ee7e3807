"""Order: that of the scores, masks, and one answer alone or in a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from quintet.data.states import Moments
from quintet.serve import evidence as module
from quintet.serve.scorer import side_by_side


@pytest.fixture(scope="module")
def scorer(recommender):
    return recommender.scorer


@pytest.fixture(scope="module")
def histories(recommender):
    return recommender.trained.events.users(np.arange(20))


def test_rank_is_the_order_of_the_scores(scorer, histories) -> None:
    ranked, scores = scorer.rank(histories, 7, mask_history=False), scorer.scores(histories)
    np.testing.assert_array_equal(ranked.scores_BK, -np.sort(-scores, axis=1)[:, :7])
    chosen = np.take_along_axis(scores, ranked.items_BK, axis=1)
    np.testing.assert_array_equal(chosen, ranked.scores_BK)


def test_items_of_the_history_are_left_out(scorer, histories) -> None:
    n_items = histories.n_items
    ranked = scorer.rank(histories, n_items)
    for row, items in enumerate(ranked.items_BK):
        met = set(histories.item[histories.group() == row].tolist())
        found = items[items >= 0].tolist()
        assert sorted(found) == sorted(set(range(n_items)) - met)
        assert (items[len(found) :] == -1).all()
        assert np.isneginf(ranked.scores_BK[row, len(found) :]).all()
    everything = scorer.rank(histories, n_items, mask_history=False).items_BK
    assert (np.sort(everything, axis=1) == np.arange(n_items)).all()


def test_only_allowed_items_are_ranked_and_keep_their_scores(scorer, histories) -> None:
    allowed = np.arange(histories.n_items) % 3 == 0
    ranked = scorer.rank(histories, 50, mask_history=False, allowed_I=allowed)
    found = ranked.items_BK[0][ranked.items_BK[0] >= 0]
    assert sorted(found) == np.flatnonzero(allowed).tolist()
    scores = scorer.scores(histories)[0][found]
    np.testing.assert_array_equal(ranked.scores_BK[0][: len(found)], scores)


def test_alone_equals_in_a_batch(scorer, histories) -> None:
    together = scorer.scores(histories)
    for row in range(histories.n_users):
        alone = scorer.scores(histories.users([row]))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-4)


@pytest.fixture
def threads():
    """Sets how many threads there are, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_blocks_do_not_show(scorer, histories, monkeypatch, threads, n_threads) -> None:
    whole = scorer.rank(histories, 5)
    monkeypatch.setattr(module, "HISTORIES_PER_BLOCK", 3)
    threads(n_threads)
    parts = scorer.rank(histories, 5)
    np.testing.assert_allclose(parts.scores_BK, whole.scores_BK, rtol=1e-4, atol=1e-4)
    assert (parts.items_BK == whole.items_BK).mean() > 0.95  # near ties may turn
    assert torch.get_num_threads() == n_threads


def test_an_error_in_a_block_is_not_lost(threads) -> None:
    def fail(rows, block):
        if rows == 5:
            raise ValueError("the sixth block")

    threads(2)
    with pytest.raises(ValueError, match="the sixth block"):
        side_by_side(fail, [(row, None) for row in range(8)])
    assert torch.get_num_threads() == 2


def test_an_unknown_person_gets_the_popular_order(scorer, histories) -> None:
    nobody = replace(histories.users([0]).tail(0), owner=np.array([-1]))
    order = scorer.rank(nobody, 50).items_BK[0]
    counts = scorer.evidence.count_I[order]
    assert (np.diff(counts) <= 0).all()
    assert counts[0] > counts[-1]


def test_attributes_move_the_order_of_a_known_person_without_events(scorer, histories) -> None:
    empty = histories.users([0]).tail(0)
    nobody, known = (scorer.scores(replace(empty, owner=np.array([owner])))[0] for owner in (-1, 0))
    assert not np.allclose(nobody, known)


def test_a_later_event_is_not_seen(recommender, scorer) -> None:
    events = recommender.trained.events
    rows = np.flatnonzero(events.positions() == 5)[:10]
    changed = replace(events, item=events.item.copy())
    changed.item[rows] = (changed.item[rows] + 1) % events.n_items
    assert (changed.item != events.item).any()
    for answer in (scorer.strategy, scorer.interests):
        one, other = (answer(Moments.before(log, rows)) for log in (events, changed))
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_predictions_are_probabilities(recommender, scorer) -> None:
    events = recommender.trained.events
    rows = np.arange(0, len(events), 9)
    answer = scorer.predict(Moments.before(events, rows), events.item[rows])
    np.testing.assert_allclose(answer.level_NK.sum(1), 1, rtol=1e-5)
    levels = np.array(recommender.trained.model.shape.level_values)
    np.testing.assert_allclose(answer.value_N, answer.level_NK @ levels, rtol=1e-4)
    assert ((answer.behaviour_NB >= 0) & (answer.behaviour_NB <= 1)).all()


def test_shares_of_interests_and_strategies_sum_to_1(scorer, histories) -> None:
    for share in (
        scorer.interests(Moments.newest(histories)),
        scorer.strategy(Moments.newest(histories)),
    ):
        assert (share >= 0).all()
        np.testing.assert_allclose(share.sum(1), 1, rtol=1e-5)
