"""Slates of a trained model, ids in and ids out."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.errors import ConfigError, RuleConflictError
from quintet.serve.slate.candidates import gather
from quintet.serve.slate.diversify import cosine
from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.settings import SlateConfig

PLAIN = SlateConfig(diversity="none")


def rules(*some) -> RuleSet:
    return RuleSet.of({"rule": list(some)})


def test_a_plain_slate_is_the_plain_order(recommender) -> None:
    users = recommender.trained.users.ids([0, 1])
    plain = recommender.recommend(users, k=6)
    answers = recommender.slate(users, k=6, config=PLAIN)
    assert [i.item_id for a in answers for i in a.items] == [one.item_id for one in plain]
    assert {source for a in answers for i in a.items for source in i.sources} == {"fused"}
    assert all("no support" in answer.support for answer in answers)


def test_rules_and_their_account_by_id(recommender) -> None:
    user = recommender.trained.users.ids([0])[0]
    first, second = recommender.recommend([user], k=2)
    last = recommender.recommend([user], k=20)[-1].item_id
    asked = rules(
        {"name": "not this", "kind": "block", "items": [first.item_id]},
        {"name": "hero", "kind": "pin", "item": last, "position": 2},
    )
    (answer,) = recommender.slate([user], 4, rules=asked, config=PLAIN, account=True)
    assert [item.item_id for item in answer.items][:2] == [second.item_id, last]
    moved = {"rule": "hero", "before": None, "after": 2, "direct": True}
    assert answer.items[1].moved_by == [moved]
    taken = next(one for one in answer.taken_out if one["item_id"] == first.item_id)
    assert taken["moved_by"] == [{"rule": "not this", "before": 1, "after": None, "direct": True}]
    assert first.item_id not in answer.candidates


def test_rules_reach_beyond_the_first_candidates(recommender) -> None:
    trained = recommender.trained
    user = trained.users.ids([3])[0]
    worst = recommender.recommend([user], k=40, exclude_seen=True)[-1].item_id
    config = SlateConfig(diversity="none", generators={"fused": 3})
    only = rules({"name": "only", "kind": "quota", "items": [worst], "at_least": 1})
    (answer,) = recommender.slate([user], 3, rules=only, config=config)
    assert answer.items[-1].item_id == worst
    assert answer.items[-1].sources == ["rule: only"]


def test_items_met_come_back_when_a_rule_says_so(recommender) -> None:
    trained = recommender.trained
    user, met = trained.users.ids([0])[0], set(trained.events.users([0]).item.tolist())
    met_ids = set(trained.items.ids(sorted(met)))
    (answer,) = recommender.slate([user], 40, config=PLAIN, exclude_seen=True)
    assert not met_ids & {item.item_id for item in answer.items}
    lapsed = rules({"name": "lately", "kind": "seen", "days": 1})
    later = int(trained.events.time.max()) + 10 * 86_400_000_000
    (answer,) = recommender.slate([user], 50, rules=lapsed, config=PLAIN, now=later)
    assert met_ids & {item.item_id for item in answer.items}


def test_a_policy_gives_places_to_strategies(recommender) -> None:
    users = recommender.trained.users.ids([0, 1, 2])
    config = SlateConfig.model_validate({"diversity": "none", "policy": {"mix": 1.0}})
    depth = {"generators": {"fused": 50}}
    config = config.model_copy(update=depth)
    for mine in recommender.slate(users, 8, config=config):
        mixed = recommender.recommend([mine.user_id], k=8, slate=True)
        assert {item.item_id for item in mine.items} == {one.item_id for one in mixed}
        assert all(item.strategy for item in mine.items)


def test_draws_repeat_by_seed_and_log_their_chances(recommender) -> None:
    users = recommender.trained.users.ids([0])
    config = SlateConfig.model_validate(
        {"diversity": "none", "policy": {"temperature": 0.1, "exploring": 0.2}}
    )
    (one,) = recommender.slate(users, 5, config=config, seed=3)
    (other,) = recommender.slate(users, 5, config=config, seed=3)
    assert one == other
    assert one.support == ""
    assert one.temperature > 0.1
    assert one.inclusion_method == "integral"
    assert all(0 < item.propensity <= 1 and 0 < item.inclusion <= 1 for item in one.items)
    assert {item.item_id for item in one.items} <= set(one.candidates)


@pytest.mark.parametrize("settings", [{"diversity": "mmr"}, {"diversity": "dpp"}])
def test_diversity_and_calibration_need_nothing_from_the_caller(recommender, settings) -> None:
    config = SlateConfig.model_validate({**settings, "strength": 0.4, "calibration": 0.3})
    for interests in ("history", "predicted"):
        own = config.model_copy(update={"interests": interests})
        answers = recommender.slate(["nobody", *recommender.trained.users.ids([1])], 6, config=own)
        assert [len(answer.items) for answer in answers] == [6, 6]


def test_candidates_name_their_generators(recommender) -> None:
    trained = recommender.trained
    history = trained.events.users([2])
    pool = gather(trained, history, {"fused": 5, "transitions": 5, "trend": 3, "new": 2})
    assert len(set(pool.item_C.tolist())) == len(pool)
    assert (np.diff(pool.score_C) <= 0).all()
    assert {name for own in pool.sources for name in own} <= {
        "fused",
        "transitions",
        "trend",
        "new",
    }
    fused = [row for row, own in zip(pool.item_C, pool.sources, strict=True) if "fused" in own]
    ranked = trained.scorer.rank(history, 5, mask_history=False)
    assert set(fused) == set(ranked.items_BK[0].tolist())
    with pytest.raises(ConfigError, match="unknown generator 'trnd'; choose from: fused, new"):
        gather(trained, history, {"trnd": 3})


def test_what_cannot_be_is_refused_by_name(recommender) -> None:
    users = recommender.trained.users.ids([0])
    item = recommender.recommend(users, k=1, exclude_seen=True)[0].item_id
    clash = rules(
        {"name": "hero", "kind": "pin", "item": item, "position": 1},
        {"name": "not this", "kind": "block", "items": [item]},
    )
    with pytest.raises(RuleConflictError, match=r"'hero'.*'not this'"):
        recommender.slate(users, 3, rules=clash)
    with pytest.raises(ConfigError, match="k must be at least 1"):
        recommender.slate(users, 0)
    with pytest.raises(ConfigError, match="unknown scenario"):
        recommender.slate(users, 3, scenario="moon")


def test_items_are_alike_by_vectors_and_by_categories(recommender) -> None:
    slates = recommender.slates
    similarity = slates.similarity(np.arange(5))
    vectors = slates.trained.scorer.evidence.tables.items["content"].vector_ID[:5]
    categories = slates.categories_IG[:5]
    alike = (categories @ categories.T).toarray()
    expected = 0.9 * alike + 0.1 * cosine(vectors.detach().numpy())
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(similarity, expected)
    assert np.linalg.eigvalsh(similarity).min() > -1e-9, "a kernel"
    assert slates.at(3).categories_IG is slates.categories_IG


def test_a_rule_holds_where_the_context_says_so(recommender) -> None:
    user = recommender.trained.users.ids([0])[0]
    device = recommender.trained.model.shape.devices[0]
    first = recommender.slate([user], 3, config=PLAIN)[0].items[0].item_id
    asked = rules(
        {"name": "there", "kind": "block", "items": [first], "when": {"device": [device]}}
    )
    for context, blocked in ((None, False), ({"device": device}, True)):
        (answer,) = recommender.slate([user], 3, rules=asked, config=PLAIN, context=context)
        assert (first not in [item.item_id for item in answer.items]) or not blocked
        assert (first in answer.candidates) != blocked


def test_rules_know_the_separators_of_the_catalogue(recommender) -> None:
    separators = recommender.trained.item_encoder.separators
    assert recommender.slates.facts.separators == separators
