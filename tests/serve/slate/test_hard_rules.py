"""No emitted slate ever breaks a hard rule, and none is refused or cut short without need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quintet.errors import RuleConflictError
from quintet.serve.slate.policy import Plan
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import compose
from tests.serve.slate.shop import BEHAVIOURS, IDS, broken, longest_possible, names, request

wheres = st.one_of(
    st.fixed_dictionaries(
        {
            "attribute": st.just("kind"),
            "any_of": st.lists(st.sampled_from(["tea", "mug", "gift"]), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"attribute": st.just("brand"), "none_of": st.just(["red"])}),
    st.fixed_dictionaries({"attribute": st.just("price"), "least": st.sampled_from([2, 4])}),
)
items = st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)
chosen = st.one_of(
    st.fixed_dictionaries({"where": wheres}), st.fixed_dictionaries({"items": items})
)
missing = st.sampled_from(["drop", "keep"])


def kind(name: str, **fields):
    return st.fixed_dictionaries({"kind": st.just(name), **fields})


def with_items(name: str, **fields):
    return st.tuples(kind(name, **fields), chosen).map(lambda two: {**two[0], **two[1]})


rules = st.one_of(
    kind("filter", where=wheres),
    with_items("block"),
    kind("pin", item=st.sampled_from(IDS), position=st.integers(1, 4)),
    with_items("boost", add=st.sampled_from([-0.5, 0.5])),
    with_items("quota", at_least=st.integers(1, 3)),
    with_items("quota", at_least=st.integers(1, 3), when_short=st.just("relax")),
    with_items("quota", at_most=st.integers(0, 2)),
    with_items("quota", at_least=st.just(1), at_most=st.integers(1, 3)),
    kind("price", least=st.sampled_from([0, 2]), most=st.sampled_from([4, 9]), missing=missing),
    kind("fresh", attribute=st.just("released"), days=st.sampled_from([6, 30]), missing=missing),
    kind("seen", behaviours=st.sampled_from([[], ["buy"]]), days=st.sampled_from([3, 30])),
    kind("one_per", attribute=st.sampled_from(["kind", "brand"]), most=st.integers(1, 2)),
)
rule_sets = st.lists(rules, max_size=5).map(
    lambda some: [{**rule, "name": f"rule {number}"} for number, rule in enumerate(some)]
)
histories = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(BEHAVIOURS), st.integers(1, 40)), max_size=3
)
#: each example is a whole slate, on machines that do other work too
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RNG = np.random.default_rng(1)
SIMILARITY = np.corrcoef(RNG.normal(size=(len(IDS), 4)))
CONFIGS = [
    SlateConfig(diversity="none"),
    SlateConfig(diversity="mmr", strength=0.4),
    SlateConfig(diversity="dpp", strength=0.4),
]


@settings(SLOW, max_examples=80)
@given(
    rule_sets,
    histories,
    st.integers(1, 4),
    st.sampled_from(CONFIGS),
    st.sampled_from([0.0, 0.3]),
)
def test_no_slate_breaks_a_hard_rule(some, met, k, config, temperature) -> None:
    plan = Plan([], np.zeros(0, np.int64), temperature)
    config = config.model_copy(update={"marginals": False})
    asked = request(some, k, met, config=config, plan=plan, similarity_CC=SIMILARITY)
    possible = longest_possible(some, k, met)
    try:
        slate = compose(asked, np.random.default_rng(0))
    except RuleConflictError:
        assert possible is None, "refused, though a slate exists"
        return
    shown = names(slate.item_K)
    assert broken(some, shown, met) == []
    assert len(set(shown)) == len(shown) == possible
    assert (len(shown) < k) == any("places are filled" in note for note in slate.notes)
    assert set(shown) <= set(names(slate.candidate_C))


@settings(SLOW, max_examples=25)
@given(rule_sets, st.integers(1, 4))
def test_a_refusal_names_rules_that_clash_and_each_of_them_matters(some, k) -> None:
    if longest_possible(some, k, []) is not None:
        return
    with pytest.raises(RuleConflictError) as refused:
        compose(request(some, k))
    named = [rule for rule in some if repr(rule["name"]) in str(refused.value)]
    assert longest_possible(named, k, []) is None
    for rule in named:
        others = [other for other in named if other is not rule]
        assert longest_possible(others, k, []) is not None


@settings(SLOW, max_examples=30)
@given(rule_sets, st.integers(1, 4))
def test_check_finds_what_no_slate_can_keep(some, k) -> None:
    asked = request(some, k)
    found = asked.rules.check(k, asked.facts)
    assert bool(found) == (not longest_possible(some, k, []))
    for one in found:
        assert all(repr(name) in one.message for name in one.rules)
