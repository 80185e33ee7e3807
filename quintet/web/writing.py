"""From chosen items to answers: JSON with reasons, and the exposure that goes into the journal.

Shapes: B questions, P places of a list, K kinds of evidence.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from quintet.data.interactions import Floats, Ints
from quintet.errors import QuintetError
from quintet.serve.explain import MOST_REASONS, WORDS
from quintet.serve.slate.draw import Values
from quintet.store import Exposure, Owner
from quintet.web.models import RecommendIn
from quintet.web.ranking import Candidates, Ranker

NOTHING_DRAWN = "pure order: nothing was drawn, so it has no support for off-policy evaluation"
encode = msgspec.json.Encoder().encode
Reasons = list[list[dict[str, Any]]]


@dataclass(frozen=True)
class Question:
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


@dataclass(frozen=True)
class Chosen:
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
    moves: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """A list that is ready once its exposure is on disk.

    Attributes:
        answer: all fields but what became of the exposure.
        exposure: for the journal.
        basis: for the metrics, like the rest.
        top: score of the first item.
        length: events of the history.
        popularity: mean standardised log count of what is shown.
    """

    answer: dict[str, Any]
    exposure: Exposure
    basis: str
    top: float
    length: int
    popularity: float

    def body(self, kept: str) -> bytes:
        """The answer as JSON; ``kept`` says what became of the exposure."""
        return encode({"exposure": kept, **self.answer})


def write(
    ranker: Ranker,
    found: Candidates,
    questions: Sequence[Question],
    chosen: Sequence[Chosen | Exception],
) -> list[Made | Exception]:
    """An answer for every question of one model, or what stood in its way."""
    most = max((len(one.items_P) for one in chosen if isinstance(one, Chosen)), default=0)
    items_BP = np.full((len(chosen), most), -1, np.int64)
    for row, one in enumerate(chosen):
        if isinstance(one, Chosen):
            items_BP[row, : len(one.items_P)] = one.items_P
    told_B = reasons(ranker.names, ranker.parts(found, items_BP))
    made: list[Made | Exception] = []
    for question, one, told in zip(questions, chosen, told_B, strict=True):
        try:
            made.append(_made(ranker, question, one, told) if isinstance(one, Chosen) else one)
        except QuintetError as error:
            made.append(error)
    return made


def reasons(names: Sequence[str], part_BPK: Floats) -> list[Reasons]:
    """For each list and place, the strongest evidence, strongest first."""
    order_BPK = np.argsort(-part_BPK, axis=2, kind="stable")[:, :, :MOST_REASONS]
    strongest = np.take_along_axis(part_BPK, order_BPK, axis=2).astype(np.float64).round(4)
    words = [(name, WORDS.get(name, name)) for name in names]
    return [
        [
            [
                {
                    "evidence": words[k][0],
                    "text": words[k][1],
                    "contribution": part,
                    "because": (),
                }
                for k, part in zip(kinds, parts, strict=True)
                if part > 0
            ]
            for kinds, parts in zip(kinds_of, parts_of, strict=True)
        ]
        for kinds_of, parts_of in zip(order_BPK.tolist(), strongest.tolist(), strict=True)
    ]


def _made(ranker: Ranker, question: Question, one: Chosen, told: Reasons) -> Made:
    request, ids = question.request, ranker.ids[one.items_P].tolist()
    scores = one.scores_P.astype(np.float64).round(6).tolist()
    chances = None if one.propensities_P is None else one.propensities_P.tolist()
    items = [
        {
            "item_id": item,
            "rank": place + 1,
            "score": scores[place],
            "propensity": None if chances is None else chances[place],
            "strategy": one.strategies[place] if one.strategies else None,
            "reasons": told[place] if request.reasons else (),
        }
        for place, item in enumerate(ids)
    ]
    answer = {
        "request_id": question.request_id,
        "user_id": request.user_id,
        "session_id": request.session_id,
        "model": question.model,
        "delta_offset": question.offset,
        "basis": question.basis,
        "fallback": question.fallback,
        "policy": one.policy,
        "propensity_note": NOTHING_DRAWN if chances is None else None,
        "arms": question.arms,
        "moves": one.moves,
        "items": items,
    }
    popularity = ranker.scorer.evidence.popularity_I[one.items_P]
    return Made(
        answer,
        _exposure(ranker, question, one, ids, chances),
        question.basis,
        scores[0] if scores else 0.0,
        question.length,
        float(popularity.mean()) if len(ids) else 0.0,
    )


def _exposure(
    ranker: Ranker, question: Question, one: Chosen, ids: list[Any], chances: list[float] | None
) -> Exposure:
    request, owner = question.request, question.owner
    user = owner.id if owner.kind == "user" else None
    drawn_from = one.candidates_C
    return Exposure(
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
        candidates=None if drawn_from is None else tuple(ranker.ids[drawn_from].tolist()),
    )
