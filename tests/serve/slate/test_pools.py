"""Who may be shown and with what chance: limits, barred items, small temperatures, odd numbers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from quintet.data.vocab import Vocabulary
from quintet.errors import ConfigError
from quintet.serve.slate.bound import barred_items
from quintet.serve.slate.candidates import Candidates, Wanted
from quintet.serve.slate.draw import inclusion_integral
from quintet.serve.slate.facts import Facts, Person
from quintet.serve.slate.policy import Plan
from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import Places, Prepared, Request, compose
from tests.serve.slate.shop import FACTS, IDS, request
from tests.serve.slate.test_hard_rules import SIMILARITY

DIVERSE = SlateConfig(diversity="max_sum")


def rules(*some) -> RuleSet:
    return RuleSet.of({"rule": list(some)})


def choices(k: int, config: SlateConfig, temperature: float = 0.05) -> float:
    """How many candidates share the first place: e to the entropy of the draw."""
    n = 60
    similarity_CC = np.full((n, n), 0.3) + 0.7 * np.eye(n)
    many = Facts(Vocabulary.from_arrow(pa.array([str(i) for i in range(n)])), pa.table({}))
    pool = Candidates.ranked(np.arange(n), np.linspace(9, 0, n) ** 1.5)
    plan = Plan([], np.zeros(0, np.int64), temperature)
    own = Request(pool, k, many, config=config, plan=plan, similarity_CC=similarity_CC)
    chance_C = Places(Prepared.of(own)).probabilities()
    return float(np.exp(-(chance_C * np.log(np.maximum(chance_C, 1e-300))).sum()))


def test_a_temperature_means_the_same_for_slates_of_any_length() -> None:
    drawn = [choices(k, DIVERSE) for k in (3, 5, 10, 40)]
    assert max(drawn) < 1.2 * min(drawn)
    assert 1 < drawn[0] < 5, "some of the best, and not all"
    assert choices(10, DIVERSE, 0.5) > 2 * drawn[2]


def test_barred_candidates_take_no_chance_of_being_met() -> None:
    """Kept out by a rule, or never among the candidates: the same slate."""
    block = {"name": "no", "kind": "block", "items": ["a", "d"]}
    ruled = compose(request([block], 4, config=DIVERSE, similarity_CC=SIMILARITY))
    left = np.array([row for row, name in enumerate(IDS) if name not in "ad"])
    plain = request([], 4, config=DIVERSE, similarity_CC=SIMILARITY[np.ix_(left, left)])
    scores = np.linspace(3, 1, len(IDS))[left]
    alone = compose(replace(plain, pool=Candidates.ranked(left, scores)))
    assert ruled.item_K.tolist() == alone.item_K.tolist()
    whole = request([block], 4, config=DIVERSE, similarity_CC=SIMILARITY)
    chance_C = whole.chances(whole.relevance(), Prepared.of(whole).bound.eligible_C)
    assert chance_C[[0, 3]].tolist() == [0, 0]
    assert chance_C.sum() == pytest.approx(4)


@pytest.mark.parametrize("temperature", [1e-2, 1e-3, 1e-5, 1e-9])
def test_cold_draws_are_as_good_as_decided(temperature: float) -> None:
    inclusion = inclusion_integral(np.array([1, 0.5, 0.1, 0]), 2, temperature)
    np.testing.assert_allclose(inclusion, [1, 1, 0, 0], atol=1e-4)


def test_limits_bring_in_what_they_leave_places_for(recommender) -> None:
    """With three candidates of one's own, a slate is as long as the catalogue allows."""
    few = SlateConfig(diversity="none", generators={"fused": 3})
    user = recommender.trained.users.ids([0])
    best = [one.item_id for one in recommender.recommend(user, k=3)]
    limit = rules({"name": "some", "kind": "quota", "items": best, "at_most": 1})
    (answer,) = recommender.slate(user, 8, rules=limit, config=few)
    assert len(answer.items) == 8
    assert len({item.item_id for item in answer.items} & set(best)) <= 1
    column = recommender.trained.model.shape.interest
    kinds = len(set(recommender.trained.item_table[column].to_pylist()))
    single = rules({"name": "kinds", "kind": "one_per", "attribute": column})
    (answer,) = recommender.slate(user, kinds, rules=single, config=few)
    assert len(answer.items) == kinds


def test_the_best_of_each_value_by_hand() -> None:
    labels = FACTS.labels("kind", "x")
    score_I = np.array([1.0, 5.0, 2.0, 3.0, 4.0, 0.5, 6.0], np.float32)
    every = np.ones(len(IDS), np.bool_)
    # tea: b 5, e 4, a 1; gift: g 6, b 5, d 3; mug: d 3, c 2; f has none
    best = Wanted("x", every, 9, labels).among(score_I)
    assert [IDS[row] for row in np.flatnonzero(best)] == ["b", "d", "f", "g"]
    two = Wanted("x", every, 9, labels, most=2).among(score_I)
    assert [IDS[row] for row in np.flatnonzero(two)] == ["b", "c", "d", "e", "f", "g"]


def test_values_that_groups_share_are_no_contradiction() -> None:
    """The first groups that stand for the others all share one brand; the last item does not."""
    n = 40
    table = pa.table(
        {
            "brand": ["red"] * (n - 2) + ["blue", "green"],
            "shape": [str(row) for row in range(n)],
            "kind": ["book"] * n,
        }
    )
    facts = Facts(Vocabulary.from_arrow(pa.array([str(row) for row in range(n)])), table)
    asked = rules(
        {"name": "b", "kind": "one_per", "attribute": "brand"},
        {"name": "s", "kind": "one_per", "attribute": "shape"},
        {
            "name": "q",
            "kind": "quota",
            "where": {"attribute": "kind", "any_of": ["book"]},
            "at_least": 3,
        },
    )
    assert asked.check(3, facts) == []


def test_numbers_are_what_people_write() -> None:
    ids = Vocabulary.from_arrow(pa.array(["a", "b", "c"]))
    cheap = {"name": "cheap", "kind": "price", "attribute": "price", "most": 1.1}
    exact = {"name": "no", "kind": "block", "where": {"attribute": "price", "any_of": [5.1]}}
    for column in (
        pa.array([1.1, 5.1, 9.6], pa.float32()),
        pa.array([1.1, 5.1, 9.6], pa.float64()),
        pa.array([Decimal("1.10"), Decimal("5.10"), Decimal("9.60")], pa.decimal128(10, 2)),
    ):
        facts = Facts(ids, pa.table({"price": column}))
        assert barred_items(rules(cheap), facts, Person.nobody()).tolist() == [False, True, True]
        assert barred_items(rules(exact), facts, Person.nobody()).tolist() == [False, True, False]


def test_words_that_are_searched_for_hold_in_a_slate_too(recommender) -> None:
    title = recommender.trained.item_table["title"].to_pylist()[0]
    user, word = recommender.trained.users.ids([1]), title.split()[0]
    plain = SlateConfig(diversity="none")
    (answer,) = recommender.slate(user, 5, query=word, config=plain)
    listed = [one.item_id for one in recommender.recommend(user, k=5, query=word)]
    assert [item.item_id for item in answer.items] == listed


def test_settings_that_mean_nothing_are_refused(recommender) -> None:
    for policy in ({"mix": 3}, {"temperature": -1}, {"exploring": -3}, {"lift": 2}):
        with pytest.raises(ValueError, match=next(iter(policy))):
            SlateConfig.model_validate({"policy": policy})
    for field in ({"draws": 0}, {"strength": -1}, {"calibration": 2}):
        with pytest.raises(ValueError, match=next(iter(field))):
            SlateConfig.model_validate(field)
    worth = SlateConfig.model_validate({"policy": {"worth": {"nope": 3.0}}})
    with pytest.raises(ConfigError, match="unknown behaviour 'nope'; the log has: "):
        recommender.slate(recommender.trained.users.ids([0]), 3, config=worth)
