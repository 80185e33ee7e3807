"""The account of a slate: every move has its rule, and a rule's price is what a rerun says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from quintet.errors import RuleConflictError
from quintet.serve.slate.account import dry_run, priced
from quintet.serve.slate.policy import Plan
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import compose
from tests.serve.slate.shop import IDS, names, request
from tests.serve.slate.test_hard_rules import SIMILARITY, SLOW, histories, rule_sets

NO_TEA = {
    "name": "no tea",
    "kind": "block",
    "where": {"attribute": "kind", "any_of": ["tea"]},
}
PIN = {"name": "hero", "kind": "pin", "item": "g", "position": 1}


def moves(slate) -> list[tuple[str, str, int | None, int | None, bool]]:
    return [(IDS[m.item], m.rule, m.before, m.after, m.direct) for m in slate.moves]


def test_moves_by_hand() -> None:
    slate = compose(request([NO_TEA, PIN], 3), account=True)
    # plain abc; without tea (a, b, e): cdf; with g first: gcd
    assert names(slate.item_K) == "gcd"
    assert moves(slate) == [
        ("c", "no tea", 3, 1, False),
        ("d", "no tea", None, 2, False),
        ("f", "no tea", None, 3, False),
        ("a", "no tea", 1, None, True),
        ("b", "no tea", 2, None, True),
        ("g", "hero", None, 1, True),
        ("c", "hero", 1, 2, False),
        ("d", "hero", 2, 3, False),
        ("f", "hero", 3, None, False),
    ]
    assert [m.after for m in slate.moved(IDS.index("c"))] == [1, 2]


def test_what_the_strategy_lifts_is_told_of_as_its_move() -> None:
    lift_C = np.zeros(len(request([], 3).pool), np.float32)
    lift_C[4] = 100.0  # e above all
    plan = Plan([], np.zeros(0, np.int64), 0.0, lift_C)
    slate = compose(request([], 3, plan=plan), account=True)
    assert names(slate.item_K) == "eab"
    assert moves(slate) == [
        ("e", "strategy", None, 1, True),
        ("a", "strategy", 1, 2, True),
        ("b", "strategy", 2, 3, True),
        ("c", "strategy", 3, None, True),
    ]


@settings(SLOW, max_examples=25)
@given(rule_sets, histories)
def test_followed_one_by_one_moves_lead_from_the_plain_place_to_the_last(some, met) -> None:
    config = SlateConfig(diversity="mmr", strength=0.4, marginals=False)
    plan = Plan([], np.zeros(0, np.int64), 0.3)
    asked = request(some, 4, met, config=config, plan=plan, similarity_CC=SIMILARITY)
    try:
        slate = compose(asked, np.random.default_rng(0), account=True)
    except RuleConflictError:
        return
    place = {row: rank for rank, row in enumerate(range(4), 1)}  # the plain slate: abcd
    for move in slate.moves:
        assert place.get(move.item) == move.before
        place[move.item] = move.after
    shown = {row: rank for row, rank in place.items() if rank is not None}
    assert shown == {int(row): rank for rank, row in enumerate(slate.item_K, 1)}


def test_a_price_by_hand() -> None:
    # scores from 3 down to 1 in steps of 1/3: relevance 1, 5/6, 4/6 ... 0
    # with both rules gcd: 0 + 4/6 + 3/6; without the pin cdf: 4/6 + 3/6 + 1/6;
    # without the block gab: 0 + 1 + 5/6
    by_name = {price.rule: price for price in priced([request([NO_TEA, PIN], 3)])}
    assert by_name["hero"].value == pytest.approx(7 / 6)
    assert by_name["hero"].lost == pytest.approx(1 / 6)
    assert by_name["no tea"].lost == pytest.approx(4 / 6)
    assert by_name["hero"].changed == by_name["no tea"].changed == 1


@settings(SLOW, max_examples=15)
@given(rule_sets, histories)
def test_prices_match_a_recomputation(some, met) -> None:
    requests = [request(some, 3, met), request(some, 4)]
    try:
        slates = [compose(one) for one in requests]
    except RuleConflictError:
        return
    relevance = np.linspace(1, 0, len(IDS))
    value = np.mean([relevance[slate.item_K].sum() for slate in slates])
    shown = [set(slate.item_K.tolist()) for slate in slates]

    def with_a(lists) -> float:
        return float(np.mean([0 in rows for rows in lists]))

    for price in priced(requests, with_a):
        fewer = [replace(one, rules=one.rules.without(price.rule)) for one in requests]
        try:
            others = [compose(one) for one in fewer]
        except RuleConflictError:
            continue  # the rule lifts a pin that cannot be kept without it
        without = np.mean([relevance[slate.item_K].sum() for slate in others])
        assert price.value == pytest.approx(value)
        assert price.lost == pytest.approx(without - value)
        assert price.metric == pytest.approx(np.mean([0 in rows for rows in shown]))
        assert price.metric_without == pytest.approx(np.mean([0 in s.item_K for s in others]))


def test_a_dry_run_tells_what_would_happen() -> None:
    idle = {"name": "no gin", "kind": "block", "where": {"attribute": "kind", "any_of": ["gin"]}}
    seen = {"name": "bought", "kind": "seen", "behaviours": ["buy"]}
    some = [NO_TEA, PIN, idle, seen]
    report = dry_run([request(some, 3), request(some, 3, [("g", "buy", 1)])])
    assert report.contradictions == []
    assert report.idle == ["no gin"]
    assert {price.rule for price in report.prices} == {"no tea", "hero", "no gin", "bought"}
    assert report.moves["hero"] == {"in": 1, "out": 0, "moved": 0}
    assert report.moves["no tea"] == {"in": 0, "out": 4, "moved": 0}
    assert report.notes == {
        "rule 'hero' is lifted: 'bought' keeps item 'g' out here": 1,
    }


def test_a_dry_run_stops_at_contradictions() -> None:
    block = {"name": "no g", "kind": "block", "items": ["g"]}
    report = dry_run([request([PIN, block], 3)])
    assert [one.rules for one in report.contradictions] == [("hero", "no g")]
    assert report.prices == []
    assert dry_run([]).contradictions == []
