"""A small shop for tests of rules, and a plain reading of what rules mean."""

from __future__ import annotations

import datetime
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from quintet.data.vocab import Vocabulary
from quintet.serve.slate.candidates import Candidates
from quintet.serve.slate.facts import Facts, Person
from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.slate import PLAIN, Request

DAY = 86_400_000_000
NOW = 1_000 * DAY
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
BEHAVIOURS = ["view", "buy"]

#: id, kinds, brand, price, age in days
SHELF: list[tuple[str, list[str], str | None, float | None, int | None]] = [
    ("a", ["tea"], "red", 1.0, 1),
    ("b", ["tea", "gift"], "red", 2.0, 5),
    ("c", ["mug"], "blue", 3.0, 9),
    ("d", ["mug", "gift"], None, 4.0, None),
    ("e", ["tea"], "blue", None, 20),
    ("f", [], "green", 6.0, 40),
    ("g", ["gift"], "green", 7.0, 2),
]
IDS = [row[0] for row in SHELF]


def facts() -> Facts:
    ages = [None if row[4] is None else EPOCH + datetime.timedelta(1_000 - row[4]) for row in SHELF]
    table = pa.table(
        {
            "kind": [row[1] for row in SHELF],
            "brand": [row[2] for row in SHELF],
            "price": [row[3] for row in SHELF],
            "released": pa.array(ages, pa.timestamp("us", tz="UTC")),
        }
    )
    first = np.array([-1 if row[4] is None else NOW - row[4] * DAY for row in SHELF])
    return Facts(Vocabulary.from_arrow(pa.array(IDS)), table, BEHAVIOURS, first)


FACTS = facts()


def request(rules: list[dict[str, Any]], k: int, met: list[tuple[str, str, int]] = (), **more):
    """The whole shelf as candidates, best first; ``met``: item, behaviour, days ago."""
    person = Person(
        np.array([IDS.index(item) for item, _, _ in met], np.int64),
        np.array([BEHAVIOURS.index(name) for _, name, _ in met], np.int64),
        np.array([NOW - days * DAY for _, _, days in met], np.int64),
        NOW,
    )
    scores = np.linspace(3, 1, len(IDS))
    pool = Candidates.ranked(np.arange(len(IDS)), scores)
    parsed = RuleSet.of({"rule": rules})
    more.setdefault("config", PLAIN)
    return Request(pool, k, FACTS, rules=parsed, person=person, **more)


def names(rows) -> str:
    return "".join(IDS[row] for row in rows)


# ---------------------------------------------------------------- what rules mean, read plainly


def matches(rule, row) -> bool:
    item, kinds, brand, price, _ = row
    if item in rule.get("items", []):
        return True
    where = rule.get("where")
    if where is None:
        return False
    values = {"kind": kinds, "brand": [brand] if brand else [], "price": []}[where["attribute"]]
    if "any_of" in where and not set(values) & set(where["any_of"]):
        return False
    if "none_of" in where and set(values) & set(where["none_of"]):
        return False
    if "least" in where and (price is None or price < where["least"]):
        return False
    return not ("most" in where and (price is None or price > where["most"]))


def out(rule, row, met) -> bool:
    """Whether a rule keeps an item out."""
    item, _, _, price, age = row
    kept_without = rule.get("missing", "drop") == "keep"
    if rule["kind"] == "filter":
        return not matches(rule, row)
    if rule["kind"] == "block":
        return matches(rule, row)
    if rule["kind"] == "price":
        if price is None:
            return not kept_without
        return not rule.get("least", 0) <= price <= rule.get("most", 99)
    if rule["kind"] == "fresh":
        return not kept_without if age is None else age > rule["days"]
    if rule["kind"] == "seen":
        wanted = rule.get("behaviours") or BEHAVIOURS
        days = rule.get("days", 10**6)
        return any(one == item and what in wanted and ago < days for one, what, ago in met)
    return False


def broken(rules, slate: str, met, *, in_order: bool = True) -> list[str]:
    """Names of the hard rules that a slate of ids breaks; without order, pins need room alone."""
    rows = [SHELF[IDS.index(item)] for item in slate]
    wrong = []
    for rule in rules:
        if any(out(rule, row, met) for row in rows):
            wrong.append(rule["name"])
        if rule["kind"] == "quota":
            count = sum(matches(rule, row) for row in rows)
            firm = rule.get("at_least", 0) if rule.get("when_short") != "relax" else 0
            if not firm <= count <= rule.get("at_most", 99):
                wrong.append(rule["name"])
        if rule["kind"] == "one_per":
            column = {"kind": 1, "brand": 2}[rule["attribute"]]
            values = [v for row in rows for v in _listed(row[column])]
            if any(values.count(value) > rule.get("most", 1) for value in values):
                wrong.append(rule["name"])
        if rule["kind"] == "pin" and not _lifted(rules, rule, met):
            place = rule["position"] - 1
            there = slate[place : place + 1] == rule["item"] if in_order else rule["item"] in slate
            if not there or len(slate) <= place:
                wrong.append(rule["name"])
    return wrong


def _listed(value) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def _lifted(rules, pin, met) -> bool:
    row = SHELF[IDS.index(pin["item"])]
    return any(rule["kind"] == "seen" and out(rule, row, met) for rule in rules)


def longest_possible(rules, k: int, met) -> int | None:
    """By trying every set of items: the most places that can be filled; None: the rules clash."""
    held = [r for r in rules if r["kind"] == "pin" and not _lifted(rules, r, met)]
    if len({r["position"] for r in held}) < len(held) or len({r["item"] for r in held}) < len(held):
        return None
    for size in range(k, -1, -1):
        for slate in combinations(IDS, size):
            if not broken(rules, "".join(slate), met, in_order=False):
                return size
    return None
