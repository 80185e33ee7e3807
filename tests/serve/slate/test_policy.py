"""Slates: places in proportion to the predicted strategy, filled with distinct items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.data.interactions import Interactions
from quintet.data.states import Moments
from quintet.data.strategies import REPURCHASE, STRATEGIES
from quintet.serve.slate import candidate_strategies, mixed_slate, places

shares = st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5).filter(lambda s: sum(s) > 1e-3)


@given(shares, st.integers(0, 40))
def test_places_add_up_and_stay_within_one_of_the_share(share, k) -> None:
    share = np.array(share, np.float32)
    got = places(share, k)
    assert got.sum() == k
    assert (np.abs(got - share / share.sum() * k) < 1 + 1e-4).all()


def test_places_by_hand() -> None:
    # of 7: 3.5, 2.1, 1.4, 0, 0: the largest remainder, .5, gets the place that is left
    assert places(np.array([0.5, 0.3, 0.2, 0, 0], np.float32), 7).tolist() == [4, 2, 1, 0, 0]


@pytest.fixture(scope="module")
def trained(recommender):
    return recommender.trained


def candidates(trained, history, depth=40):
    ranked = trained.scorer.rank(history, depth, mask_history=False)
    found = ranked.items_BK[0] >= 0
    return ranked.items_BK[0][found], ranked.scores_BK[0][found]


@pytest.mark.parametrize("k", [1, 4, 10, 40])
def test_a_slate_holds_k_distinct_items_in_order_of_score(trained, k) -> None:
    for user in range(8):
        history = trained.events.users([user])
        items, scores = candidates(trained, history)
        chosen, labels = mixed_slate(trained, history, items, scores, k)
        assert len(chosen) == len(set(chosen.tolist())) == len(labels) == k
        assert (np.diff(scores[chosen]) <= 0).all()
        assert set(labels) <= set(STRATEGIES)


def test_every_strategy_gets_its_places_filled_by_its_best(trained) -> None:
    k = 10
    for user in range(8):
        history = trained.events.users([user])
        items, scores = candidates(trained, history)
        chosen, labels = mixed_slate(trained, history, items, scores, k)
        own = candidate_strategies(trained, history, items)
        quota = places(trained.scorer.strategy(Moments.newest(history))[0], k)
        for strategy, room in enumerate(quota):
            of_it = np.flatnonzero(own == strategy)
            best = of_it[: min(room, len(of_it))]
            assert set(best.tolist()) <= set(chosen.tolist())
        assert labels == [STRATEGIES[own[position]] for position in chosen]
        short = np.maximum(quota - np.bincount(own, minlength=5), 0).sum()
        extra = np.maximum(np.bincount(own[chosen], minlength=5) - quota, 0).sum()
        assert extra == short  # only unfilled places go to other strategies


def test_fewer_candidates_than_places_are_all_taken(trained) -> None:
    history = trained.events.users([0])
    items, scores = candidates(trained, history, depth=3)
    chosen, _ = mixed_slate(trained, history, items, scores, 10)
    assert chosen.tolist() == [0, 1, 2]


def test_a_candidate_is_labelled_as_the_log_would_label_it(trained) -> None:
    history = trained.events.users([2])
    items = np.arange(len(trained.items))
    got = candidate_strategies(trained, history, items)
    labeller = trained.model.task("strategy").labeller
    for item in items[::7]:
        longer = Interactions.build(
            np.full(len(history) + 1, 0),
            np.append(history.item, item),
            n_users=1,
            n_items=history.n_items,
            time=np.append(history.time, history.time[-1]),
            behaviour=np.append(history.behaviour, trained.model.shape.rules.look),
            keep_order=True,
        )
        assert got[item] == labeller.label(longer, in_training=False)[-1]
    buy = trained.model.shape.behaviours.index("buy")
    bought = np.unique(history.item[history.behaviour == buy])
    assert (got[bought] == REPURCHASE).all()
    assert not (np.delete(got, bought) == REPURCHASE).any()


def test_recommended_slates(recommender) -> None:
    users = recommender.trained.users.ids(range(6))
    events = recommender.trained.events
    answers = recommender.recommend([*users, "nobody"], k=8, slate=True, exclude_seen=True)
    for row, user in enumerate([*users, "nobody"]):
        mine = [one for one in answers if one.user_id == user]
        assert [one.rank for one in mine] == list(range(1, 9))
        assert len({one.item_id for one in mine}) == 8
        assert {one.strategy for one in mine} <= set(STRATEGIES)
        if user != "nobody":
            met = set(recommender.trained.items.ids(events.users([row]).item))
            assert not met & {one.item_id for one in mine}
    plain = recommender.recommend(users[:1], k=8)
    assert {one.strategy for one in plain} == {""}
