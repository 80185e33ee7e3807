"""Rules that can never hold together, found before anyone is served, with the names of all of them.

What the rules say of themselves is compared first, for it makes the plainest message. With the
catalogue at hand, the same integer program that makes slates decides whether one exists at all, and
a smallest set of rules is found that cannot hold together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from quintet.data.interactions import Ints
from quintet.serve.slate.bound import barred_items, bind, chosen
from quintet.serve.slate.facts import Facts, Person
from quintet.serve.slate.program import clashing, longest
from quintet.serve.slate.rules import (
    Block,
    Boost,
    Filter,
    Fresh,
    OnePer,
    Pin,
    Price,
    Quota,
    Rule,
    RuleSet,
    Where,
)


@dataclass(frozen=True)
class Contradiction:
    """Rules that cannot hold together, by name, and why."""

    rules: tuple[str, ...]
    message: str


def contradictions(rules: RuleSet, k: int, facts: Facts | None) -> list[Contradiction]:
    """All that is found in any scenario; see :meth:`RuleSet.check`."""
    named = dict.fromkeys(scenario for rule in rules.rule for scenario in rule.scenarios)
    found: dict[tuple[str, ...], Contradiction] = {}
    for scenario in (None, *named):
        for one in _in_one_scenario(rules.at(scenario), k, facts):
            found.setdefault(one.rules, one)
    return list(found.values())


def _in_one_scenario(rules: RuleSet, k: int, facts: Facts | None) -> Iterator[Contradiction]:
    left = rules
    for one in _alone_and_in_pairs(rules.rule, k):
        yield one
        left = left.without(one.rules[-1])
    if facts is None:
        return
    holds = _Holds(left, facts, k)
    while not holds(left.names):
        names = clashing(left.names, holds)
        if not names:
            break
        yield Contradiction(tuple(names), _words([r for r in left.rule if r.name in names], k))
        left = left.without(names[-1])


def _alone_and_in_pairs(rules: Sequence[Rule], k: int) -> Iterator[Contradiction]:
    for rule in rules:
        why = _alone(rule, k)
        if why:
            yield Contradiction((rule.name,), f"{described(rule)}: {why}")
    for one, other in combinations(rules, 2):
        why = _pair(one, other) or _pair(other, one)
        if why:
            both = f"{described(one)} and {described(other)} contradict each other"
            yield Contradiction((one.name, other.name), f"{both}: {why}")


def _alone(rule: Rule, k: int) -> str:
    if isinstance(rule, Pin) and rule.position > k:
        return f"the slate has {k} places"
    if isinstance(rule, Quota) and rule.at_least > k and rule.when_short == "refuse":
        return f"it asks for {rule.at_least} of {k} places"
    return ""


def _pair(one: Rule, other: Rule) -> str:
    if isinstance(one, Pin) and isinstance(other, Pin):
        if one.position == other.position:
            return f"both claim place {one.position}"
        if one.item == other.item:
            return f"item {one.item!r} cannot stand at two places"
    if isinstance(one, Pin) and isinstance(other, Block) and one.item in other.items:
        return f"item {one.item!r} is pinned and blocked"
    if isinstance(one, Price) and isinstance(other, Price) and one.attribute == other.attribute:
        least = max(_or(one.least, -np.inf), _or(other.least, -np.inf))
        most = min(_or(one.most, np.inf), _or(other.most, np.inf))
        if least > most and "drop" in (one.missing, other.missing):
            return f"no price is at least {least:g} and at most {most:g}"
    if isinstance(one, Quota) and isinstance(other, Quota):
        same = one.items == other.items and one.where == other.where
        firm = one.when_short == "refuse"
        if same and firm and other.at_most is not None and one.at_least > other.at_most:
            return f"at least {one.at_least} and at most {other.at_most} of the same items"
    return ""


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


class _Holds:
    """Whether some slate of at least one place keeps the named rules, for someone unknown."""

    def __init__(self, rules: RuleSet, facts: Facts, k: int) -> None:
        self.rules, self.facts, self.k = rules, facts, k
        first = facts.first_I if facts.first_I is not None else np.zeros(0, np.int64)
        self.person = Person.nobody(int(first.max(initial=0)))

    def __call__(self, names: Sequence[str]) -> bool:
        rules = self.rules.only(names)
        some = representatives(rules, self.facts, self.person, self.k)
        # values that items share across groups may leave too few; only all items can say no
        return any(self._fill(rules, rows) for rows in (some, np.arange(self.facts.n_items)))

    def _fill(self, rules: RuleSet, rows: Ints) -> bool:
        size = longest(bind(rules, self.facts, self.person, rows), self.k)
        return size is not None and size > 0


def representatives(rules: RuleSet, facts: Facts, person: Person, k: int) -> Ints:
    """Rows of items enough to make any slate that the catalogue allows, as far as rules can tell.

    Items that the rules do not tell apart are interchangeable: ``k`` of each kind are enough. With
    one-per-group rules a kind needs items of different groups: ``2 k`` groups are enough, for a
    slate of ``k`` leaves as many unused, where a group has one value and one rule speaks of it.
    """
    marks = [~barred_items(rules, facts, person)]
    for rule in rules.rule:
        if isinstance(rule, Quota):
            marks.append(chosen(rule, facts))
        elif isinstance(rule, Pin):
            marks.append(np.arange(facts.n_items) == facts.row(rule.item, rule.name))
    kind_I = _numbered(np.stack(marks, axis=1))
    groups = [rule for rule in rules.rule if isinstance(rule, OnePer)]
    group_I = kind_I
    for rule in groups:
        labels = facts.labels(rule.attribute, rule.name)
        bounds = zip(labels.offsets[:-1], labels.offsets[1:], strict=True)
        value_sets = [tuple(sorted(labels.codes[low:high].tolist())) for low, high in bounds]
        number = {values: index for index, values in enumerate(dict.fromkeys(value_sets))}
        own_I = np.array([number[values] for values in value_sets], np.int64)
        group_I = _numbered(np.stack([group_I, own_I], axis=1))
    within_I = _position_within(group_I)
    if not groups:
        return np.flatnonzero(within_I < k)
    leader_I = np.flatnonzero(within_I == 0)
    kept_groups = leader_I[_position_within(kind_I[leader_I]) < 2 * k]
    return np.flatnonzero((within_I < k) & np.isin(group_I, group_I[kept_groups]))


def _numbered(rows_IM: np.ndarray) -> Ints:
    """[I] a number for every distinct row."""
    _, number_I = np.unique(rows_IM, axis=0, return_inverse=True)
    return np.asarray(number_I.reshape(-1), np.int64)


def _position_within(group_N: Ints) -> Ints:
    """[N] how many before it are of the same group."""
    order = np.argsort(group_N, kind="stable")
    start = np.searchsorted(group_N[order], group_N[order])
    position = np.empty(len(group_N), np.int64)
    position[order] = np.arange(len(group_N)) - start
    return position


def _words(rules: Sequence[Rule], k: int) -> str:
    listed = " and ".join(described(rule) for rule in rules)
    if len(rules) == 1:
        return f"{listed}: the catalogue allows no slate of up to {k} places that keeps it"
    return (
        f"{listed} cannot hold together: the catalogue allows no slate of up to {k} places that "
        "keeps them; change one of them"
    )


def refusal(rules: RuleSet, names: Sequence[str], k: int) -> str:
    """Why a request is refused: the rules that clash over its candidates."""
    listed = " and ".join(described(rule) for rule in rules.rule if rule.name in names)
    return f"no slate of up to {k} places of these candidates keeps {listed}; change one of them"


def described(rule: Rule) -> str:
    """A rule in a few words."""
    return f"{rule.kind} {rule.name!r}{_detail(rule)}"


def _detail(rule: Rule) -> str:
    if isinstance(rule, Pin):
        return f" (item {rule.item!r} at place {rule.position})"
    if isinstance(rule, Quota):
        limits = [f"at least {rule.at_least}"] if rule.at_least else []
        limits += [f"at most {rule.at_most}"] if rule.at_most is not None else []
        return f" ({' and '.join(limits)} of {_which(rule.items, rule.where)})"
    if isinstance(rule, Filter):
        return f" (only {_which([], rule.where)})"
    if isinstance(rule, Block | Boost):
        return f" ({_which(rule.items, rule.where)})"
    if isinstance(rule, Price):
        return f" ({_band(rule.attribute, rule.least, rule.most)})"
    if isinstance(rule, Fresh):
        return f" (at most {rule.days:g} days old)"
    if isinstance(rule, OnePer):
        return f" (at most {rule.most} of each {rule.attribute})"
    return ""


def _which(items: Sequence[object], where: Where | None) -> str:
    parts = [f"items {', '.join(map(repr, items))}"] if items else []
    if where is not None:
        wanted = [f"{where.attribute} in {where.any_of}"] if where.any_of else []
        wanted += [f"{where.attribute} not in {where.none_of}"] if where.none_of else []
        if where.least is not None or where.most is not None:
            wanted.append(_band(where.attribute, where.least, where.most))
        parts.append(" and ".join(wanted))
    return " or ".join(parts)


def _band(attribute: str, least: float | None, most: float | None) -> str:
    low = "" if least is None else f"{least:g} <= "
    high = "" if most is None else f" <= {most:g}"
    return f"{low}{attribute}{high}"
