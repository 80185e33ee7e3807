"""Drawn slates under hard rules: what is logged is what happens."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.serve.slate.policy import Plan
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import Prepared, compose
from tests.serve.slate.shop import FACTS, IDS, names, request
from tests.serve.slate.test_hard_rules import SIMILARITY

TEA = {"attribute": "kind", "any_of": ["tea"]}
RULES = [
    {"name": "tea", "kind": "quota", "where": TEA, "at_least": 2},
    {"name": "brands", "kind": "one_per", "attribute": "brand"},
    {"name": "no c", "kind": "block", "items": ["c"]},
    {"name": "hero", "kind": "pin", "item": "g", "position": 2},
]
DRAWS = 1_500


def drawn(rules, k, temperature=0.4, **config):
    plan = Plan([], np.zeros(0, np.int64), temperature)
    made = SlateConfig.model_validate({"diversity": "none", **config})
    return request(rules, k, config=made, plan=plan, similarity_CC=SIMILARITY)


@pytest.mark.parametrize("config", [{}, {"diversity": "mmr", "strength": 0.3}])
def test_frequencies_agree_with_both_propensities(config) -> None:
    prepared = Prepared.of(drawn(RULES, 4, **config))
    rng = np.random.default_rng(1)
    slates, chances = zip(*(prepared.drawn(rng) for _ in range(DRAWS)), strict=True)
    truth = prepared.marginal(rng)
    assert truth.method == "enumeration"
    count = np.bincount(np.concatenate(slates), minlength=len(IDS)) / DRAWS
    error = np.sqrt(truth.inclusion_C * (1 - truth.inclusion_C) / DRAWS)
    assert (np.abs(count - truth.inclusion_C) <= 4 * error + 1e-9).all()
    # each slate's logged chance is how often exactly that slate was drawn
    logged = {
        names(slate): float(np.prod(chance)) for slate, chance in zip(slates, chances, strict=True)
    }
    assert sum(logged.values()) == pytest.approx(1, abs=0.02)
    for shown, chance in logged.items():
        share = np.mean([names(slate) == shown for slate in slates])
        assert abs(share - chance) <= 4.5 * np.sqrt(chance * (1 - chance) / DRAWS)
        assert shown[1] == "g"
        assert "c" not in shown


def test_a_drawn_slate_logs_its_propensities_and_candidates() -> None:
    slate = compose(drawn(RULES, 4), np.random.default_rng(0))
    assert slate.support == ""
    assert slate.temperature == 0.4
    assert slate.marginal_method == "enumeration"
    assert slate.sequential_K[1] == slate.marginal_K[1] == 1  # pinned: no chance in it
    assert (slate.sequential_K > 0).all()
    assert (slate.sequential_K <= slate.marginal_K + 1e-9).any()
    assert names(slate.candidate_C) == "abdefg"
    again = compose(drawn(RULES, 4), np.random.default_rng(0))
    assert np.array_equal(again.item_K, slate.item_K)


def test_without_rules_on_numbers_the_integral_is_used_and_agrees() -> None:
    block = {"name": "no c", "kind": "block", "items": ["c"]}
    request = drawn([block], 2)
    slate = compose(request, np.random.default_rng(0))
    assert slate.marginal_method == "integral"
    assert (slate.marginal_error_K == 0).all()
    prepared = Prepared.of(request)
    exact = prepared.marginal(np.random.default_rng(0)).inclusion_C
    # the same places under a limit that never matters here are enumerated
    pool = [{**block}, {"name": "g", "kind": "quota", "items": ["g", "f", "a"], "at_most": 2}]
    pool[1]["items"] = ["g", "f"]
    pool[1]["at_most"] = 1
    other = Prepared.of(drawn(pool, 2)).marginal(np.random.default_rng(0))
    assert other.method == "enumeration"
    assert exact[IDS.index("c")] == other.inclusion_C[IDS.index("c")] == 0
    assert other.inclusion_C.sum() == pytest.approx(exact.sum())
    # f and g can no longer stand together, so both stand less often
    assert (other.inclusion_C[-2:] < exact[-2:]).all()


def test_a_deterministic_slate_says_that_it_has_no_support() -> None:
    slate = compose(request(RULES, 4))
    assert slate.sequential_K is None
    assert slate.marginal_K is None
    assert "no support for off-policy evaluation" in slate.support


def test_marginals_may_be_left_out() -> None:
    slate = compose(drawn([], 3, marginals=False), np.random.default_rng(0))
    assert slate.sequential_K is not None
    assert slate.marginal_K is None
    assert FACTS.n_items == len(slate.candidate_C)
