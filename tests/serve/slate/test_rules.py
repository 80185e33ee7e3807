"""Rules files: what is refused, in words that help, and which rules contradict each other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from quintet.data.vocab import Vocabulary
from quintet.errors import ConfigError, RuleConflictError
from quintet.serve.slate.bound import barred_items
from quintet.serve.slate.facts import Facts, Person
from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.slate import compose
from tests.serve.slate.shop import FACTS, names, request


def rule(name: str, kind: str, **fields):
    return {"name": name, "kind": kind, **fields}


TEA = {"attribute": "kind", "any_of": ["tea"]}
GIFT = {"attribute": "kind", "any_of": ["gift"]}


def test_a_file_of_rules(tmp_path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        """
        [[rule]]
        name = "no mugs"
        kind = "block"
        where = { attribute = "kind", any_of = ["mug"] }

        [[rule]]
        name = "tea first"
        kind = "pin"
        item = "e"
        position = 1
        scenarios = ["morning"]
        """
    )
    rules = RuleSet.read(path)
    assert rules.names == ["no mugs", "tea first"]
    assert rules.at("morning").names == ["no mugs", "tea first"]
    assert rules.at("evening").names == rules.at(None).names == ["no mugs"]
    assert rules.without("no mugs").names == ["tea first"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (rule("x", "blok", items=["a"]), ["rule 1 ('x')", "unknown kind 'blok'", "block, pin"]),
        ({"name": "x"}, ["rule 1 ('x')", "has no kind", "filter, block"]),
        (rule("x", "pin", item="a"), ["position is missing", "it takes", "item"]),
        (rule("x", "pin", item="a", place=1, position=1), ["unknown setting 'place'", "position"]),
        (rule("x", "pin", item="a", position=0), ["position", "greater than or equal to 1"]),
        (rule("x", "pin", item="a", position=True), ["position", "integer", "True"]),
        (rule("x", "block"), ["say which: items"]),
        (rule("x", "filter", where={"attribute": "kind"}), ["say any_of, none_of"]),
        (
            rule("x", "filter", where={"attribute": "kind", "anyof": ["tea"]}),
            ["where.anyof", "any_of"],
        ),
        (rule("x", "quota", items=["a"]), ["at_least or at_most"]),
        (rule("x", "quota", items=["a"], at_least=3, at_most=2), ["at_least = 3", "at_most = 2"]),
        (rule("x", "price", least=5, most=2), ["least = 5 is above most = 2"]),
        (rule("x", "price"), ["say least or most"]),
        (rule("x", "fresh", days=0), ["days", "greater than 0"]),
        (rule("x", "one_per", attribute="kind", most=0), ["most", "greater than or equal to 1"]),
    ],
)
def test_what_is_wrong_is_said_with_the_rules_name(wrong, words) -> None:
    with pytest.raises(ConfigError) as error:
        RuleSet.of({"rule": [wrong]}, "rules.toml")
    for word in ["rules.toml", *words]:
        assert word in str(error.value)


def test_two_rules_of_one_name_are_refused() -> None:
    twice = [rule("x", "seen"), rule("x", "seen")]
    with pytest.raises(ConfigError, match="two rules are called 'x'"):
        RuleSet.of({"rule": twice})
    with pytest.raises(ConfigError, match=r"list of \[\[rule\]\] tables"):
        RuleSet.of({"rules": []})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (rule("x", "block", items=["zz"]), "rule 'x': item 'zz' is not in the catalogue"),
        (
            rule("x", "filter", where={"attribute": "kinds", "any_of": ["tea"]}),
            "rule 'x': the catalogue has no attribute 'kinds'; did you mean 'kind'?",
        ),
        (rule("x", "seen", behaviours=["bought"]), "rule 'x': unknown behaviour 'bought'"),
        (rule("x", "price", attribute="brand", most=2), "'brand' holds string, no numbers"),
        (rule("x", "fresh", attribute="price", days=2), "'price' holds double, no dates"),
    ],
)
def test_what_the_catalogue_does_not_hold_is_named(wrong, words) -> None:
    if wrong["kind"] == "seen":
        asked = request([wrong], 2, [("a", "buy", 1)])
    else:
        asked = request([wrong], 2)
    with pytest.raises(ConfigError) as error:
        compose(asked)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            rule("p", "pin", item="a", position=1),
            rule("q", "block", items=["a"]),
            "pinned and blocked",
        ),
        (
            rule("p", "pin", item="a", position=1),
            rule("q", "pin", item="b", position=1),
            "both claim place 1",
        ),
        (
            rule("p", "pin", item="a", position=1),
            rule("q", "pin", item="a", position=2),
            "two places",
        ),
        (rule("p", "price", least=5), rule("q", "price", most=2), "no price is at least 5"),
        (
            rule("p", "quota", where=TEA, at_least=3),
            rule("q", "quota", where=TEA, at_most=1),
            "at least 3 and at most 1",
        ),
    ],
)
def test_contradictions_that_rules_show_by_themselves(first, second, words) -> None:
    for pair in ([first, second], [second, first]):
        found = RuleSet.of({"rule": pair}).check(4)
        assert [set(one.rules) for one in found] == [{"p", "q"}]
        assert "'p'" in found[0].message
        assert "'q'" in found[0].message
        assert words in found[0].message


@pytest.mark.parametrize(
    ("some", "clash"),
    [
        # e, f and g are 20, 40 and 2 days old; all but g are barred, and g is no tea
        (
            [
                rule("fresh", "fresh", attribute="released", days=3),
                rule("tea", "filter", where=TEA),
            ],
            None,
        ),
        (
            [
                rule("cheap", "price", most=0.5),
                rule("other", "boost", items=["a"], add=1.0),
            ],
            {"cheap"},
        ),
        (
            [rule("pin", "pin", item="c", position=1), rule("tea", "filter", where=TEA)],
            {"pin", "tea"},
        ),
        # of 4 places 3 tea and 2 mugs: no item is both
        (
            [
                rule("tea", "quota", where=TEA, at_least=3),
                rule("mug", "quota", where={"attribute": "kind", "any_of": ["mug"]}, at_least=2),
            ],
            {"tea", "mug"},
        ),
        # three gifts are of the brands red, none and green: two of red would be needed
        (
            [
                rule("tea", "quota", where=TEA, at_least=3),
                rule("brands", "one_per", attribute="brand"),
            ],
            {"tea", "brands"},
        ),
        (
            [
                rule("a", "pin", item="a", position=1),
                rule("b", "pin", item="b", position=2),
                rule("brands", "one_per", attribute="brand"),
            ],
            {"a", "b", "brands"},
        ),
        ([rule("gifts", "quota", where=GIFT, at_least=5)], {"gifts"}),
        ([rule("gifts", "quota", where=GIFT, at_least=3)], None),
    ],
)
def test_contradictions_that_take_the_catalogue(some, clash) -> None:
    found = RuleSet.of({"rule": some}).check(4, FACTS)
    assert [set(one.rules) for one in found] == ([] if clash is None else [clash])
    if clash is not None:
        assert all(repr(name) in found[0].message for name in clash)


def test_rules_of_different_scenarios_do_not_clash() -> None:
    some = [
        rule("p", "pin", item="a", position=1, scenarios=["shop"]),
        rule("q", "block", items=["a"], scenarios=["feed"]),
    ]
    assert RuleSet.of({"rule": some}).check(3, FACTS) == []
    some[1]["scenarios"] = ["shop", "feed"]
    assert len(RuleSet.of({"rule": some}).check(3, FACTS)) == 1


def test_a_rule_may_hold_in_some_contexts_only() -> None:
    some = [
        rule("small", "block", items=["a"], when={"device": ["phone", "watch"]}),
        rule("adults", "block", items=["b"], when={"adult": [False], "device": ["phone"]}),
    ]
    rules = RuleSet.of({"rule": some})
    assert rules.at(None).names == []
    assert rules.at(None, {"device": "phone"}).names == ["small"]
    assert rules.at(None, {"device": "phone", "adult": False}).names == ["small", "adults"]
    assert rules.at(None, {"device": "phone", "adult": 0}).names == ["small"]  # 0 is not false
    assert rules.at(None, {"device": "screen", "adult": False}).names == []


def test_each_kind_does_what_it_says() -> None:
    def shown(*some, k=3, met=()):
        return names(compose(request(list(some), k, met)).item_K)

    assert shown() == "abc"
    assert shown(rule("x", "filter", where=GIFT)) == "bdg"
    assert shown(rule("x", "block", items=["a"])) == "bcd"
    assert shown(rule("x", "pin", item="f", position=2)) == "afb"
    assert shown(rule("x", "boost", items=["d"], add=0.4)) == "adb"  # 2 of the 6 steps of 1/6
    assert shown(rule("x", "quota", where=GIFT, at_least=2)) == "abd"
    assert shown(rule("x", "quota", where=TEA, at_most=1)) == "acd"
    assert shown(rule("x", "price", least=3, most=6)) == "cdf"
    assert shown(rule("x", "price", least=3, missing="keep")) == "cde"
    assert shown(rule("x", "fresh", attribute="released", days=6)) == "abg"
    assert shown(rule("x", "fresh", days=6, missing="keep")) == "abd"
    assert shown(rule("x", "one_per", attribute="brand")) == "acd"
    met = [("a", "view", 2), ("b", "buy", 20)]
    assert shown(rule("x", "seen"), met=met) == "cde"
    assert shown(rule("x", "seen", days=7), met=met) == "bcd"
    assert shown(rule("x", "seen", behaviours=["buy"]), met=met) == "acd"


def test_a_pin_is_lifted_for_who_has_been_done_with_it() -> None:
    some = [rule("hero", "pin", item="f", position=1), rule("bought", "seen", behaviours=["buy"])]
    assert names(compose(request(some, 2)).item_K) == "fa"
    slate = compose(request(some, 2, [("f", "buy", 1)]))
    assert names(slate.item_K) == "ab"
    assert slate.notes == ["rule 'hero' is lifted: 'bought' keeps item 'f' out here"]


def test_a_quota_that_may_relax_says_so() -> None:
    quota = rule("mugs", "quota", where={"attribute": "kind", "any_of": ["mug"]}, at_least=3)
    with pytest.raises(RuleConflictError, match="'mugs'"):
        compose(request([quota], 4))
    slate = compose(request([{**quota, "when_short": "relax"}], 4))
    assert names(slate.item_K) == "abcd"
    assert slate.notes == ["rule 'mugs' is relaxed: 2 of at least 3 such items could be shown"]


def test_a_short_slate_says_why() -> None:
    slate = compose(request([rule("dear", "price", least=6)], 4))
    assert names(slate.item_K) == "fg"
    assert slate.notes == ["2 of 4 places are filled: 7 candidates; kept out by 'dear' (5)"]
    nothing = compose(request([rule("dear", "price", least=60)], 4))
    assert np.array_equal(nothing.item_K, [])
    assert "0 of 4 places" in nothing.notes[0]


def test_several_categories_in_one_text_are_seen_one_by_one() -> None:
    table = pa.table({"kind": ["spirits", "wine | spirits", "toys", None]})
    vocabulary = Vocabulary.from_arrow(pa.array(["a", "b", "c", "d"]))
    shelf = Facts(vocabulary, table, separators={"kind": "|"})
    where = {"attribute": "kind", "any_of": ["spirits"]}
    rule = RuleSet.of({"rule": [{"name": "no", "kind": "block", "where": where}]})
    nobody = Person(*(np.zeros(0, np.int64),) * 3, 0)
    assert barred_items(rule, shelf, nobody).tolist() == [True, True, False, False]
