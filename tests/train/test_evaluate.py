"""Ranking figures: by hand, averaged within a user first, and one code for model and baseline."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quintet.data.features import CategoryColumn, FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.split import Part, Split, leave_one_out
from quintet.errors import EmptyDataError
from quintet.train.evaluate import (
    beyond_accuracy,
    evaluate_lists,
    evaluate_ranking,
    sliced,
    slices,
    user_means,
)

N_ITEMS = 6


def log(*histories: list[int]) -> Interactions:
    """One user a list of items."""
    user = np.repeat(np.arange(len(histories)), [len(items) for items in histories])
    item = np.array([item for items in histories for item in items], np.int64)
    return Interactions.build(user, item, n_users=len(histories), n_items=N_ITEMS)


@pytest.fixture
def split() -> Split:
    """User 0 has two test targets, 3 and 5; user 1 has none; user 2 has one, 0."""
    return Split.from_parts(
        train=log([0, 1], [2, 3, 4], [5]), valid=log([2], [], [1]), test=log([3, 5], [], [0])
    )


def always(*ranked: int):
    """Ranks the same items for everybody."""

    def rank(histories: Interactions, k: int) -> np.ndarray:
        filled = [*ranked[:k], *[-1] * (k - len(ranked))]
        return np.tile(np.array(filled), (histories.n_users, 1))

    return rank


def test_figures_by_hand(split) -> None:
    result = evaluate_lists(always(5, 3, 4, 0), split, ks=(2, 4))
    # user 0: 3 stands in place 2, 5 in place 1; user 2: 0 stands in place 4
    gain_2, gain_4 = 1 / math.log2(3), 1 / math.log2(5)
    expected = {
        "hr@2": [1.0, 0.0],
        "hr@4": [1.0, 1.0],
        "ndcg@2": [(gain_2 + 1) / 2, 0.0],
        "ndcg@4": [(gain_2 + 1) / 2, gain_4],
        "mrr@2": [(1 / 2 + 1) / 2, 0.0],
        "mrr@4": [(1 / 2 + 1) / 2, 1 / 4],
        "precision@2": [1 / 2, 0.0],
        "recall@4": [1.0, 1.0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(result.per_user[name], values, err_msg=name)
    assert result.targets.tolist() == [3, 4, 10]
    assert result.user_of_target.tolist() == [0, 0, 1]
    assert result.summary()["ndcg@4"]["mean"] == pytest.approx(((gain_2 + 1) / 2 + gain_4) / 2)
    assert result.summary()["ndcg@4"]["n"] == 2


def test_a_target_is_ranked_from_what_came_before_it(split) -> None:
    seen = []

    def spy(histories: Interactions, k: int) -> np.ndarray:
        seen.extend(np.split(histories.item, histories.offsets[1:-1]))
        return always(0, 1, 2)(histories, k)

    evaluate_lists(spy, split, ks=(1,))
    assert [items.tolist() for items in seen] == [[0, 1, 2], [0, 1, 2, 3], [5, 1]]


def test_validation_targets_are_asked_for_by_their_part(split) -> None:
    result = evaluate_lists(always(2, 1), split, part=Part.VALID, ks=(1,))
    np.testing.assert_array_equal(result.per_user["hr@1"], [1.0, 0.0])


def test_short_cut_offs_alone_can_be_asked_for(recommender) -> None:
    split = leave_one_out(recommender.trained.events)
    figures = evaluate_ranking(recommender.scorer, split, ks=(3,)).summary()
    assert {"ndcg@3", "coverage@10"} <= set(figures)


def test_means_within_users_by_hand() -> None:
    got = user_means(np.array([1.0, 0.0, 0.5, 1.0]), np.array([0, 0, 1, 0]), 2)
    np.testing.assert_allclose(got, [2 / 3, 0.5])


def test_the_model_and_a_baseline_go_through_the_same_code(recommender) -> None:
    scorer = recommender.scorer
    split = leave_one_out(recommender.trained.events)
    items = recommender.trained.item_features
    model = evaluate_ranking(scorer, split, ks=(5, 10), items=items)

    def as_baseline(histories: Interactions, k: int) -> np.ndarray:
        return scorer.rank(histories, k).items_BK

    target_E = recommender.trained.model.shape.rules.targets(split.events)
    other = evaluate_lists(as_baseline, split, ks=(5, 10), items=items, target_E=target_E)
    np.testing.assert_array_equal(model.lists_NK, other.lists_NK)
    assert model.summary() == other.summary()
    assert "diversity@10" in model.summary()
    # no list holds an item of the history that it was ranked from
    histories = split.events.before(model.targets)
    for row in range(len(model.targets)):
        met = histories.item[histories.offsets[row] : histories.offsets[row + 1]]
        assert not np.isin(model.lists_NK[row], met).any()


def test_with_the_history_allowed_repeated_targets_can_be_found(recommender) -> None:
    split = leave_one_out(recommender.trained.events)
    open_, masked = (
        evaluate_ranking(recommender.scorer, split, ks=(50,), mask_history=mask)
        for mask in (False, True)
    )
    assert open_.per_user["hr@50"].min() == 1  # the whole catalogue is ranked
    histories = split.events.before(masked.targets)
    target = split.events.item[masked.targets]
    repeated = np.zeros(len(target), bool)
    np.logical_or.at(repeated, histories.group(), histories.item == target[histories.group()])
    np.testing.assert_array_equal(masked.per_user["hr@50"] == 1, ~repeated)


def test_beyond_accuracy_by_hand(split) -> None:
    lists = np.array([[5, 3], [5, 3], [5, 0]])
    kinds = CategoryColumn(np.arange(7), np.array([0, 0, 0, 1, 1, 0]), ["a", "b"])
    items = FeatureTable(6, categories={"kind": kinds})
    targets = np.array([3, 4, 10])  # items 3, 5, 0
    got = beyond_accuracy(lists, split, targets, max_k=2, items=items)
    assert got["coverage@2"] == pytest.approx(3 / 6)
    # 5 and 3 are of two kinds (distance 1), 5 and 0 of one (0)
    assert got["diversity@2"] == pytest.approx(2 / 3)
    assert set(got) == {"coverage@2", "gini@2", "novelty@2", "serendipity@2", "diversity@2"}
    assert "diversity@2" not in beyond_accuracy(lists, split, targets, max_k=2, items=None)


def test_slices_by_hand(split) -> None:
    result = evaluate_lists(always(5, 3, 4, 0), split, ks=(10,))
    found = slices(split, result)
    rare, short, heavy = found.values()
    assert rare.tolist() == [True, True]  # every item has under 5 training events
    # user 0's targets come after 3 and 4 events, user 2's after 2
    assert short.tolist() == [False, True]
    assert heavy.tolist() == [True, False]
    _, up_to, from_ = found  # what the labels say is what is in them
    assert "(up to 2 events)" in up_to
    assert "(3.5 events or more)" in from_


def test_what_follows_up_and_what_is_disliked_is_no_target_of_the_ranking(recommender) -> None:
    split = leave_one_out(recommender.trained.events)
    rules = recommender.trained.model.shape.rules
    result = evaluate_ranking(recommender.scorer, split, ks=(10,))
    tested = np.flatnonzero(split.part == Part.TEST)
    assert 0 < len(result.targets) < len(tested)
    np.testing.assert_array_equal(result.targets, tested[rules.targets(split.events)[tested]])
    nothing = np.zeros(len(split.events), np.bool_)
    with pytest.raises(EmptyDataError, match="is a target of the ranking"):
        evaluate_lists(always(1), split, ks=(10,), target_E=nothing)


def test_slices_tell_every_model_and_leave_out_single_users(split) -> None:
    results = {
        "one": evaluate_lists(always(5, 3, 4, 0), split, ks=(10,)),
        "other": evaluate_lists(always(1, 2), split, ks=(10,)),
    }
    table = sliced(results, split)
    (name,) = table
    assert name.startswith("target is a cold or rare item")
    assert table[name]["other"]["ndcg@10"]["mean"] == 0
    assert table[name]["one"]["ndcg@10"]["mean"] > 0


def test_novelty_counts_training_events_alone() -> None:
    """However many items nobody met: two that share all events are one bit each."""
    user, item = np.repeat(np.arange(4), 4), np.tile([0, 1, 0, 1], 4)
    split = leave_one_out(Interactions.build(user, item, n_users=4, n_items=1000))
    assert split.train.item_counts()[:2].tolist() == [4, 4]
    targets = np.flatnonzero(split.part == Part.TEST)
    got = beyond_accuracy(np.tile([0, 1], (4, 1)), split, targets, 2, None)
    assert got["novelty@2"] == pytest.approx(1.0)
