"""Slates of a trained model, ids in and ids out.

This is the one place where the parts of ``serve/slate`` meet the model: its scores become
candidates, its item vectors the similarity, its predicted strategy the policy's plan.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.states import Moments, interest_shares
from quintet.errors import ConfigError
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.slate.bound import barred_items, chosen
from quintet.serve.slate.candidates import Candidates, Wanted, gather
from quintet.serve.slate.diversify import Values, category_vectors, cosine
from quintet.serve.slate.facts import Facts, Person
from quintet.serve.slate.policy import Plan, candidate_strategies, planned
from quintet.serve.slate.rules import OnePer, Pin, Quota, RuleSet, Seen
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import Request, Slate, compose

if TYPE_CHECKING:
    from quintet.serve.trained import Trained

#: what keeps out the items of the history where no rule says when they may come back
MET = Seen(name="already met")
#: candidates brought in for each place that a quota asks for, so that other rules leave enough
FOR_EACH_PLACE = 10
#: of the cosines of content vectors, beside those of categories
CONTENT_SHARE = 0.1


@dataclass(frozen=True)
class SlateItem:
    """One item of a slate.

    Attributes:
        item_id: the catalogue's own id.
        rank: place, from 1.
        score: the fused score, before boosts; comparable within one user only.
        sources: the generators that found it, the one that ranked it best first.
        strategy: what it serves; empty where the policy asks for none.
        moved_by: what moved it, in order: rule, place before and after (None: out), and whether
            the rule speaks of the item or it was displaced.
        propensity: chance of standing here given the places above; None where nothing is drawn.
        inclusion: chance of standing anywhere in the slate; likewise.
    """

    item_id: Any
    rank: int
    score: float
    sources: list[str]
    strategy: str
    moved_by: list[dict[str, Any]]
    propensity: float | None = None
    inclusion: float | None = None


@dataclass(frozen=True)
class SlateAnswer:
    """A slate as it is served and logged.

    Attributes:
        user_id: as the caller gave it.
        items: what is shown, in order.
        taken_out: items that stood in the plain slate or a stage and no longer do, with what moved
            them.
        candidates: ids of all items that could have been shown.
        temperature: of the draw; 0 where nothing is drawn.
        inclusion_method: how ``inclusion`` was found: "integral", "enumeration", "monte-carlo".
        support: why the slate has no support for off-policy evaluation; empty where it has.
        notes: rules lifted or relaxed, and why the slate is shorter than asked.
    """

    user_id: Any
    items: list[SlateItem]
    taken_out: list[dict[str, Any]]
    candidates: list[Any]
    temperature: float
    inclusion_method: str
    support: str
    notes: list[str]


class Slates:
    """Makes the slates of one model.

    Attributes:
        trained: the model.
        now: the moment that ages are counted to, in microseconds; the log's newest event at first.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.now = int(trained.events.time.max(initial=0))

    def at(self, now: int | None) -> Slates:
        """The same at another moment (microseconds since 1970)."""
        if now is None:
            return self
        # made once, shared by all moments
        facts, categories_IG = self.facts, self.categories_IG
        other = copy.copy(self)
        other.facts, other.categories_IG, other.now = facts, categories_IG, now
        return other

    @cached_property
    def facts(self) -> Facts:
        """The catalogue as rules ask for it."""
        trained, events = self.trained, self.trained.events
        first_I = np.full(len(trained.items), np.iinfo(np.int64).max)
        np.minimum.at(first_I, events.item, events.time)
        first_I[np.bincount(events.item, minlength=len(first_I)) == 0] = -1
        behaviours = trained.model.shape.behaviours
        separators = trained.item_encoder.separators
        return Facts(trained.items, trained.item_table, behaviours, first_I, separators)

    def request(
        self,
        history: Interactions,
        k: int,
        rules: RuleSet,
        config: SlateConfig,
        *,
        allowed_I: Mask | None = None,
        exclude_seen: bool = True,
        shift_I: Floats | None = None,
    ) -> Request:
        """Everything that a slate for ONE history is made from.

        Args:
            history: ONE history.
            k: places.
            rules: those that hold here.
            config: how.
            allowed_I: [I] items that may be candidates; rules may bring in others by name.
            exclude_seen: whether items of the history are left out, where no rule says for how long
                they are.
            shift_I: [I] added to the scores.

        Raises:
            ConfigError: a rule or a generator names what does not exist.
        """
        timed = any(isinstance(rule, Seen) for rule in rules.rule)
        if exclude_seen and not timed:
            rules = rules.model_copy(update={"rule": [MET, *rules.rule]})
        person = Person.of(history, self.now)
        without_met = exclude_seen and not timed
        allowed = np.ones(self.facts.n_items, np.bool_) if allowed_I is None else allowed_I.copy()
        if without_met:
            allowed[history.item] = False
        eligible_I = ~barred_items(rules, self.facts, person)
        pool = gather(
            self.trained,
            history,
            config.generators,
            allowed_I=allowed,
            eligible_I=eligible_I,
            wanted=list(self._wanted(rules, allowed & eligible_I, k)),
            shift_I=shift_I,
        )
        share_CG, wanted_G = self._interests(history, pool, config)
        return Request(
            pool=pool,
            k=k,
            facts=self.facts,
            rules=rules,
            person=person,
            config=config,
            plan=self._plan(history, pool, config, k),
            similarity_CC=self.similarity(pool.item_C) if config.diversity != "none" else None,
            share_CG=share_CG,
            wanted_G=wanted_G,
        )

    def _wanted(self, rules: RuleSet, free_I: Mask, k: int) -> Iterator[Wanted]:
        """What rules need beyond the best: asked for, or left where the best are limited."""
        for rule in rules.rule:
            if isinstance(rule, Quota):
                member_I = chosen(rule, self.facts)
                if rule.at_least:
                    yield Wanted(rule.name, member_I & free_I, FOR_EACH_PLACE * rule.at_least)
                if rule.at_most is not None and rule.at_most < k:
                    yield Wanted(rule.name, ~member_I & free_I, FOR_EACH_PLACE * k)
            elif isinstance(rule, OnePer):
                values = self.facts.labels(rule.attribute, rule.name)
                yield Wanted(rule.name, free_I, FOR_EACH_PLACE * k, values, rule.most)
            elif isinstance(rule, Pin):
                row = self.facts.row(rule.item, rule.name)
                yield Wanted(rule.name, np.arange(len(free_I)) == row, 1)

    def _plan(self, history: Interactions, pool: Candidates, config: SlateConfig, k: int) -> Plan:
        none = np.zeros(0, np.int64)
        policy, behaviours = config.policy, self.trained.model.shape.behaviours
        unknown = [name for name in policy.worth if name not in behaviours]
        if unknown:
            raise ConfigError(
                f"policy.worth: unknown behaviour {unknown[0]!r}; the log has: "
                f"{', '.join(behaviours)}"
            )
        asked = policy.mix > 0 or policy.exploring > 0 or policy.lift > 0
        if not asked or "strategy" not in self.trained.model.tasks:
            return planned(policy, None, none, k)
        share_A = self.trained.scorer.strategy(Moments.newest(history))[0]
        label_C = candidate_strategies(self.trained, history, pool.item_C) if len(pool) else none
        task = self.trained.model.task("strategy")
        assert isinstance(task, Strategy)
        return planned(policy, share_A, label_C, k, task)

    def _interests(
        self, history: Interactions, pool: Candidates, config: SlateConfig
    ) -> tuple[Values | None, Values | None]:
        name = self.trained.model.shape.interest
        if config.calibration == 0 or name is None:
            return None, None
        column = self.trained.item_features.categories[name]
        counts_CG = column.counts()[pool.item_C].astype(np.float64)
        share_CG = counts_CG / np.maximum(counts_CG.sum(1, keepdims=True), 1)
        if config.interests == "predicted":
            wanted_G = self.trained.scorer.interests(Moments.newest(history))[0]
        else:
            wanted_G = interest_shares(history, column).sum(0)
        return share_CG, wanted_G.astype(np.float64)

    def similarity(self, rows: Ints) -> Values:
        """[C, C] cosines of the items' categories, with a little of those of content vectors.

        Of joint vectors where content is off, and of vectors alone where there are no categories.
        Content vectors part items of the same categories, but what was learned from lies close
        where people choose two items together, which is what relevance rewards: diversity by them
        costs more accuracy (``benchmarks/diversity.py``).
        """
        tables = self.trained.scorer.evidence.tables
        content = tables.items.get("content")
        vector_ID = tables.joint_ID if content is None else content.vector_ID
        similarity_CC = cosine(vector_ID[rows.tolist()].detach().cpu().numpy())
        if self.categories_IG is None:
            return similarity_CC
        own_CG = self.categories_IG[rows]
        alike_CC = (own_CG @ own_CG.T).toarray()
        mean_CC: Values = (1 - CONTENT_SHARE) * alike_CC + CONTENT_SHARE * similarity_CC
        np.fill_diagonal(mean_CC, 1.0)
        return mean_CC

    @cached_property
    def categories_IG(self) -> csr_array | None:  # noqa: N802
        """[I, G] the items' categories as vectors."""
        return category_vectors(self.trained.item_features)

    def answer(
        self, user: Any, request: Request, rng: np.random.Generator, account: bool
    ) -> SlateAnswer:
        """Compose a request and put it into ids."""
        slate = compose(request, rng, account=account)
        ids = self.trained.items.ids
        met = dict(zip(slate.item_K.tolist(), ids(slate.item_K), strict=True))
        gone = list(dict.fromkeys(move.item for move in slate.moves if move.item not in met))
        return SlateAnswer(
            user_id=user,
            items=[_item(slate, place, item_id) for place, item_id in enumerate(met.values())],
            taken_out=[
                {"item_id": item_id, "moved_by": _moves(slate, item)}
                for item, item_id in zip(gone, ids(gone), strict=True)
            ],
            candidates=ids(slate.candidate_C),
            temperature=slate.temperature,
            inclusion_method=slate.marginal_method,
            support=slate.support,
            notes=slate.notes,
        )


def _item(slate: Slate, place: int, item_id: Any) -> SlateItem:
    def at(values: Values | None) -> float | None:
        return None if values is None else float(values[place])

    return SlateItem(
        item_id=item_id,
        rank=place + 1,
        score=float(slate.score_K[place]),
        sources=slate.sources[place],
        strategy=slate.strategies[place],
        moved_by=_moves(slate, int(slate.item_K[place])),
        propensity=at(slate.sequential_K),
        inclusion=at(slate.marginal_K),
    )


def _moves(slate: Slate, item: int) -> list[dict[str, Any]]:
    return [
        {"rule": m.rule, "before": m.before, "after": m.after, "direct": m.direct}
        for m in slate.moved(item)
    ]


def slates_for(
    slates: Slates,
    users: Sequence[Any],
    histories: Interactions,
    k: int,
    rules: RuleSet,
    config: SlateConfig,
    *,
    account: bool = False,
    seed: int | None = None,
    **options: Any,
) -> list[SlateAnswer]:
    """A slate for each user; ``seed`` makes draws repeat, see :meth:`Recommender.slate`.

    Other options are those of :meth:`Slates.request`.
    """
    rng = np.random.default_rng(seed)
    return [
        slates.answer(
            user,
            slates.request(histories.users([row]), k, rules, config, **options),
            rng,
            account,
        )
        for row, user in enumerate(users)
    ]
