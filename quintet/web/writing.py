"""From chosen items to answers: JSON with reasons, and the exposure that goes into the journal.

Shapes: B questions, P places of a list, K kinds of evidence.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import count, repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np

from quintet.data.interactions import Floats, Ints
from quintet.errors import QuintetError
from quintet.serve.explain import MOST_REASONS, in_words
from quintet.serve.slate.draw import Values
from quintet.store import Exposure, Owner
from quintet.web.models import RecommendIn
from quintet.web.ranking import Candidates, Ranker

NOTHING_DRAWN = "pure order: nothing was drawn, so it has no support for off-policy evaluation"
encode = msgspec.json.Encoder().encode


class Reason(msgspec.Struct, gc=False):
    """Evidence behind an item, as :class:`~quintet.web.models.ReasonOut` describes it."""

    evidence: str
    text: str
    contribution: float
    because: tuple[()] = ()


class Shown(msgspec.Struct, gc=False):
    """An item of a list, as :class:`~quintet.web.models.ItemOut` describes it."""

    item_id: str | int
    rank: int
    score: float
    propensity: float | None
    strategy: str | None
    reasons: Sequence[Reason]


class Answer(msgspec.Struct, gc=False):
    """A list, as :class:`~quintet.web.models.RecommendOut` describes it."""

    exposure: str
    request_id: str
    user_id: str | int | None
    session_id: str | None
    model: str
    delta_offset: int
    basis: str
    fallback: str | None
    policy: str
    propensity_note: str | None
    arms: Mapping[str, str]
    moves: Sequence[dict[str, Any]]
    items: list[Shown]


Reasons = list[list[Reason]]


class Question(NamedTuple):
    """What an answer repeats of its question, and what it rests on.

    Attributes:
        request_id: drawn for it.
        request: as it was asked.
        owner: whose it is.
        model: version that answers.
        offset: of the journal, up to which events are known.
        basis: what the answer rests on.
        fallback: why it is not personal; None where it is.
        arms: of experiments.
        length: events of the history.
        unrepeatable: see :class:`~quintet.store.Exposure`.
    """

    request_id: str
    request: RecommendIn
    owner: Owner
    model: str
    offset: int
    basis: str
    fallback: str | None
    arms: Mapping[str, str]
    length: int
    unrepeatable: bool = False


class Chosen(NamedTuple):
    """What one list shows, best first.

    Attributes:
        items_P: rows of the catalogue.
        scores_P: fused scores.
        policy: how it was chosen.
        propensities_P: of the draws; None where nothing was drawn.
        candidates_C: rows that could have been drawn.
        strategies: of the places, where the policy has some.
        moves: what rules did.
    """

    items_P: Ints
    scores_P: Floats | Values
    policy: str
    propensities_P: Values | None = None
    candidates_C: Ints | None = None
    strategies: Sequence[str] = ()
    moves: Sequence[dict[str, Any]] = ()


class Made(NamedTuple):
    """A list that is ready once its exposure is on disk.

    Attributes:
        answer: all of it but what became of the exposure.
        exposure: for the journal.
        basis: for the metrics, like the rest.
        top: score of the first item.
        length: events of the history.
        popularity: mean standardised log count of what is shown.
    """

    answer: Answer
    exposure: Exposure
    basis: str
    top: float
    length: int
    popularity: float

    def body(self, kept: str) -> bytes:
        """The answer as JSON; ``kept`` says what became of the exposure."""
        self.answer.exposure = kept
        return encode(self.answer)


def write(
    ranker: Ranker,
    found: Candidates,
    questions: Sequence[Question],
    chosen: Sequence[Chosen | Exception],
) -> list[Made | Exception]:
    """An answer for every question of one model, or what stood in its way."""
    most = max((len(one.items_P) for one in chosen if isinstance(one, Chosen)), default=0)
    items_BP = np.full((len(chosen), most), -1, np.int64)
    score_BP = np.zeros((len(chosen), most))
    for row, one in enumerate(chosen):
        if isinstance(one, Chosen):
            items_BP[row, : len(one.items_P)] = one.items_P
            score_BP[row, : len(one.items_P)] = one.scores_P
    told_B = reasons(ranker.names, ranker.parts(found, items_BP))
    popular_B = np.where(items_BP >= 0, ranker.scorer.evidence.popularity_I[items_BP], 0).sum(1)
    rows = zip(
        questions, chosen, told_B, score_BP.round(6).tolist(), popular_B.tolist(), strict=True
    )
    made: list[Made | Exception] = []
    for question, one, told, scores, popular in rows:
        try:
            made.append(
                _made(ranker.ids, question, one, told, scores, popular)
                if isinstance(one, Chosen)
                else one
            )
        except QuintetError as error:
            made.append(error)
    return made


def reasons(names: Sequence[str], part_BPK: Floats) -> list[Reasons]:
    """For each list and place, the strongest evidence, strongest first."""
    order_BPK = np.argsort(-part_BPK, axis=2, kind="stable")[:, :, :MOST_REASONS]
    strongest = np.take_along_axis(part_BPK, order_BPK, axis=2)
    told = strongest > 0
    kinds = order_BPK[told].tolist()
    parts = strongest[told].astype(np.float64).round(4).tolist()
    words = list(map(in_words, names))
    made = list(map(Reason, map(names.__getitem__, kinds), map(words.__getitem__, kinds), parts))
    n_lists, n_places = part_BPK.shape[:2]
    ends = np.cumsum(told.sum(2), axis=None).tolist()
    each = [made[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [each[row * n_places : (row + 1) * n_places] for row in range(n_lists)]


def _made(
    ids_I: Values,
    question: Question,
    one: Chosen,
    told: Reasons,
    scores: list[float],
    popular: float,
) -> Made:
    request, ids = question.request, ids_I[one.items_P].tolist()
    chances = None if one.propensities_P is None else one.propensities_P.tolist()
    # ends with the shortest, the ids: the longest list of the batch may hold more places
    items = list(
        map(
            Shown,
            ids,
            count(1),
            scores,
            repeat(None) if chances is None else chances,
            one.strategies or repeat(None),
            told if request.reasons else repeat(()),
        )
    )
    answer = Answer(
        "",
        question.request_id,
        request.user_id,
        request.session_id,
        question.model,
        question.offset,
        question.basis,
        question.fallback,
        one.policy,
        NOTHING_DRAWN if chances is None else None,
        question.arms,
        one.moves,
        items,
    )
    return Made(
        answer,
        _exposure(ids_I, question, one, ids, chances),
        question.basis,
        scores[0] if ids else 0.0,
        question.length,
        popular / max(len(ids), 1),
    )


def _exposure(
    ids_I: Values, question: Question, one: Chosen, ids: list[Any], chances: list[float] | None
) -> Exposure:
    request, owner = question.request, question.owner
    user = owner.id if owner.kind == "user" else None
    drawn_from = one.candidates_C
    return Exposure.of_own(
        request_id=question.request_id,
        timestamp=time.time_ns() // 1000,
        model=question.model,
        items=tuple(ids),
        delta_offset=question.offset,
        user_id=user,
        session_id=request.session_id or (None if user is not None else question.request_id),
        scenario=request.scenario,
        basis=question.basis,
        policy=one.policy,
        arms=question.arms,
        propensities=None if chances is None else tuple(chances),
        candidates=None if drawn_from is None else tuple(ids_I[drawn_from].tolist()),
        unrepeatable=question.unrepeatable or None,
    )
