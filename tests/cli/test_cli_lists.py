"""The commands that list by session, by basket and under rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.serve.recommender import Recommender
from tests.cli.running import done, quintet

RULES = """
[[rule]]
name = "one of a kind"
kind = "one_per"
attribute = "category"

[[rule]]
name = "not again"
kind = "seen"
"""


@pytest.fixture(scope="module")
def recommender(bundle: Path) -> Recommender:
    return Recommender.load(bundle)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def test_a_search_beside_an_item_says_what_the_library_says(bundle, recommender) -> None:
    user, page = recommender.trained.users.ids([3])[0], recommender.trained.items.ids([7])[0]
    told = ("--scenario", "search", "--query", "green tea", "--context", f"page_item={page}")
    rows = done("recommend", bundle, user, "--k", 4, *told, "--format", "json").json
    context = {"page_item": page}
    best = recommender.recommend([user], 4, scenario="search", query="green tea", context=context)
    assert [row["score"] for row in rows] == pytest.approx([one.score for one in best], abs=1e-5)
    assert [row["item_id"] for row in rows] == [one.item_id for one in best]


def test_what_a_model_does_not_read_is_said(bundle, recommender) -> None:
    user = recommender.trained.users.ids([3])[0]
    run = done("recommend", bundle, user, "--context", "device=phone")
    assert "device changes nothing" in run.err
    for wrong, told in (("device", "key=value"), ("mood=good", "choose from")):
        refused = quintet("recommend", bundle, user, "--context", wrong)
        assert refused.code != 0
        assert told in refused.err


def test_a_session_and_a_basket_say_what_the_library_says(bundle, recommender) -> None:
    one, other = recommender.trained.items.ids([0, 1])
    rows = done("session", bundle, one, other, "--k", 4, "--format", "json").json
    best = recommender.related.session([one, other], 4)
    assert [row["item_id"] for row in rows] == [answer.item_id for answer in best]
    rows = done("together", bundle, one, "--by", "view", "--format", "json").json
    assert rows == recommender.related.bought_together(one, 10, behaviour="view")
    user = recommender.trained.users.ids([0])[0]
    rows = done("basket", bundle, user, "--k", 3, "--format", "json").json
    assert rows == recommender.related.next_basket(user, 3)
    assert one in done("together", bundle, one, "--by", "view").out


def test_a_slate_names_the_rule_that_moved_an_item(bundle, rules, recommender) -> None:
    users = recommender.trained.users.ids(range(5))
    answers = done("slate", bundle, *users, "--rules", rules, "--format", "json").json
    assert [one["user_id"] for one in answers] == users
    category = dict(
        zip(
            recommender.trained.items.ids(range(len(recommender.trained.items))),
            recommender.trained.item_table["category"].to_pylist(),
            strict=True,
        )
    )
    for answer in answers:
        kinds = [category[item["item_id"]] for item in answer["items"]]
        assert all(kinds.count(kind) == 1 for kind in kinds)
    moved = {m["rule"] for a in answers for i in a["items"] for m in i["moved_by"]}
    assert "one of a kind" in moved


def test_a_dry_run_prices_every_rule(bundle, rules) -> None:
    found = done("rules", bundle, rules, "--people", 20, "--k", 5, "--format", "json").json
    assert [row["rule"] for row in found["rules"]] == ["one of a kind", "not again"]
    for row in found["rules"]:
        assert row["lost"] >= 0
        assert 0 <= row["slates_changed"] <= 1
        assert -1 <= row["ndcg_change"] <= 1
    assert "one of a kind" in done("rules", bundle, rules, "--people", 5).out


def test_rules_that_clash_are_both_named(bundle, tmp_path, recommender) -> None:
    item = recommender.trained.items.ids([0])[0]
    path = tmp_path / "clash.toml"
    path.write_text(
        f'[[rule]]\nname = "hero"\nkind = "pin"\nitem = "{item}"\nposition = 1\n'
        f'[[rule]]\nname = "recall"\nkind = "block"\nitems = ["{item}"]\n'
    )
    run = quintet("rules", bundle, path)
    assert run.code == 2
    assert "hero" in run.err
    assert "recall" in run.err


def test_a_dry_run_is_of_the_scenario_that_is_named(bundle, rules) -> None:
    run = quintet("rules", bundle, rules, "--people", 5, "--scenario", "nowhere")
    assert run.code == 2
    assert "nowhere" in run.err
    named = done("rules", bundle, rules, "--people", 5, "--scenario", "shop", "--format", "json")
    assert named.json["rules"]
