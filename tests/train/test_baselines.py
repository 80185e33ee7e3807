from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from memory.logs import log, random_log, random_texts

from quintet.data.interactions import Interactions, seeded_hash
from quintet.errors import ConfigError, DataError, EmptyDataError
from quintet.memory.last_item import LastItem
from quintet.memory.popularity import Popularity
from quintet.metrics import metrics_of_ranks, rank_of_target
from quintet.train.baselines import (
    BaselineConfig,
    TunedBaselines,
    build_memory,
    rank_lists,
    target_ranks,
    top_items,
    tune_baseline,
    tune_baselines,
)

#: 0 is followed by 1 and 1 by 2; 3 is the most popular
CHAIN = log([0, 1, 2], [0, 1, 2], [3, 0, 1], [3, 3, 3, 3], n_items=5)
EVENTS = random_log(n_users=40)
HISTORIES = EVENTS.users(np.arange(20))
TARGETS = np.arange(20) % EVENTS.n_items


def by_sorting(scores_BI, k, seed):
    """The same lists, each by one full sort."""
    key = seeded_hash(np.arange(scores_BI.shape[1]), seed)
    lists = []
    for row in scores_BI:
        order = [i for i in np.lexsort((key, -row)) if row[i] > -np.inf][:k]
        lists.append(order + [-1] * (k - len(order)))
    return np.array(lists, np.int64).reshape(len(scores_BI), k)


class TestTopItems:
    def test_best_first(self) -> None:
        scores = np.array([[0.1, 0.9, -2.0, 0.5], [4.0, 3.0, 2.0, 1.0]])
        np.testing.assert_array_equal(top_items(scores, 2), [[1, 3], [0, 1]])

    def test_masked_items_leave_empty_slots(self) -> None:
        scores = np.array([[-np.inf, 1.0, -np.inf]])
        np.testing.assert_array_equal(top_items(scores, 2), [[1, -1]])
        np.testing.assert_array_equal(top_items(scores, 5), [[1, -1, -1, -1, -1]])

    @given(
        arrays(
            np.float32,
            st.tuples(st.integers(1, 4), st.integers(1, 12)),
            elements=st.sampled_from([-np.inf, 0.0, 0.5, 1.0]),
        ),
        st.integers(1, 14),
        st.integers(0, 3),
    )
    def test_it_is_a_full_sort_cut_short(self, scores, k, seed) -> None:
        np.testing.assert_array_equal(top_items(scores, k, seed), by_sorting(scores, k, seed))

    @given(arrays(np.float32, (3, 9), elements=st.sampled_from([0.0, 0.5, 1.0])), st.integers(0, 3))
    def test_it_agrees_with_the_rank_of_the_target(self, scores, seed) -> None:
        target = np.array([0, 4, 8])
        key = seeded_hash(np.arange(9), seed)
        rank = rank_of_target(scores, target, tie_key_I=key)
        lists = top_items(scores, 9, seed)
        np.testing.assert_array_equal(lists[np.arange(3), rank - 1], target)

    def test_ties_are_broken_by_the_seed(self) -> None:
        scores = np.zeros((1, 50))
        assert (top_items(scores, 10, 0) != top_items(scores, 10, 1)).any()

    def test_what_is_no_score_or_no_length_is_refused(self) -> None:
        with pytest.raises(DataError, match="row 1 of the scores holds NaN"):
            top_items(np.array([[0.0, 1.0], [np.nan, 1.0]]), 1)
        with pytest.raises(ConfigError, match="k=0"):
            top_items(np.zeros((1, 2)), 0)


class TestRankLists:
    def test_the_history_is_masked_or_not(self) -> None:
        memory = Popularity().fit(CHAIN)
        history = log([3, 0], n_items=5)
        assert rank_lists(memory, history, 1)[0, 0] == 1
        assert rank_lists(memory, history, 1, mask=False)[0, 0] == 3
        masked = rank_lists(memory, history, 5)[0]
        assert masked[:2].tolist() == [1, 2]
        assert masked.tolist()[2:] == [4, -1, -1]

    def test_the_scores_of_the_memory_are_left_as_they_are(self) -> None:
        memory = LastItem().fit(CHAIN)
        before = memory.score(CHAIN).copy()
        rank_lists(memory, CHAIN, 2)
        np.testing.assert_array_equal(memory.score(CHAIN), before)

    def test_small_blocks_give_the_same_lists_and_ranks(self, monkeypatch) -> None:
        memory = LastItem().fit(EVENTS)
        lists = rank_lists(memory, HISTORIES, 7, tie_seed=3)
        ranks = target_ranks(memory, HISTORIES, TARGETS, tie_seed=3)
        monkeypatch.setattr("quintet.train.baselines.BLOCK_CELLS", 1)
        np.testing.assert_array_equal(rank_lists(memory, HISTORIES, 7, tie_seed=3), lists)
        np.testing.assert_array_equal(target_ranks(memory, HISTORIES, TARGETS, tie_seed=3), ranks)

    def test_no_histories_no_lists(self) -> None:
        memory = LastItem().fit(CHAIN)
        assert rank_lists(memory, CHAIN.users([]), 3).shape == (0, 3)


class TestTargetRanks:
    def test_by_hand(self) -> None:
        memory = Popularity().fit(CHAIN)
        # counts 3 3 2 5 0; the history masks 3 in the first row, nothing in the second
        histories = log([3], [], n_items=5)
        ranks = target_ranks(memory, histories, np.array([2, 2]))
        np.testing.assert_array_equal(ranks, [3, 4])

    def test_a_masked_target_stands_behind_the_catalogue(self) -> None:
        memory = Popularity().fit(CHAIN)
        history = log([3], n_items=5)
        assert target_ranks(memory, history, np.array([3]))[0] == 6
        assert target_ranks(memory, history, np.array([3]), mask=False)[0] == 1


class TestTuning:
    def test_a_chain_is_learned_perfectly(self) -> None:
        histories, targets = log([4, 0], [0, 1], n_items=5), np.array([1, 2])
        tuned = tune_baseline("last_item", CHAIN, histories, targets, None, trials=3, seed=0)
        assert tuned.score == 1.0
        assert tuned.trials == 3
        assert tuned.seconds > 0

    def test_the_score_is_that_of_the_best_settings(self) -> None:
        tuned = tune_baseline("transitions", EVENTS, HISTORIES, TARGETS, None, trials=6, seed=2)
        memory = tuned.memory().fit(EVENTS)
        ranks = target_ranks(memory, HISTORIES, TARGETS, tie_seed=2)
        assert metrics_of_ranks(ranks, (10,))["ndcg@10"].mean() == tuned.score
        default = build_memory("transitions", {}).fit(EVENTS)
        ranks = target_ranks(default, HISTORIES, TARGETS, tie_seed=2)
        assert metrics_of_ranks(ranks, (10,))["ndcg@10"].mean() <= tuned.score

    def test_the_seed_decides(self) -> None:
        first, again = (
            tune_baseline("ease", EVENTS, HISTORIES, TARGETS, None, trials=5, seed=4)
            for _ in range(2)
        )
        assert (first.values, first.score) == (again.values, again.score)

    def test_all_memories_run_on_a_log_with_texts(self) -> None:
        pytest.importorskip("implicit")
        items = random_texts(EVENTS.n_items)
        told = {}
        result = tune_baselines(
            BaselineConfig(trials=1),
            EVENTS,
            HISTORIES,
            TARGETS,
            items,
            seed=0,
            on_baseline=lambda name, outcome: told.update({name: outcome}),
        )
        assert not result.skipped
        assert [tuned.name for tuned in result.tuned] == list(told)
        assert len(told) >= 12
        assert result.best.score == max(tuned.score for tuned in result.tuned)

    def test_what_cannot_run_is_named_with_its_reason(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "implicit.als", None)
        events = Interactions.build(
            np.array([0, 0, 0]), np.array([0, 1, 2]), n_users=1, n_items=15_001
        )
        config = BaselineConfig(trials=1, names=["ease", "content", "als", "popularity"])
        result = tune_baselines(config, events, events.users([0]), np.array([5]), None, seed=0)
        assert [tuned.name for tuned in result.tuned] == ["popularity"]
        assert "15001 items need a dense matrix" in result.skipped["ease"]
        assert "give the catalogue" in result.skipped["content"]
        assert "pip install 'quintet[baselines]'" in result.skipped["als"]

    def test_a_repeated_item_can_be_a_target(self) -> None:
        histories, targets = log([3, 3], n_items=5), np.array([3])
        masked, unmasked = (
            tune_baselines(
                BaselineConfig(trials=1, names=["popularity"], mask=mask),
                CHAIN,
                histories,
                targets,
                None,
                seed=0,
            ).best.score
            for mask in (True, False)
        )
        assert (masked, unmasked) == (0.0, 1.0)

    def test_an_unknown_name_is_refused_before_anything_runs(self) -> None:
        config = BaselineConfig(trials=1, names=["popularity", "nothing"])
        with pytest.raises(ConfigError, match="unknown memory 'nothing'"):
            tune_baselines(config, EVENTS, HISTORIES, TARGETS, None, seed=0)

    def test_targets_must_fit_the_histories(self) -> None:
        with pytest.raises(EmptyDataError, match="no validation targets"):
            tune_baseline("popularity", EVENTS, EVENTS.users([]), np.array([]), None, 1, 0)
        with pytest.raises(DataError, match="1 targets for 20 histories"):
            tune_baseline("popularity", EVENTS, HISTORIES, np.array([1]), None, 1, 0)

    def test_no_baseline_no_best(self) -> None:
        with pytest.raises(EmptyDataError, match="ease: too large"):
            _ = TunedBaselines(skipped={"ease": "too large"}).best
