"""Ids in, ids out: named fallbacks, filters, and every part of an answer by the caller's ids."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quintet.data.strategies import STRATEGIES
from quintet.errors import ConfigError, UnknownIdError
from quintet.serve.recommender import Recommender


def ids_of(recommender, what: str) -> list:
    return getattr(recommender.trained, what).values.to_pylist()


@pytest.fixture(scope="module", params=["texts", "numbers"])
def any_ids(request, recommender) -> Recommender:
    """Recommenders whose ids are texts and whole numbers."""
    if request.param == "texts":
        return recommender
    return request.getfixturevalue("renamed").model.recommender


@pytest.fixture(scope="module")
def users(recommender) -> list:
    return ids_of(recommender, "users")


def items_of(answers) -> list:
    return [one.item_id for one in answers]


# ---------------------------------------------------------------- recommend


def test_ids_come_back_as_they_went_in(any_ids) -> None:
    users, catalogue = ids_of(any_ids, "users"), ids_of(any_ids, "items")
    answers = any_ids.recommend([users[3], users[1]], k=4)
    assert [one.user_id for one in answers] == [users[3]] * 4 + [users[1]] * 4
    assert [one.rank for one in answers] == [1, 2, 3, 4] * 2
    assert all(type(one.item_id) is type(catalogue[0]) for one in answers)
    assert set(items_of(answers)) <= set(catalogue)
    for start in (0, 4):
        scores = [one.score for one in answers[start : start + 4]]
        assert scores == sorted(scores, reverse=True)
        assert len(set(items_of(answers[start : start + 4]))) == 4


def test_one_user_gets_the_same_alone_and_in_a_batch(recommender, users) -> None:
    batch = recommender.recommend(users[:9], k=3)
    for row, user in enumerate(users[:9]):
        alone = recommender.recommend([user], k=3)
        mine = batch[3 * row : 3 * row + 3]
        assert items_of(alone) == items_of(mine)
        assert [a.score for a in alone] == pytest.approx([b.score for b in mine], abs=1e-4)


def test_what_was_met_is_left_out_unless_asked_for(recommender, users) -> None:
    events = recommender.trained.events
    met = set(recommender.trained.items.ids(events.users([0]).item))
    new = recommender.recommend(users[:1], k=50, exclude_seen=True)
    assert not met & set(items_of(new))
    assert len(new) == 50 - len(met)
    everything = recommender.recommend(users[:1], k=50, exclude_seen=False)
    assert len(everything) == 50


def test_a_known_person_is_answered_in_person(recommender, users) -> None:
    one, other = (recommender.recommend([user], k=50, exclude_seen=False) for user in users[:2])
    assert {answer.basis for answer in one} == {"personal"}
    assert items_of(one) != items_of(other)


@pytest.mark.parametrize("stranger", ["nobody", 999_999, "", None, 1.5])
def test_an_unknown_person_gets_what_is_popular_and_is_told_so(recommender, stranger) -> None:
    answers = recommender.recommend([stranger], k=5)
    assert {one.basis for one in answers} == {"popular"}
    count = recommender.trained.count_I
    most = np.sort(count)[::-1][:5]
    rows = recommender.item_rows(items_of(answers))
    np.testing.assert_array_equal(count[rows], most)


def test_a_known_person_without_events_is_answered_from_attributes(silent, users) -> None:
    answers = silent.recommend([users[0], "nobody"], k=50)
    known, unknown = answers[:50], answers[50:]
    assert {one.basis for one in known} == {"attributes"}
    assert {one.basis for one in unknown} == {"popular"}
    assert items_of(known) != items_of(unknown)
    own = {one.item_id: one.score for one in known}
    assert any(abs(own[one.item_id] - one.score) > 1e-3 for one in unknown)


def test_more_than_the_catalogue_is_all_of_it(recommender) -> None:
    answers = recommender.recommend(["nobody"], k=1000)
    assert sorted(items_of(answers)) == sorted(ids_of(recommender, "items"))


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_item_is_refused(recommender, users, k) -> None:
    with pytest.raises(ConfigError, match=f"at least 1, not {k}"):
        recommender.recommend(users[:1], k=k)


def test_nobody_asked_nothing_answered(recommender) -> None:
    assert recommender.recommend([]) == []


def test_only_candidates_in_the_order_of_the_scores(recommender, users) -> None:
    whole = recommender.recommend(users[:1], k=50, exclude_seen=False)
    wanted = set(items_of(whole)[10:40:3])
    some = recommender.recommend(users[:1], k=50, exclude_seen=False, candidates=sorted(wanted))
    assert items_of(some) == [item for item in items_of(whole) if item in wanted]
    assert [one.rank for one in some] == list(range(1, len(wanted) + 1))


def test_only_items_on_offer_in_the_scenario(recommender, users) -> None:
    shape = recommender.trained.model.shape
    every = ids_of(recommender, "items")
    kinds = [row["kind"] for row in recommender.describe(every)]
    for name in shape.scenarios:
        wanted = shape.offers[name]["kind"]
        expected = {item for item, kind in zip(every, kinds, strict=True) if kind in wanted}
        answers = recommender.recommend(users[:1], k=50, exclude_seen=False, scenario=name)
        assert set(items_of(answers)) == expected
    both = recommender.recommend(
        ["nobody"], k=50, scenario=shape.scenarios[0], candidates=ids_of(recommender, "items")[:9]
    )
    assert len(both) <= 9


def test_errors_name_what_is_unknown(recommender, users) -> None:
    with pytest.raises(ConfigError, match=r"unknown scenario 'attic'; choose one of: shop, feed"):
        recommender.recommend(users[:1], scenario="attic")
    with pytest.raises(UnknownIdError, match=r"item 'x9' is not in the catalogue of 50 items"):
        recommender.recommend(users[:1], candidates=["i0", "x9"])
    for ask in (
        lambda: recommender.predict([(users[0], "i0"), (users[0], "x9")]),
        lambda: recommender.similar("x9"),
        lambda: recommender.history_of(["i0", "x9"]),
        lambda: recommender.describe(["x9"]),
    ):
        with pytest.raises(UnknownIdError, match="'x9'"):
            ask()
    with pytest.raises(UnknownIdError, match="user 'nobody' is not known"):
        recommender.profile("nobody")


def test_a_history_given_by_items_is_ranked_like_one_on_record(recommender) -> None:
    items = ids_of(recommender, "items")
    history = recommender.history_of([items[3], items[7], items[3]])
    assert history.item.tolist() == [3, 7, 3]
    assert history.owners().tolist() == [-1]
    ranked = recommender.rank(history, 5).items_BK[0]
    assert not {3, 7} & set(ranked.tolist())
    known = recommender.trained.events.users([0])
    again = recommender.history_of(recommender.trained.items.ids(known.item))
    assert recommender.rank(again, 50).items_BK.min() == -1  # what was met is left out here too
    assert recommender.history_of([]).n_users == 1
    assert (recommender.rank(recommender.history_of([]), 5).items_BK >= 0).all()


# ---------------------------------------------------------------- the other parts


def test_predictions_of_pairs(recommender, users) -> None:
    items = ids_of(recommender, "items")
    pairs = [(users[0], items[4]), ("nobody", items[4]), (users[2], items[9])]
    table = recommender.predict(pairs)
    assert table["user_id"].to_pylist() == [user for user, _ in pairs]
    assert table["item_id"].to_pylist() == [item for _, item in pairs]
    columns = {name: table[name].to_numpy() for name in table.column_names[2:]}
    chances = {name: column for name, column in columns.items() if name.startswith("p_")}
    assert all(((column >= 0) & (column <= 1)).all() for column in chances.values())
    levels = [name for name in chances if name.startswith("p_value_")]
    assert levels == [f"p_value_{level}" for level in range(1, 6)]
    np.testing.assert_allclose(sum(chances[name] for name in levels), 1, rtol=1e-5)
    expected = sum(level * chances[f"p_value_{level}"] for level in range(1, 6))
    np.testing.assert_allclose(columns["value"], expected, rtol=1e-4)
    assert {"p_view", "p_like", "p_cart", "p_buy", "p_rating"} <= set(chances)
    # a purchase implies the cart, and the cart the look
    assert (chances["p_buy"] <= chances["p_cart"] + 1e-6).all()
    assert (chances["p_cart"] <= chances["p_view"] + 1e-6).all()
    alone = recommender.predict(pairs[2:])
    assert alone["p_buy"][0].as_py() == pytest.approx(chances["p_buy"][2], abs=1e-5)


def test_a_profile_tells_interests_strategy_and_habits(recommender, users) -> None:
    profile = recommender.profile(users[5])
    one = recommender.trained.events.users([5])
    shape = recommender.trained.model.shape
    assert (profile["user_id"], profile["events"]) == (users[5], len(one))
    for part, names in (("interests", shape.interest_names), ("strategy", STRATEGIES)):
        weights = [entry["weight"] for entry in profile[part]]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1, abs=1e-3)
        assert sorted(entry["name"] for entry in profile[part]) == sorted(names)
    assert sum(profile["behaviours"].values()) == len(one)
    buys = int((one.behaviour == shape.behaviours.index("buy")).sum())
    assert profile["behaviours"]["buy"] == buys
    rated = one.value[~np.isnan(one.value)]
    assert profile.get("mean_value") == (round(float(rated.mean()), 3) if len(rated) else None)


def test_a_known_person_without_events_has_a_profile(silent, users) -> None:
    profile = silent.profile(users[0])
    assert profile["events"] == 0
    assert "mean_value" not in profile
    assert sum(entry["weight"] for entry in profile["interests"]) == pytest.approx(1, abs=1e-3)


def test_similar_items_are_the_nearest_joint_vectors_without_itself(recommender) -> None:
    items = ids_of(recommender, "items")
    joint = recommender.scorer.evidence.tables.joint_ID
    unit = torch.nn.functional.normalize(joint, dim=1).numpy()
    cosine = unit @ unit.T
    for row in (0, 17):
        near = recommender.similar(items[row], k=6)
        assert items[row] not in [entry["item_id"] for entry in near]
        assert [entry["rank"] for entry in near] == [1, 2, 3, 4, 5, 6]
        best = np.sort(np.delete(cosine[row], row))[::-1][:6]
        np.testing.assert_allclose([entry["similarity"] for entry in near], best, atol=1e-4)


def test_similarity_is_symmetric(recommender) -> None:
    items = ids_of(recommender, "items")
    one, other = (
        {entry["item_id"]: entry["similarity"] for entry in recommender.similar(item, k=100)}
        for item in items[:2]
    )
    assert len(one) == len(items) - 1
    assert one[items[1]] == other[items[0]]


def test_items_are_described_in_the_words_of_the_catalogue(recommender) -> None:
    items = ids_of(recommender, "items")
    described = recommender.describe([items[4], items[2]])
    table = recommender.trained.item_table
    assert [row["item_id"] for row in described] == [items[4], items[2]]
    assert described[1]["title"] == table["title"][2].as_py()
