"""Rules laid over the candidates of one request: who may be shown, and how many of whom.

Shapes: C candidates, I items of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from quintet.data.interactions import MICROSECONDS_PER_DAY, Ints, Mask
from quintet.serve.slate.facts import Facts, Person, Values
from quintet.serve.slate.rules import (
    Block,
    Boost,
    Chooses,
    Filter,
    Fresh,
    OnePer,
    Pin,
    Price,
    Quota,
    Rule,
    RuleSet,
    Seen,
    Where,
)

#: more places than any slate has
UNLIMITED = 1 << 30


@dataclass(frozen=True)
class Bar:
    """Candidates that a rule keeps out: ``barred_C`` [C]; ``personal`` where history decides."""

    rule: str
    barred_C: Mask
    personal: bool = False


@dataclass(frozen=True)
class Limit:
    """How many of the members [C] the slate may hold, both ends included."""

    rule: str
    member_C: Mask
    least: int = 0
    most: int = UNLIMITED


@dataclass(frozen=True)
class Held:
    """A pin that applies: ``candidate`` stands at ``place``, counted from 0."""

    rule: str
    candidate: int
    place: int


@dataclass(frozen=True)
class Raised:
    """A boost: ``add_C`` [C] shares of the candidates' range of scores."""

    rule: str
    add_C: Values


@dataclass(frozen=True)
class Bound:
    """The rules of one request.

    Attributes:
        n: how many candidates there are (C).
        bars: who is kept out, by rule.
        limits: what must hold of the numbers.
        wishes: least numbers that are kept as far as they can be, the first before the others.
        pins: who stands where.
        boosts: what is added to scores.
        notes: what was set aside for this person, and why.
        aims: by rule, the candidates that it speaks of itself [C].
    """

    n: int
    bars: list[Bar] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    wishes: list[Limit] = field(default_factory=list)
    pins: list[Held] = field(default_factory=list)
    boosts: list[Raised] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aims: dict[str, Mask] = field(default_factory=dict)

    @property
    def eligible_C(self) -> Mask:  # noqa: N802
        """[C] candidates that no rule keeps out."""
        eligible = np.ones(self.n, np.bool_)
        for bar in self.bars:
            eligible &= ~bar.barred_C
        return eligible

    def raised(self, relevance_C: Values) -> Values:
        """[C] relevance after all boosts."""
        return np.asarray(sum((boost.add_C for boost in self.boosts), relevance_C))


def bind(rules: RuleSet, facts: Facts, person: Person, rows: Ints) -> Bound:
    """Lay rules over candidates.

    Args:
        rules: those that hold in the request's scenario.
        facts: the catalogue.
        person: whom the slate is for.
        rows: [C] item rows of the candidates.

    Raises:
        ConfigError: a rule names an item, attribute or behaviour that does not exist.
    """
    bound = Bound(len(rows))
    for rule in rules.rule:
        if isinstance(rule, Filter | Block | Price | Fresh | Seen):
            barred_C = _barred(rule, facts, person)[rows]
            bound.bars.append(Bar(rule.name, barred_C, isinstance(rule, Seen)))
            bound.aims[rule.name] = barred_C
        elif isinstance(rule, Boost):
            chosen_C = chosen(rule, facts)[rows]
            bound.boosts.append(Raised(rule.name, np.where(chosen_C, rule.add, 0.0)))
            bound.aims[rule.name] = chosen_C
        elif isinstance(rule, Quota):
            _bind_quota(bound, rule, chosen(rule, facts)[rows])
        elif isinstance(rule, OnePer):
            _bind_one_per(bound, rule, facts, rows)
    for rule in rules.rule:  # pins come last: what is barred for this person is known by now
        if isinstance(rule, Pin):
            _bind_pin(bound, rule, facts.row(rule.item, rule.name), rows)
    return bound


def barred_items(rules: RuleSet, facts: Facts, person: Person) -> Mask:
    """[I] items of the catalogue that some rule keeps out."""
    barred = np.zeros(facts.n_items, np.bool_)
    for rule in rules.rule:
        if isinstance(rule, Filter | Block | Price | Fresh | Seen):
            barred |= _barred(rule, facts, person)
    return barred


def chosen(rule: Chooses, facts: Facts) -> Mask:
    """[I] the items that a rule is about."""
    found = np.zeros(facts.n_items, np.bool_)
    found[[facts.row(item, rule.name) for item in rule.items]] = True
    return found if rule.where is None else found | matching(rule.where, facts, rule.name)


def matching(where: Where, facts: Facts, rule: str) -> Mask:
    """[I] the items that match a condition."""
    found = np.ones(facts.n_items, np.bool_)
    if where.any_of:
        found &= facts.labels(where.attribute, rule).carrying(where.any_of)
    if where.none_of:
        found &= ~facts.labels(where.attribute, rule).carrying(where.none_of)
    if where.least is not None or where.most is not None:
        found &= _between(facts.numbers(where.attribute, rule), where.least, where.most)
    return found


def _between(value_I: Values, least: float | None, most: float | None) -> Mask:
    """[I] false where the value is missing."""
    low = -np.inf if least is None else least
    high = np.inf if most is None else most
    return np.asarray((value_I >= low) & (value_I <= high))


def _barred(rule: Rule, facts: Facts, person: Person) -> Mask:
    """[I] the items that a rule of eligibility keeps out."""
    if isinstance(rule, Filter):
        return ~matching(rule.where, facts, rule.name)
    if isinstance(rule, Block):
        return chosen(rule, facts)
    if isinstance(rule, Price):
        price_I = facts.numbers(rule.attribute, rule.name)
        kept = _between(price_I, rule.least, rule.most)
        return ~(kept | np.isnan(price_I)) if rule.missing == "keep" else ~kept
    if isinstance(rule, Fresh):
        return _stale(rule, facts, person)
    assert isinstance(rule, Seen)
    return _met(rule, facts, person)


def _stale(rule: Fresh, facts: Facts, person: Person) -> Mask:
    if rule.attribute is not None:
        moment_I = facts.moments(rule.attribute, rule.name)
    elif facts.first_I is not None:
        moment_I = np.where(facts.first_I >= 0, facts.first_I, np.nan).astype(np.float64)
    else:
        moment_I = np.full(facts.n_items, np.nan)
    fresh = moment_I >= person.now - rule.days * MICROSECONDS_PER_DAY
    return ~(fresh | np.isnan(moment_I)) if rule.missing == "keep" else ~fresh


def _met(rule: Seen, facts: Facts, person: Person) -> Mask:
    counts = np.ones(len(person.item), np.bool_)
    if rule.behaviours:
        wanted = [facts.behaviour(name, rule.name) for name in rule.behaviours]
        counts &= np.isin(person.behaviour, wanted)
    if rule.days is not None and person.time.any():
        counts &= person.time > person.now - rule.days * MICROSECONDS_PER_DAY
    met = np.zeros(facts.n_items, np.bool_)
    met[person.item[counts]] = True
    return met


def _bind_quota(bound: Bound, rule: Quota, member_C: Mask) -> None:
    most = UNLIMITED if rule.at_most is None else rule.at_most
    firm = rule.at_least if rule.when_short == "refuse" else 0
    bound.limits.append(Limit(rule.name, member_C, firm, most))
    if rule.at_least > firm:
        bound.wishes.append(Limit(rule.name, member_C, rule.at_least))
    bound.aims[rule.name] = member_C


def _bind_one_per(bound: Bound, rule: OnePer, facts: Facts, rows: Ints) -> None:
    labels = facts.labels(rule.attribute, rule.name)
    own = [labels.codes[labels.offsets[row] : labels.offsets[row + 1]] for row in rows]
    code = np.concatenate([np.zeros(0, np.int64), *own])
    candidate = np.repeat(np.arange(len(rows)), [len(codes) for codes in own])
    crowded, aim_C = np.bincount(code, minlength=1), np.zeros(len(rows), np.bool_)
    for value in np.flatnonzero(crowded > rule.most):
        member_C = np.zeros(len(rows), np.bool_)
        member_C[candidate[code == value]] = True
        bound.limits.append(Limit(rule.name, member_C, 0, rule.most))
        aim_C |= member_C
    bound.aims[rule.name] = aim_C


def _bind_pin(bound: Bound, rule: Pin, row: int, rows: Ints) -> None:
    found = np.flatnonzero(rows == row)
    member_C = np.zeros(len(rows), np.bool_)
    member_C[found] = True
    bound.aims[rule.name] = member_C
    for bar in bound.bars:
        if bar.personal and bar.barred_C[found].any():
            bound.notes.append(
                f"rule {rule.name!r} is lifted: {bar.rule!r} keeps item {rule.item!r} out here"
            )
            return
    bound.limits.append(Limit(rule.name, member_C, 1, 1))
    if len(found):
        bound.pins.append(Held(rule.name, int(found[0]), rule.position - 1))
