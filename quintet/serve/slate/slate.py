"""A slate put together: candidates, diversity, calibration, policy, hard rules, and the draw.

One place is filled after the other. Hard rules say which candidates may stand there (so that the
slate can still be completed); what is left is chosen by relevance, boosts, diversity and
calibration, or drawn by Plackett-Luce with these as utilities. Nothing here knows a model: arrays
in, a :class:`Slate` out.

Shapes: C candidates, K places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from quintet.data.interactions import Ints, Mask
from quintet.errors import RuleConflictError
from quintet.serve.slate.bound import Bound, Limit, bind
from quintet.serve.slate.candidates import Candidates
from quintet.serve.slate.conflicts import refusal
from quintet.serve.slate.diversify import (
    Dispersion,
    Dissimilarity,
    Gain,
    Interests,
    Mixture,
    Values,
    Volume,
)
from quintet.serve.slate.draw import (
    DETERMINISTIC,
    MOST_SEQUENCES,
    Marginal,
    enumerated,
    estimated,
    inclusion_integral,
    pick,
    softmax,
)
from quintet.serve.slate.facts import Facts, Person
from quintet.serve.slate.policy import Plan
from quintet.serve.slate.program import Program, clashing, granted, longest
from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.settings import SlateConfig

PLAIN = SlateConfig(diversity="none")


@dataclass(frozen=True)
class Request:
    """All that one slate is made from.

    Attributes:
        pool: the candidates, best first.
        k: places.
        facts: the catalogue that rules ask.
        rules: those that hold here.
        person: whom it is for.
        config: how.
        plan: what the policy asks.
        similarity_CC: [C, C] of the candidates; needed for diversity.
        share_CG: [C, G] categories of the candidates; needed for calibration.
        wanted_G: [G] the person's interests.
    """

    pool: Candidates
    k: int
    facts: Facts
    rules: RuleSet = field(default_factory=RuleSet)
    person: Person = field(default_factory=Person.nobody)
    config: SlateConfig = PLAIN
    plan: Plan = field(default_factory=lambda: Plan([], np.zeros(0, np.int64), 0.0))
    similarity_CC: Values | None = None
    share_CG: Values | None = None
    wanted_G: Values | None = None

    @cached_property
    def lifted_C(self) -> Values:  # noqa: N802
        """[C] fused scores, lifted as planned."""
        return self.pool.score_C + (self.plan.lift_C if len(self.plan.lift_C) else 0.0)

    @cached_property
    def span(self) -> tuple[float, float]:
        """The least score of the candidates, and the range that they span."""
        main = self.lifted_C[self.pool.main_C]
        return (float(main.min()), float(np.ptp(main))) if len(main) else (0.0, 0.0)

    def relevance(self) -> Values:
        """[C] fused scores, lifted as planned, in shares of the range that candidates span."""
        if not self.pool.main_C.any():
            return np.zeros(len(self.pool))
        least, spread = self.span
        return np.asarray((self.lifted_C - least) / (spread or 1.0))

    def chances(self, relevance_C: Values, eligible_C: Mask) -> Values:
        """[C] how often each is met next, where candidates at random are met once in a slate.

        Gates are fitted so that fused scores are log-odds. What a diversifier gives up is then
        counted as what it is: little where scores are close together, much where one stands out.
        Who may not be shown takes no part of it.
        """
        lifted_C = np.where(eligible_C, relevance_C, -np.inf)
        odds_C = np.exp(self.span[1] * (lifted_C - lifted_C.max(initial=-np.finfo(float).max)))
        return np.asarray(self.k * odds_C / max(odds_C.sum(), 1.0))

    def mixture(self, relevance_C: Values, eligible_C: Mask) -> Mixture:
        """What a candidate is worth at the next place."""
        gains: list[tuple[float, Gain]] = []
        if self.similarity_CC is not None and self.config.diversity != "none":
            gains.append((self.config.diversifying, self._diversity(self.similarity_CC)))
        if self.share_CG is not None and self.wanted_G is not None and self.wanted_G.any():
            gains.append((self.config.calibration, Interests(self.share_CG, self.wanted_G)))
        return Mixture(self.chances(relevance_C, eligible_C) if gains else relevance_C, gains)

    def _diversity(self, similarity_CC: Values) -> Gain:
        if self.config.diversity == "max_sum":
            return Dispersion(similarity_CC, self.k)
        return (Volume if self.config.diversity == "dpp" else Dissimilarity)(similarity_CC)


@dataclass(frozen=True)
class Move:
    """What one rule (or stage) did to one item.

    Attributes:
        item: item row.
        rule: the rule's name, or "diversity", "strategy", "draw".
        before: place without it, from 1; None: not in the slate.
        after: place with it; None: out of the slate.
        direct: whether the rule speaks of the item; else it was displaced by others that moved.
    """

    item: int
    rule: str
    before: int | None
    after: int | None
    direct: bool


@dataclass(frozen=True)
class Slate:
    """What is shown, why it stands there, and with what chance.

    Attributes:
        item_K: item rows, in order.
        score_K: fused scores, before boosts.
        sources: the generators that found each item, best first.
        strategies: what each item serves; empty where unknown.
        moves: what diversity, policy, rules and draw did, one after the other, if asked for.
        sequential_K: propensity of each place given those before it; None where nothing is drawn.
        marginal_K: propensity of each item to stand anywhere in the slate; likewise.
        marginal_method: "integral" or "enumeration" (exact), or "monte-carlo".
        marginal_error_K: standard errors of ``marginal_K``.
        candidate_C: rows of all items that could have been shown.
        temperature: of the draw; 0 where nothing is drawn.
        support: why the slate has no support for off-policy evaluation; empty where it has.
        notes: rules that were lifted or relaxed, and why the slate is shorter than asked.
    """

    item_K: Ints
    score_K: Values
    sources: list[list[str]]
    strategies: list[str]
    candidate_C: Ints
    moves: list[Move] = field(default_factory=list)
    sequential_K: Values | None = None
    marginal_K: Values | None = None
    marginal_method: str = ""
    marginal_error_K: Values | None = None
    temperature: float = 0.0
    support: str = DETERMINISTIC
    notes: list[str] = field(default_factory=list)

    def moved(self, item: int) -> list[Move]:
        """The moves of one item, in the order in which they happened."""
        return [move for move in self.moves if move.item == item]


class Places:
    """The places of one slate, filled one after the other: a process as ``draw`` knows it."""

    def __init__(self, base: Prepared) -> None:
        self.base = base
        self.program = base.program.copy()
        self.gain = base.mixture()
        self.pinned = {pin.place: pin.candidate for pin in base.bound.pins}
        self.place = 0
        # what is pinned counts from the start: rules and diversity look at the whole slate
        for candidate in self.pinned.values():
            self.program.take(candidate)
            self.gain.add(candidate)

    def allowed(self) -> Mask | None:
        """[C] who may stand at the next place; None when the slate is complete."""
        if self.place >= self.base.size:
            return None
        if self.place in self.pinned:
            return np.asarray(np.arange(self.base.bound.n) == self.pinned[self.place])
        return self.program.allowed()

    def probabilities(self) -> Values | None:
        """See :class:`~quintet.serve.slate.draw.Process`."""
        allowed_C = self.allowed()
        if allowed_C is None:
            return None
        worth_C, temperature = self.gain.values(), self.base.request.plan.temperature
        if not self.gain.fixed:  # chances and gains have a range of their own at every place
            temperature *= float(np.ptp(worth_C[allowed_C])) or 1.0
        return softmax(worth_C, allowed_C, temperature)

    def best(self) -> int | None:
        """The candidate of greatest gain for the next place; the better ranked of equal ones."""
        allowed_C = self.allowed()
        if allowed_C is None:
            return None
        return int(np.where(allowed_C, self.gain.values(), -np.inf).argmax())

    def take(self, chosen: int) -> None:
        """See :class:`~quintet.serve.slate.draw.Process`."""
        if self.place not in self.pinned:
            self.program.take(chosen)
            self.gain.add(chosen)
        self.place += 1


@dataclass(frozen=True)
class Prepared:
    """A request whose rules are bound and found to hold together.

    Attributes:
        request: the request.
        bound: its rules over its candidates.
        limits: all that must hold of the numbers, wishes included as far as they are granted.
        size: how many places are filled.
        relevance_C: [C] relevance after boosts.
        notes: what could not be done as asked.
    """

    request: Request
    bound: Bound
    limits: list[Limit]
    size: int
    relevance_C: Values
    notes: list[str]

    def mixture(self) -> Mixture:
        """What a candidate is worth at the next place, before any is chosen."""
        return self.request.mixture(self.relevance_C, self.bound.eligible_C)

    @cached_property
    def program(self) -> Program:
        """Which candidate may come first; places go on from copies."""
        return Program(self.bound.eligible_C, self.limits, self.size)

    @classmethod
    def of(cls, request: Request) -> Prepared:
        """Bind the rules.

        Raises:
            RuleConflictError: no slate keeps them all; names a smallest set that clashes.
            ConfigError: a rule names what does not exist.
        """
        rows, k = request.pool.item_C, request.k
        bound = bind(request.rules, request.facts, request.person, rows)
        size = longest(bound, k)
        if size is None:

            def holds(names: Sequence[str]) -> bool:
                some = request.rules.only(names)
                return longest(bind(some, request.facts, request.person, rows), k) is not None

            names = clashing(request.rules.names, holds)
            raise RuleConflictError(refusal(request.rules, names, k))
        firm = granted(bound, bound.wishes, size)
        asked = granted(replace(bound, limits=[*bound.limits, *firm]), request.plan.wishes, size)
        notes = [*bound.notes, *_relaxed(bound, firm), *_shorter(bound, size, k)]
        limits = [*bound.limits, *firm, *asked]
        return cls(request, bound, limits, size, bound.raised(request.relevance()), notes)

    def best(self) -> Ints:
        """[K] the deterministic slate, as candidates."""
        places, order = Places(self), []
        while (chosen := places.best()) is not None:
            places.take(chosen)
            order.append(chosen)
        return np.array(order, np.int64)

    def drawn(self, rng: np.random.Generator) -> tuple[Ints, Values]:
        """[K] a drawn slate, as candidates, and the propensity of each place."""
        places = Places(self)
        order: list[int] = []
        chance: list[float] = []
        while (probability_C := places.probabilities()) is not None:
            order.append(pick(probability_C, rng))
            chance.append(float(probability_C[order[-1]]))
            places.take(order[-1])
        return np.array(order, np.int64), np.array(chance)

    def marginal(self, rng: np.random.Generator) -> Marginal:
        """[C] the chance of each candidate to be in the slate."""
        temperature = self.request.plan.temperature
        eligible = np.flatnonzero(self.bound.eligible_C)
        mixture = self.mixture()
        plain = mixture.fixed and not self.bound.pins
        if plain and not len(self.program.types.least_L):
            inclusion_C = np.zeros(self.bound.n)
            inclusion_C[eligible] = inclusion_integral(
                mixture.values()[eligible], self.size, temperature
            )
            return Marginal(inclusion_C, "integral", np.zeros(self.bound.n))
        pinned, n = len(self.bound.pins), self.bound.n
        if math.perm(len(eligible) - pinned, self.size - pinned) <= MOST_SEQUENCES:
            return enumerated(lambda: Places(self), n)
        return estimated(lambda: Places(self), n, rng, self.request.config.draws)


def compose(
    request: Request, rng: np.random.Generator | None = None, *, account: bool = False
) -> Slate:
    """Make one slate.

    Args:
        request: what from, for whom and how.
        rng: of the draw; needed where the plan's temperature is above 0.
        account: also say what diversity, policy, each rule and the draw moved.

    Raises:
        RuleConflictError: no slate of these candidates keeps all rules; names those that clash.
        ConfigError: a rule names an item, attribute or behaviour that does not exist.
    """
    from quintet.serve.slate.account import moves_of

    prepared, pool = Prepared.of(request), request.pool
    generator = rng if rng is not None else np.random.default_rng()
    drawn = request.plan.temperature > 0
    order, chance_K = prepared.drawn(generator) if drawn else (prepared.best(), None)
    slate = Slate(
        item_K=pool.item_C[order],
        score_K=pool.score_C[order],
        sources=[pool.sources[candidate] for candidate in order],
        strategies=[request.plan.label(int(candidate)) for candidate in order],
        moves=moves_of(prepared, order) if account else [],
        candidate_C=pool.item_C[prepared.bound.eligible_C],
        notes=prepared.notes,
    )
    if not drawn:
        return slate
    slate = replace(slate, sequential_K=chance_K, temperature=request.plan.temperature, support="")
    if not request.config.marginals:
        return slate
    marginal = prepared.marginal(generator)
    return replace(
        slate,
        marginal_K=marginal.inclusion_C[order],
        marginal_method=marginal.method,
        marginal_error_K=marginal.error_C[order],
    )


def _relaxed(bound: Bound, firm: Sequence[Limit]) -> list[str]:
    """Wishes of rules that could be kept in part only."""
    reached = {limit.rule: limit.least for limit in firm}
    return [
        f"rule {wish.rule!r} is relaxed: {reached.get(wish.rule, 0)} of at least {wish.least} "
        "such items could be shown"
        for wish in bound.wishes
        if reached.get(wish.rule, 0) < wish.least
    ]


def _shorter(bound: Bound, size: int, k: int) -> list[str]:
    """Why there are fewer items than places."""
    if size >= k:
        return []
    eligible = int(bound.eligible_C.sum())
    barring = [
        f"{bar.rule!r} ({int(bar.barred_C.sum())})" for bar in bound.bars if any(bar.barred_C)
    ]
    if eligible > size:
        limiting = dict.fromkeys(limit.rule for limit in bound.limits if limit.most < size + 1)
        barring += [repr(rule) for rule in limiting]
    by = f"; kept out by {', '.join(barring)}" if barring else ""
    return [f"{size} of {k} places are filled: {bound.n} candidates{by}"]
