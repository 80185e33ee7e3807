"""What each rule did to a slate, and what it costs.

Stages are laid over the plain order one after the other: diversity, strategy, the rules as they
stand in the file, the draw. What changes from one stage to the next is that stage's doing, so that
the moves of an item, followed one by one, lead from its plain place to the one it has.

A price is asked the other way round: what would the slate be worth without this one rule, all
others standing? Worth is the sum of relevance over the places: the fused score in shares of the
range that the request's candidates span, before boosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from quintet.data.interactions import Ints, Mask
from quintet.errors import RuleConflictError
from quintet.serve.slate.bound import bind
from quintet.serve.slate.conflicts import Contradiction
from quintet.serve.slate.facts import Person
from quintet.serve.slate.policy import NO_LIFT, STRATEGY
from quintet.serve.slate.rules import Pin, RuleSet, Seen
from quintet.serve.slate.slate import Move, Prepared, Request

DIVERSITY, DRAW = "diversity", "draw"
#: from the slates of all requests, as item rows, to one figure
Metric = Callable[[Sequence[Ints]], float]


def moves_of(prepared: Prepared, order: Ints) -> list[Move]:
    """What led from the plain order to ``order`` [K] (candidates), stage by stage."""
    request = prepared.request
    everyone = np.ones(len(request.pool), np.bool_)
    before, moves = _plain(request).best(), []
    for name, stage in _stages(request):
        after = stage.best()
        moves += _between(request, name, before, after, stage.bound.aims.get(name, everyone))
        before = after
    if request.plan.temperature > 0:
        moves += _between(request, DRAW, before, order, everyone)
    return moves


def _plain(request: Request) -> Prepared:
    config = request.config.model_copy(update={"diversity": "none", "calibration": 0.0})
    return Prepared.of(replace(_unplanned(request), rules=RuleSet(), config=config))


def _unplanned(request: Request) -> Request:
    """The same without what the predicted strategy asks."""
    return replace(request, plan=replace(request.plan, wishes=[], lift_C=NO_LIFT))


def _stages(request: Request) -> Iterator[tuple[str, Prepared]]:
    nothing = replace(_unplanned(request), rules=RuleSet())
    if not request.mixture(request.relevance(), np.ones(len(request.pool), np.bool_)).fixed:
        yield DIVERSITY, Prepared.of(nothing)
    if request.plan.wishes or len(request.plan.lift_C):
        yield STRATEGY, Prepared.of(replace(request, rules=RuleSet()))
    # what the person has met comes first: it may lift a pin that could not be kept otherwise
    rules = sorted(request.rules.rule, key=lambda rule: not isinstance(rule, Seen))
    for count, rule in enumerate(rules, 1):
        some = request.rules.only(one.name for one in rules[:count])
        yield rule.name, Prepared.of(replace(request, rules=some))


def _between(request: Request, rule: str, before: Ints, after: Ints, aim_C: Mask) -> list[Move]:
    """Moves from one order of candidates to the next, those into the slate first, by place."""
    was = {int(candidate): place for place, candidate in enumerate(before, 1)}
    now = {int(candidate): place for place, candidate in enumerate(after, 1)}
    both = [*now, *(candidate for candidate in was if candidate not in now)]
    return [
        Move(int(request.pool.item_C[c]), rule, was.get(c), now.get(c), bool(aim_C[c]))
        for c in both
        if was.get(c) != now.get(c)
    ]


@dataclass(frozen=True)
class Price:
    """What one rule costs over some requests.

    Attributes:
        rule: its name.
        value: mean worth of a slate with all rules.
        value_without: mean worth with all rules but this one.
        changed: share of the slates that would be different without it.
        metric: of the slates with all rules, where a metric was given.
        metric_without: of the slates without this one.
    """

    rule: str
    value: float
    value_without: float
    changed: float
    metric: float | None = None
    metric_without: float | None = None

    @property
    def lost(self) -> float:
        """Worth lost by the rule, a slate."""
        return self.value_without - self.value


def worth(request: Request, order: Ints) -> float:
    """The sum of relevance over the places of a slate (candidates [K])."""
    return float(request.relevance()[order].sum())


def priced(requests: Sequence[Request], metric: Metric | None = None) -> list[Price]:
    """What each rule of the requests costs, all others standing.

    Args:
        requests: requests with the same rules, for people like those who will be served.
        metric: what else to compare, from the slates (item rows) of all requests in order.

    Raises:
        RuleConflictError: the rules cannot be kept for one of the requests.
    """
    if not requests:
        return []
    names = list(dict.fromkeys(name for request in requests for name in request.rules.names))
    orders = [Prepared.of(request).best() for request in requests]
    value = _mean_worth(requests, orders)
    figure = _measured(requests, orders, metric)
    prices = []
    for name in names:
        fewer = [_without(one, name) for one in requests]
        others = [Prepared.of(request).best() for request in fewer]
        pairs = zip(orders, others, strict=True)
        changed = float(np.mean([not np.array_equal(one, other) for one, other in pairs]))
        prices.append(
            Price(
                name,
                value,
                _mean_worth(fewer, others),
                changed,
                figure,
                _measured(fewer, others, metric),
            )
        )
    return prices


def _without(request: Request, name: str) -> Request:
    """The request without one rule; as it is where that rule lifts a pin that cannot be kept."""
    fewer = replace(request, rules=request.rules.without(name))
    try:
        Prepared.of(fewer)
    except RuleConflictError:
        return request
    return fewer


def _mean_worth(requests: Sequence[Request], orders: Sequence[Ints]) -> float:
    return float(np.mean([worth(one, order) for one, order in zip(requests, orders, strict=True)]))


def _measured(
    requests: Sequence[Request], orders: Sequence[Ints], metric: Metric | None
) -> float | None:
    if metric is None:
        return None
    return metric([one.pool.item_C[order] for one, order in zip(requests, orders, strict=True)])


@dataclass(frozen=True)
class DryRun:
    """What a rule file would do, with nobody served.

    Attributes:
        contradictions: rules that cannot hold together; nothing else is tried where there are any.
        idle: rules that concern no item of the catalogue: a misspelt value, perhaps.
        prices: what each rule costs.
        moves: by rule, how many items it moved, put in and took out directly.
        notes: what was lifted, relaxed or left empty, with the number of slates.
    """

    contradictions: list[Contradiction] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    prices: list[Price] = field(default_factory=list)
    moves: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


def dry_run(requests: Sequence[Request], metric: Metric | None = None) -> DryRun:
    """Try the rules of some requests on them.

    Raises:
        ConfigError: a rule names an item, attribute or behaviour that does not exist.
        RuleConflictError: the rules agree, but one person's candidates do not allow them.
    """
    if not requests:
        return DryRun()
    first = requests[0]
    found = first.rules.check(first.k, first.facts)
    if found:
        return DryRun(contradictions=found, idle=idle_rules(first))
    moves: dict[str, dict[str, int]] = {}
    notes: dict[str, int] = {}
    for request in requests:
        prepared = Prepared.of(replace(request, plan=replace(request.plan, temperature=0.0)))
        for note in prepared.notes:
            notes[note] = notes.get(note, 0) + 1
        for move in moves_of(prepared, prepared.best()):
            if move.direct:
                counts = moves.setdefault(move.rule, {"in": 0, "out": 0, "moved": 0})
                counts[_kind(move)] += 1
    return DryRun([], idle_rules(first), priced(requests, metric), moves, notes)


def _kind(move: Move) -> str:
    if move.before is None:
        return "in"
    return "out" if move.after is None else "moved"


def idle_rules(request: Request) -> list[str]:
    """Rules of the request that concern no item of the catalogue; ``seen`` rules are left out."""
    every = np.arange(request.facts.n_items)
    nobody = Person.nobody(request.person.now)
    bound = bind(request.rules, request.facts, nobody, every)
    personal = {bar.rule for bar in bound.bars if bar.personal}
    pins = {rule.name for rule in request.rules.rule if isinstance(rule, Pin)}
    return [
        name for name, aim in bound.aims.items() if name not in personal | pins and not aim.any()
    ]
