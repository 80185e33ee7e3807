"""Ranking metrics against visible arithmetic, a plain reimplementation and their invariants."""

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import ConfigError, DataError
from quintet.metrics import (
    RankingMetrics,
    Relevant,
    average_precision,
    f1,
    hit_rate,
    hits,
    metrics_of_ranks,
    mrr,
    ndcg,
    precision,
    rank_of_target,
    recall,
)

# user 0: hits at positions 2 and 4, three relevant items; user 1: nothing hit, one empty slot;
# user 2: a hit at position 1, one relevant item
LISTS = np.array([[5, 1, 6, 2], [0, 4, 7, -1], [3, 0, 1, 2]])
RELEVANT = (np.array([0, 3, 5, 6]), np.array([1, 2, 9, 8, 9, 3]))


def test_hits_mark_the_relevant_slots() -> None:
    expected = [[False, True, False, True], [False] * 4, [True, False, False, False]]
    assert hits(LISTS, RELEVANT).tolist() == expected


def test_hit_rate_by_hand() -> None:
    assert hit_rate(LISTS, RELEVANT, 1).tolist() == [0, 0, 1]
    assert hit_rate(LISTS, RELEVANT, 4).tolist() == [1, 0, 1]


def test_recall_by_hand() -> None:
    assert recall(LISTS, RELEVANT, 4) == pytest.approx([2 / 3, 0 / 2, 1 / 1])
    assert recall(LISTS, RELEVANT, 2) == pytest.approx([1 / 3, 0 / 2, 1 / 1])


def test_precision_by_hand() -> None:
    assert precision(LISTS, RELEVANT, 4) == pytest.approx([2 / 4, 0 / 4, 1 / 4])


def test_f1_by_hand() -> None:
    user_0 = 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)
    user_2 = 2 * (1 / 4) * 1 / (1 / 4 + 1)
    assert f1(LISTS, RELEVANT, 4) == pytest.approx([user_0, 0, user_2])


def test_ndcg_by_hand() -> None:
    gain = 1 / log2(2 + 1) + 1 / log2(4 + 1)
    ideal = 1 / log2(1 + 1) + 1 / log2(2 + 1) + 1 / log2(3 + 1)
    assert ndcg(LISTS, RELEVANT, 4) == pytest.approx([gain / ideal, 0, 1])


def test_ideal_gain_stops_at_the_cutoff() -> None:
    # three relevant items, but two slots: the ideal list has two hits
    ideal = 1 / log2(2) + 1 / log2(3)
    assert ndcg(LISTS, RELEVANT, 2)[0] == pytest.approx((1 / log2(3)) / ideal)


def test_mrr_by_hand() -> None:
    assert mrr(LISTS, RELEVANT, 4) == pytest.approx([1 / 2, 0, 1 / 1])
    assert mrr(LISTS, RELEVANT, 1) == pytest.approx([0, 0, 1])


def test_average_precision_by_hand() -> None:
    user_0 = (1 / 2 + 2 / 4) / min(4, 3)
    assert average_precision(LISTS, RELEVANT, 4) == pytest.approx([user_0, 0, 1])
    assert average_precision(LISTS, RELEVANT, 2)[0] == pytest.approx((1 / 2) / min(2, 3))


def test_a_user_without_relevant_items_has_no_value() -> None:
    values = RankingMetrics(ks=(2,)).compute(LISTS, np.array([1, -1, 9]))
    assert all(np.isnan(value).tolist() == [False, True, False] for value in values.values())


def test_single_target_equals_its_sparse_form() -> None:
    target = np.array([2, 7, 0])
    sparse = (np.arange(4), target)
    one, other = (RankingMetrics(ks=(1, 3)).compute(LISTS, form) for form in (target, sparse))
    assert list(one) == list(other)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_relevant_item_given_twice_counts_once() -> None:
    wanted = Relevant.of((np.array([0, 3]), np.array([4, 2, 4])))
    assert wanted.items.tolist() == [2, 4]
    assert wanted.counts.tolist() == [2]


def test_names_carry_the_cutoff() -> None:
    values = RankingMetrics(ks=(1, 4), names=("ndcg", "hr")).compute(LISTS, RELEVANT)
    assert list(values) == ["ndcg@1", "ndcg@4", "hr@1", "hr@4"]


def test_what_would_mislead_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 1 .* names item 7 twice"):
        hits(np.array([[1, 2], [7, 7]]), np.array([1, 7]))
    with pytest.raises(DataError, match="k = 9, but the lists have 4 slots"):
        ndcg(LISTS, RELEVANT, 9)
    with pytest.raises(DataError, match=r"expected \[3, K\]"):
        ndcg(LISTS[:2], RELEVANT, 2)
    with pytest.raises(DataError, match="offsets must run from 0 to 2"):
        Relevant.of((np.array([0, 1]), np.array([3, 4])))
    with pytest.raises(DataError, match="must not fall"):
        Relevant.of((np.array([0, 2, 1, 2]), np.array([3, 4])))
    with pytest.raises(ConfigError, match="unknown ranking metric 'ndgc'"):
        RankingMetrics(names=("ndgc",))


def test_rank_of_target_with_ties() -> None:
    scores = np.array([[0.5, 0.9, 0.5, 0.5, 0.1], [1.0, 2.0, 3.0, 4.0, 5.0]])
    target = np.array([2, 4])
    # greater than .5: one item; equal, itself included: three
    assert rank_of_target(scores, target).tolist() == [1 + 3, 1]
    key = np.array([7, 0, 5, 9, 1])
    # of the three equal items, item 2 has the least key
    assert rank_of_target(scores, target, tie_key_I=key).tolist() == [1 + 1, 1]


def test_a_masked_target_is_not_ranked_and_nan_is_refused() -> None:
    scores = np.array([[-np.inf, 1.0, -np.inf]])
    key = np.arange(3)
    assert rank_of_target(scores, np.array([0]), tie_key_I=key).tolist() == [3 + 1]
    assert rank_of_target(scores, np.array([1])).tolist() == [1]
    with pytest.raises(DataError, match="row 0 of the scores holds NaN"):
        rank_of_target(np.array([[0.0, np.nan]]), np.array([0]))
    with pytest.raises(DataError, match="item rows from 0 to 2"):
        rank_of_target(scores, np.array([3]))


def test_ranks_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, target = rng.integers(0, 4, (50, 30)).astype(float), rng.integers(0, 30, 50)
    whole = rank_of_target(scores, target, tie_key_I=rng.permutation(30))
    rng = np.random.default_rng(0)
    scores, target = rng.integers(0, 4, (50, 30)).astype(float), rng.integers(0, 30, 50)
    monkeypatch.setattr("quintet.metrics.ranking.BLOCK_CELLS", 70)
    assert np.array_equal(whole, rank_of_target(scores, target, tie_key_I=rng.permutation(30)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_lists_and_ranks_agree_for_single_targets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(12, 15))
    target = rng.integers(0, 15, 12)
    lists = np.argsort(-scores, axis=1)[:, :10]
    of_ranks = metrics_of_ranks(rank_of_target(scores, target), (1, 5, 10))
    of_lists = RankingMetrics(ks=(1, 5, 10), names=("hr", "ndcg", "mrr")).compute(lists, target)
    assert of_ranks.keys() == of_lists.keys()
    assert all(of_ranks[name] == pytest.approx(of_lists[name]) for name in of_ranks)


def plain_metrics(items: list[int], wanted: set[int], k: int) -> dict[str, float]:
    """The textbook formulas, one user at a time."""
    hit = [item in wanted for item in items[:k]]
    found, n = sum(hit), len(wanted)
    p, r = found / k, found / n
    ideal = sum(1 / log2(j + 2) for j in range(min(k, n)))
    return {
        "hr": float(found > 0),
        "recall": r,
        "precision": p,
        "f1": 2 * p * r / (p + r) if found else 0.0,
        "ndcg": sum(h / log2(j + 2) for j, h in enumerate(hit)) / ideal,
        "mrr": next((1 / (j + 1) for j, h in enumerate(hit) if h), 0.0),
        "map": sum(h * sum(hit[: j + 1]) / (j + 1) for j, h in enumerate(hit)) / min(k, n),
    }


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_metric_equals_the_plain_formula(data: st.DataObject) -> None:
    n_users, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    catalogue = st.integers(0, 9)
    lists = [
        data.draw(st.lists(catalogue, min_size=6, max_size=6, unique=True)) for _ in range(n_users)
    ]
    wanted = [data.draw(st.sets(catalogue, min_size=1)) for _ in range(n_users)]
    offsets = np.cumsum([0, *map(len, wanted)])
    items = np.array([item for group in wanted for item in sorted(group, reverse=True)])
    values = RankingMetrics(ks=(k,)).compute(np.array(lists), (offsets, items))
    for user in range(n_users):
        plain = plain_metrics(lists[user], wanted[user], k)
        assert {name: values[f"{name}@{k}"][user] for name in plain} == pytest.approx(plain)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_renaming_items_and_users_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(20)[:8] for _ in range(9)])
    target = rng.integers(0, 20, 9)
    rename, order = rng.permutation(20), rng.permutation(9)
    before = RankingMetrics(ks=(8,)).compute(lists, target)
    after = RankingMetrics(ks=(8,)).compute(rename[lists][order], rename[target][order])
    assert all(np.array_equal(before[name][order], after[name]) for name in before)


def test_lists_without_users_give_no_values() -> None:
    values = RankingMetrics(ks=(3,)).compute(np.empty((0, 3), int), np.empty(0, int))
    assert all(value.shape == (0,) for value in values.values())
