"""Baskets by hand, and the lists that are made of them."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from quintet.data.interactions import Interactions
from quintet.errors import ConfigError, UnknownIdError
from quintet.serve.baskets import Baskets, filling

HOUR = 3_600_000_000
BREAD, MILK, SOAP, BEER = range(4)


def log(*histories: list[tuple[int, float]]) -> Interactions:
    """One user a list of (item, hour)."""
    user = np.repeat(np.arange(len(histories)), [len(own) for own in histories])
    flat = [event for own in histories for event in own]
    return Interactions.build(
        user,
        np.array([item for item, _ in flat]),
        n_users=len(histories),
        n_items=4,
        time=np.array([int(hour * HOUR) for _, hour in flat]),
    )


LOG = log(
    [(BREAD, 0), (MILK, 1), (BREAD, 2), (BREAD, 100), (SOAP, 101)],
    [],
    [(BREAD, 0), (MILK, 20), (BEER, 50)],
)


def test_a_pause_ends_a_basket_and_so_does_another_person() -> None:
    baskets = Baskets.of(LOG, hours=24)
    np.testing.assert_array_equal(
        baskets.holds.toarray(), [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]
    )
    assert baskets.owner_N.tolist() == [0, 0, 2, 2]
    assert Baskets.of(LOG, hours=12).holds.shape[0] == 5
    assert Baskets.of(LOG, hours=1000).holds.shape[0] == 2


def test_without_times_a_history_is_one_basket() -> None:
    untimed = Interactions.build(np.array([0, 0, 1]), np.array([0, 1, 2]), n_users=2, n_items=4)
    assert Baskets.of(untimed, hours=1).owner_N.tolist() == [0, 1]


def test_what_shares_baskets() -> None:
    found = Baskets.of(LOG, hours=24).together(BREAD)
    # bread stands in 3 of 4 baskets, with milk in 2 and with soap in 1
    assert found.item.tolist() == [MILK, SOAP]
    assert found.count.tolist() == [2, 1]
    np.testing.assert_allclose(found.share, [2 / 3, 1 / 3])
    np.testing.assert_allclose(found.lift, [2 / (3 * 2 / 4), 1 / (3 * 1 / 4)])
    assert not len(Baskets.of(LOG, hours=24).together(BEER).item)


def test_the_size_of_a_basket_is_the_persons_own() -> None:
    baskets = Baskets.of(LOG, hours=24)
    assert baskets.size(0) == 2
    assert baskets.size(1) == 2, "the median of everybody's: 2, 2, 2, 1"
    assert baskets.times(0).tolist() == [2, 1, 1, 0]


def test_purchases_fill_baskets_where_there_are_any() -> None:
    assert filling(["view", "buy"], None) == [1]
    assert filling(["view", "like"], None) is None
    assert filling(["view", "buy"], "view") == [0]
    with pytest.raises(ConfigError, match=r"unknown behaviour 'bought'.*view, buy"):
        filling(["view", "buy"], "bought")
    with pytest.raises(ConfigError, match="hours must be above 0"):
        Baskets.of(LOG, hours=0)


def test_bought_together_counts_what_the_log_says(fitted, market) -> None:
    names = ("user_id", "timestamp", "item_id", "behaviour")
    columns = [market.log.to_arrow()[name].to_pylist() for name in names]
    events = sorted(event[:3] for event in zip(*columns, strict=True) if event[3] == "buy")
    baskets: dict[tuple, set] = {}
    last, number = None, 0
    for user, moment, item in events:
        together = last is not None and last[0] == user
        if not together or moment - last[1] > 24 * HOUR:
            number += 1
        baskets.setdefault((user, number), set()).add(item)
        last = (user, moment)
    pairs = Counter(pair for own in baskets.values() for pair in combinations(sorted(own), 2))
    (one, other), count = pairs.most_common(1)[0]
    found = {row["item_id"]: row for row in fitted.bought_together(one, k=50)}
    assert found[other]["baskets"] == count
    with_one = sum(one in own for own in baskets.values())
    assert found[other]["share"] == pytest.approx(count / with_one, abs=1e-4)
    assert [row["rank"] for row in found.values()] == list(range(1, len(found) + 1))
    with pytest.raises(UnknownIdError):
        fitted.bought_together("no such thing")


def test_a_session_without_an_id_is_ranked_by_its_own_items(fitted) -> None:
    items = fitted.recommender.trained.items.ids(range(4))
    answers = fitted.session(items, k=5, exclude_seen=True)
    assert len(answers) == 5
    assert not {one.item_id for one in answers} & set(items)
    assert {one.basis for one in answers} == {"personal"}
    history = fitted.recommender.history_of(items)
    best = fitted.recommender.rank(history, 5, mask_history=True).items_BK[0]
    assert [one.item_id for one in answers] == fitted.recommender.trained.items.ids(best)
    assert {one.basis for one in fitted.session([], k=3)} == {"popular"}
    with pytest.raises(ConfigError):
        fitted.session(items, k=0)


def test_the_next_basket_holds_what_is_sold_as_much_as_usual(fitted) -> None:
    baskets = fitted.recommender.related.baskets()
    trained = fitted.recommender.trained
    owner = int(np.bincount(baskets.owner_N).argmax())
    user = trained.users.ids([owner])[0]
    found = fitted.next_basket(user)
    assert len(found) == baskets.size(owner)
    rows = trained.items.rows([row["item_id"] for row in fitted.next_basket(user, 20)])
    assert (baskets.count_I[rows] > 0).all()
    times = [row["times"] for row in fitted.next_basket(user, 20)]
    assert times == baskets.times(owner)[rows].tolist()
    assert len(fitted.next_basket("nobody", 4)) == 4
