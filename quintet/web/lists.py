"""From questions to lists: the work of the model's thread, several questions at a time.

Shapes: B questions, C candidates, P places of a list.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from quintet.data.interactions import Ints
from quintet.data.states import Moments
from quintet.errors import QuintetError
from quintet.serve.recommender import ATTRIBUTES, PERSONAL, POPULAR
from quintet.serve.search import QUERY_WEIGHT
from quintet.serve.slate import mixed_slate
from quintet.serve.slate.diversify import scaled
from quintet.serve.slate.draw import plackett_luce
from quintet.store import Owner
from quintet.web.asked import asking
from quintet.web.choosing import allowed, query_match, rows_of
from quintet.web.experiments import Assigned, Experiments
from quintet.web.known import Known
from quintet.web.live import Holder, Live
from quintet.web.models import RecommendIn
from quintet.web.owners import owner_of, users_row
from quintet.web.people import Person, batch, from_items, person
from quintet.web.ranking import Candidates, Wish, interest_shift
from quintet.web.ruled import RuleBook, ruled
from quintet.web.writing import Chosen, Made, Question, write

FALLBACKS = {
    PERSONAL: None,
    ATTRIBUTES: "no history: what attributes tell",
    POPULAR: "no history: what is popular",
}
STORE_GONE = "the store cannot be read: only what the model was trained on is known"
DEEPEST = 200
#: a double's least keeps a chance that is not zero from being written as zero
TINY = float(np.finfo(np.float64).tiny)


class Ask(NamedTuple):
    """One question for a list."""

    request: RecommendIn
    request_id: str


class _Work(NamedTuple):
    """A question on its way to an answer."""

    ask: Ask
    live: Live
    one: Person
    owner: Owner
    assigned: Assigned
    basis: str
    fallback: str | None
    settings: RecommendIn
    wish: Wish


class ListMaker:
    """Makes lists; used by one thread at a time.

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
        made: dict[int, Made | Exception] = {}
        by_model: dict[int, dict[int, _Work]] = {}
        for index, ask in enumerate(asks):
            try:
                work = self._prepare(ask, problem)
                by_model.setdefault(id(work.live), {})[index] = work
            except QuintetError as error:
                made[index] = error
        for works in by_model.values():
            made.update(zip(works, self._answer(list(works.values())), strict=True))
        return [made[index] for index in range(len(asks))]

    def _answer(self, works: Sequence[_Work]) -> list[Made | Exception]:
        """Lists of one model."""
        ranker, offset = works[0].live.ranker, self.known.offset
        found = ranker.rank([work.one for work in works], [work.wish for work in works])
        chosen = self._choose(works, found)
        questions = [
            Question(
                work.ask.request_id,
                work.ask.request,
                work.owner,
                work.live.version,
                offset,
                work.basis,
                work.fallback,
                work.assigned.arms,
                len(work.one),
                _unrepeatable(work),
            )
            for work in works
        ]
        return write(ranker, found, questions, chosen)

    def _follow(self) -> str | None:
        try:
            self.known.follow()
        except QuintetError:
            return STORE_GONE
        return None

    def person(self, live: Live, owner: Owner, user: str | int | None) -> tuple[Person, str | None]:
        """Who asks, and what is wrong: where the store cannot be read, as the bundle knows them."""
        row = users_row(live.trained, user)
        try:
            return self.known.of(owner, live, row), None
        except QuintetError:
            return person(live.trained, row, ()), STORE_GONE

    def _prepare(self, ask: Ask, problem: str | None) -> _Work:
        request = ask.request
        live = self.holder.live
        session = request.session_id or ask.request_id
        owner = owner_of(live.trained, request.user_id, session)
        assigned = self.experiments.assign(owner)
        settings = request
        for arm in assigned.changes:  # what the caller asks for wins
            settings = replace_missing(settings, arm)
            live = self.holder.beside(arm.model) or live
        if live is not self.holder.live:  # ids may be of another type there
            owner = owner_of(live.trained, request.user_id, session)
        one, gone = self.person(live, owner, request.user_id)
        if request.history is not None:
            one = replace(from_items(rows_of(live, request.history)), edits=one.edits)
        one = asking(live, one, settings)
        basis = basis_of(live, one)
        fallback = gone or problem or FALLBACKS[basis]
        wish = self._wish(settings, live, one)
        return _Work(ask, live, one, owner, assigned, basis, fallback, settings, wish)

    def _wish(self, settings: RecommendIn, live: Live, one: Person) -> Wish:
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
        seen_out = live.recommender.masks(settings.exclude_seen)
        return Wish(depth, seen_out, allowed_I, shift_I)

    def interests(self, live: Live, one: Person) -> dict[str, float]:
        """Predicted shares of the item categories; empty where the model has none."""
        model = live.trained.model
        if not (one.edits.get("interests") and "profile" in model.tasks and model.shape.interest):
            return {}
        now = Moments.newest(batch([one], len(live.trained.items)))
        share_C = live.trained.scorer.interests(now)[0]
        return dict(zip(model.shape.interest_names, share_C.tolist(), strict=True))

    # ------------------------------------------------------------------ choosing

    def _choose(self, works: Sequence[_Work], found: Candidates) -> list[Chosen | Exception]:
        """What is shown of each person's candidates."""
        chosen: list[Chosen | Exception | None] = [None] * len(works)
        drawn = []
        for row, work in enumerate(works):
            settings = work.settings
            if settings.rules is None and settings.exploration:
                drawn.append(row)
                continue
            try:
                chosen[row] = self._choose_one(work, found, row)
            except QuintetError as error:
                chosen[row] = error
        for row, one in zip(drawn, self._draw(works, found, drawn), strict=True):
            chosen[row] = one
        return [one for one in chosen if one is not None]

    def _draw(
        self, works: Sequence[_Work], found: Candidates, rows: Sequence[int]
    ) -> list[Chosen | Exception]:
        """Plackett-Luce draws of several lists at once."""
        if not rows:
            return []
        settings = [works[row].settings for row in rows]
        temperature_B = np.array([one.exploration for one in settings], np.float64)
        items_BC, scores_BC = found.items_BC[rows], found.scores_BC[rows]
        most = max(one.k for one in settings)
        place_BP, chance_BP = plackett_luce(scaled(scores_BC), most, temperature_B, self.rng)
        chance_BP = np.clip(chance_BP, TINY, 1.0)
        row_B1 = np.arange(len(rows))[:, None]
        drawn_BP, score_BP = items_BC[row_B1, place_BP], scores_BC[row_B1, place_BP]
        # what is not there stands behind all that is
        length_B = np.minimum((place_BP >= 0).sum(1), [one.k for one in settings]).tolist()
        held_B = (items_BC >= 0).sum(1).tolist()
        return [
            Chosen(
                drawn_BP[row, :length],
                score_BP[row, :length],
                f"plackett-luce:{one.exploration:g}",
                chance_BP[row, :length],
                items_BC[row, :held],
            )
            for row, (one, length, held) in enumerate(zip(settings, length_B, held_B, strict=True))
        ]

    def _choose_one(self, work: _Work, found: Candidates, row: int) -> Chosen:
        """One list that takes more than a draw, or none."""
        settings, k = work.settings, work.settings.k
        items_C = found.items_BC[row]
        items_C = items_C[items_C >= 0]
        scores_C = found.scores_BC[row, : len(items_C)]
        if settings.rules is not None:
            return self._ruled(work, items_C, settings.rules)
        if settings.slate and "strategy" in work.live.trained.model.tasks and len(items_C):
            history = batch([work.one], len(work.live.trained.items))
            place_P, strategies = mixed_slate(work.live.trained, history, items_C, scores_C, k)
            return Chosen(items_C[place_P], scores_C[place_P], "slate", strategies=strategies)
        return Chosen(items_C[:k], scores_C[:k], "rank")

    def _ruled(self, work: _Work, items_C: Ints, name: str) -> Chosen:
        history = batch([work.one], len(work.live.trained.items))
        slate, moves = ruled(
            work.live,
            history,
            work.wish,
            work.settings,
            self.rules.get(name),
            time.time_ns() // 1000,
            self.rng,
        )
        drawn = slate.sequential_K
        others = slate.item_K[~np.isin(slate.item_K, items_C)]
        return Chosen(
            slate.item_K,
            slate.score_K,
            f"rules:{name}",
            None if drawn is None else np.clip(drawn, TINY, 1.0),
            None if drawn is None else np.concatenate([items_C, others]),
            [one or "" for one in slate.strategies],
            moves,
        )


def _unrepeatable(work: _Work) -> bool:
    """Whether more went into the scores than who asks and where, which is all that is logged."""
    asked = work.ask.request
    told = asked.history is not None or asked.query is not None or bool(asked.context)
    return told or work.wish.shift_I is not None


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
