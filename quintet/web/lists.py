"""From questions to lists: the work of the model's thread, several questions at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quintet.data.interactions import Ints
from quintet.data.states import Moments
from quintet.errors import InvalidRequestError, QuintetError
from quintet.serve.recommender import ATTRIBUTES, PERSONAL, POPULAR
from quintet.serve.slate import mixed_slate
from quintet.serve.slate.diversify import scaled
from quintet.serve.slate.draw import Values, gumbel_top_k, sequential
from quintet.store import Exposure, Owner
from quintet.web.choosing import QUERY_WEIGHT, allowed, query_match, rows_of
from quintet.web.experiments import Assigned, Experiments
from quintet.web.known import Known
from quintet.web.live import Holder, Live
from quintet.web.models import RecommendIn
from quintet.web.owners import owner_of, users_row
from quintet.web.people import Person, batch, from_items
from quintet.web.ranking import Candidates, Wish, interest_shift, reasons
from quintet.web.ruled import RuleBook, ruled

FALLBACKS = {
    PERSONAL: None,
    ATTRIBUTES: "no history: what attributes tell",
    POPULAR: "no history: what is popular",
}
NOTHING_DRAWN = "pure order: nothing was drawn, so it has no support for off-policy evaluation"
STORE_GONE = "the store cannot be read: only what the model was trained on is known"
DEEPEST = 200
#: a double's least keeps a chance that is not zero from being written as zero
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Ask:
    """One question for a list."""

    request: RecommendIn
    request_id: str


@dataclass(frozen=True)
class Made:
    """A list: the answer's fields, and what goes into the journal."""

    answer: dict[str, Any]
    exposure: Exposure
    top: float
    length: int
    popularity: float


@dataclass
class _Work:
    """A question on its way to an answer."""

    ask: Ask
    live: Live
    one: Person
    owner: Owner
    assigned: Assigned
    basis: str
    fallback: str | None
    settings: RecommendIn
    wish: Wish | None = None
    found: Candidates | None = None
    strategies: list[str] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)


class ListMaker:
    """Makes lists; used by one thread.

    Args:
        holder: of the models.
        known: of the people.
        experiments: of the arms.
        seed: of the draws; fresh every time when absent.
    """

    def __init__(
        self, holder: Holder, known: Known, experiments: Experiments, seed: int | None = None
    ) -> None:
        self.rules = RuleBook(experiments.path.with_name("rules"))
        self.holder = holder
        self.known = known
        self.experiments = experiments
        self.rng = np.random.default_rng(seed)

    def make(self, asks: Sequence[Ask]) -> list[Made | Exception]:
        """A list, or what stands in its way, for every question."""
        problem = self._follow()
        made: list[Made | Exception] = [InvalidRequestError("")] * len(asks)
        works: dict[int, _Work] = {}
        for index, ask in enumerate(asks):
            try:
                works[index] = self._prepare(ask, problem)
            except QuintetError as error:
                made[index] = error
        by_model: dict[int, list[int]] = {}
        for index, work in works.items():
            by_model.setdefault(id(work.live), []).append(index)
        for indices in by_model.values():
            group = [works[index] for index in indices]
            wishes = [work.wish for work in group if work.wish is not None]
            found = group[0].live.ranker.rank([work.one for work in group], wishes)
            for index, candidates in zip(indices, found, strict=True):
                works[index].found = candidates
                try:
                    made[index] = self._finish(works[index])
                except QuintetError as error:
                    made[index] = error
        return made

    def _follow(self) -> str | None:
        try:
            self.known.follow()
        except QuintetError:
            return STORE_GONE
        return None

    def person(
        self, live: Live, user: str | int | None, session: str | None
    ) -> tuple[Owner, Person, str | None]:
        """Who asks; where the store cannot be read, as the bundle knows them."""
        owner, row = owner_of(live.trained, user, session), users_row(live.trained, user)
        try:
            return owner, self.known.of(owner, live, row), None
        except QuintetError:
            from quintet.web.people import person

            return owner, person(live.trained, row, ()), STORE_GONE

    def _prepare(self, ask: Ask, problem: str | None) -> _Work:
        request = ask.request
        live = self.holder.live
        owner = owner_of(live.trained, request.user_id, request.session_id or ask.request_id)
        assigned = self.experiments.assign(owner.text)
        settings = request
        for arm in assigned.changes:  # what the caller asks for wins
            settings = replace_missing(settings, arm)
            live = self.holder.beside(arm.model) or live
        owner, one, gone = self.person(live, request.user_id, request.session_id or ask.request_id)
        if request.history is not None:
            one = replace(from_items(rows_of(live, request.history)), edits=one.edits)
        basis = basis_of(live, one)
        work = _Work(
            ask, live, one, owner, assigned, basis, gone or problem or FALLBACKS[basis], settings
        )
        work.wish = self._wish(work)
        return work

    def _wish(self, work: _Work) -> Wish:
        settings, live, one = work.settings, work.live, work.one
        allowed_I = allowed(live, settings, one)
        shift_I = (
            interest_shift(live.trained, one, self.interests(live, one)) if one.edits else None
        )
        if settings.query is not None and settings.query.strip():
            match_I = query_match(live, settings.query)
            allowed_I = allowed_I & (match_I > 0)
            shift_I = QUERY_WEIGHT * match_I + (0 if shift_I is None else shift_I)
        k = settings.k
        deep = bool(settings.slate) or bool(settings.exploration)
        depth = min(max(10 * k, 50), max(k, DEEPEST)) if deep else k
        return Wish(depth, settings.exclude_seen, allowed_I, shift_I)

    def interests(self, live: Live, one: Person) -> dict[str, float]:
        """Predicted shares of the item categories; empty where the model has none."""
        model = live.trained.model
        if not (one.edits.get("interests") and "profile" in model.tasks and model.shape.interest):
            return {}
        now = Moments.newest(batch([one], len(live.trained.items)))
        share_C = live.trained.scorer.interests(now)[0]
        return dict(zip(model.shape.interest_names, share_C.tolist(), strict=True))

    # ------------------------------------------------------------------ the answer

    def _finish(self, work: _Work) -> Made:
        settings = work.settings
        assert work.found is not None
        chosen, propensities, policy = self._choose(work, work.found)
        found = work.found
        trained = work.live.trained
        ids = trained.items.ids(found.items_C[chosen])
        names = trained.scorer.evidence.names
        items = []
        for place, (position, item_id) in enumerate(zip(chosen.tolist(), ids, strict=True)):
            items.append(
                {
                    "item_id": item_id,
                    "rank": place + 1,
                    "score": round(float(found.scores_C[position]), 6),
                    "propensity": None if propensities is None else float(propensities[place]),
                    "strategy": work.strategies[place] if work.strategies else None,
                    "reasons": reasons(names, found.part_CK[position]) if settings.reasons else [],
                }
            )
        answer = {
            "request_id": work.ask.request_id,
            "user_id": work.ask.request.user_id,
            "session_id": work.ask.request.session_id,
            "model": work.live.version,
            "delta_offset": self.known.offset,
            "basis": work.basis,
            "fallback": work.fallback,
            "policy": policy,
            "propensity_note": NOTHING_DRAWN if propensities is None else None,
            "arms": work.assigned.arms,
            "moves": work.moves,
            "exposure": "durable",
            "items": items,
        }
        popularity = trained.scorer.evidence.popularity_I[found.items_C[chosen]]
        return Made(
            answer,
            self._exposure(work, found, ids, propensities, policy),
            float(found.scores_C[chosen[0]]) if len(chosen) else 0.0,
            len(work.one),
            float(popularity.mean()) if len(chosen) else 0.0,
        )

    def _choose(self, work: _Work, found: Candidates) -> tuple[Ints, Values | None, str]:
        """Positions in the candidates, their propensities, and the policy's name."""
        settings, k = work.settings, work.settings.k
        if settings.rules is not None:
            return self._ruled(work, found, settings.rules)
        if settings.exploration:
            utility_C = scaled(found.scores_C)
            if not len(utility_C):
                return np.zeros(0, np.int64), np.zeros(0), "plackett-luce"
            order = gumbel_top_k(utility_C, k, settings.exploration, self.rng)[0]
            drawn = sequential(utility_C, order, settings.exploration)
            propensities = np.clip(drawn, TINY, 1.0)
            return order, propensities, f"plackett-luce:{settings.exploration:g}"
        if settings.slate and "strategy" in work.live.trained.model.tasks and len(found.items_C):
            history = batch([work.one], len(work.live.trained.items))
            chosen, work.strategies = mixed_slate(
                work.live.trained, history, found.items_C, found.scores_C, k
            )
            return chosen, None, "slate"
        return np.arange(len(found.items_C[:k])), None, "rank"

    def _ruled(self, work: _Work, found: Candidates, name: str) -> tuple[Ints, Values | None, str]:
        assert work.wish is not None
        history = batch([work.one], len(work.live.trained.items))
        made = ruled(
            work.live,
            history,
            found,
            work.wish,
            work.settings,
            self.rules.get(name),
            time.time_ns() // 1000,
            self.rng,
        )
        work.found, work.moves = made.found, made.moves
        work.strategies = [one or "" for one in made.slate.strategies]
        drawn = made.slate.sequential_K
        propensities = None if drawn is None else np.clip(drawn, TINY, 1.0)
        return made.chosen, propensities, f"rules:{name}"

    def _exposure(
        self,
        work: _Work,
        found: Candidates,
        ids: list[Any],
        propensities: Values | None,
        policy: str,
    ) -> Exposure:
        request = work.ask.request
        user = work.owner.id if work.owner.kind == "user" else None
        return Exposure(
            request_id=work.ask.request_id,
            timestamp=time.time_ns() // 1000,
            model=work.live.version,
            items=tuple(ids),
            delta_offset=self.known.offset,
            user_id=user,
            session_id=request.session_id or (None if user is not None else work.ask.request_id),
            scenario=request.scenario,
            basis=work.basis,
            policy=policy,
            arms=work.assigned.arms,
            propensities=None if propensities is None else tuple(propensities.tolist()),
            candidates=None
            if propensities is None
            else tuple(work.live.trained.items.ids(found.items_C)),
        )


def basis_of(live: Live, one: Person) -> str:
    """What an answer rests on."""
    if len(one):
        return PERSONAL
    known = one.row >= 0 and live.trained.model.user_encoder is not None
    return ATTRIBUTES if known else POPULAR


def replace_missing(request: RecommendIn, arm: Any) -> RecommendIn:
    """The request with an arm's settings where it says nothing itself."""
    changes = {
        name: getattr(arm, name)
        for name in ("rules", "slate", "exploration")
        if getattr(request, name) is None and getattr(arm, name) is not None
    }
    return request.model_copy(update=changes) if changes else request
