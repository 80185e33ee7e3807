"""Answers that are not lists: scores, neighbours, reasons, profiles. Used by the model's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from quintet.data.interactions import Floats, Ints
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.errors import InvalidRequestError, UnknownIdError
from quintet.nn.tasks.interaction import Interaction
from quintet.serve.alike import nearest
from quintet.serve.asking import expected_value
from quintet.serve.explain import explain
from quintet.serve.scorer import scenarios_of
from quintet.store import Event
from quintet.web.asked import asking
from quintet.web.choosing import rows_of
from quintet.web.lists import FALLBACKS, ListMaker, basis_of
from quintet.web.live import Live
from quintet.web.models import ExplainIn, ProfileEditIn, ScoreIn
from quintet.web.owners import owner_of
from quintet.web.people import Person, batch


def score(lists: ListMaker, request: ScoreIn) -> dict[str, Any]:
    """Fused scores, and calibrated probabilities given that the item is the next event.

    Raises:
        InvalidRequestError: the scenario is unknown.
        UnknownIdError: an item is not in the catalogue.
    """
    live = lists.holder.live
    one, gone = _person(lists, live, request.user_id, request.session_id)
    one = asking(live, one, request)
    rows = rows_of(live, request.items)
    history = batch([one], len(live.trained.items))
    fused = live.trained.scorer.scores(history)[0, rows]
    values, behaviours = _calibrated(live, one, rows)
    shape = live.trained.model.shape
    worth = np.full(len(rows), np.nan)
    if shape.worth and behaviours.shape[1]:
        worth = expected_value(live.trained, rows, behaviours)
    ids = live.trained.items.ids(rows)
    basis = basis_of(live, one)
    return {
        "model": live.version,
        "delta_offset": lists.known.offset,
        "basis": basis,
        "fallback": gone or FALLBACKS[basis],
        "items": [
            {
                "item_id": ids[index],
                "score": round(float(fused[index]), 6),
                "value": _known(values[index]),
                "expected_value": _known(worth[index]),
                "probabilities": {
                    name: round(float(chance), 6)
                    for name, chance in zip(shape.behaviours, behaviours[index], strict=False)
                },
            }
            for index in range(len(rows))
        ],
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _person(
    lists: ListMaker, live: Live, user: str | int | None, session: str | None
) -> tuple[Person, str | None]:
    return lists.person(live, owner_of(live.trained, user, session), user)


@torch.no_grad()
def _calibrated(live: Live, one: Person, rows: Ints) -> tuple[Floats, Floats]:
    """[N] expected ratings and [N, B] chances of the behaviours; the state is computed once."""
    trained = live.trained
    if "interaction" not in trained.model.tasks:
        return np.full(len(rows), np.nan, np.float32), np.zeros((len(rows), 0), np.float32)
    task = trained.model.task("interaction")
    assert isinstance(task, Interaction)
    evidence = trained.scorer.evidence
    now = Moments.newest(batch([one], len(trained.items)))
    shared_ND = evidence.states(now, ["interaction"]).of("interaction").expand(len(rows), -1)
    features = {
        name: tensor.expand(len(rows), *tensor.shape[1:])
        for name, tensor in evidence.task_features("interaction", now).items()
    }
    raw = task.pair_scores(shared_ND, features, torch.from_numpy(rows), evidence.tables.joint_ID)
    answer = trained.scorer.calibrated(raw, np.repeat(scenarios_of(now), len(rows)))
    return answer.value_N, answer.behaviour_NB


def similar(live: Live, item: str | int, k: int) -> dict[str, Any]:
    """Items near to one; retired ones are left out.

    Raises:
        UnknownIdError: the item is not in the catalogue.
    """
    row = int(rows_of(live, [item])[0])
    found = nearest(live.trained, row, k, live.offered_I)
    return {
        "model": live.version,
        "item_id": live.trained.items.ids([row])[0],
        "items": found,
    }


def explained(lists: ListMaker, request: ExplainIn) -> dict[str, Any]:
    """The strongest reasons, each with the events without which it would be weaker.

    Raises:
        UnknownIdError: the item is not in the catalogue.
    """
    live = lists.holder.live
    one, _ = _person(lists, live, request.user_id, request.session_id)
    row = int(rows_of(live, [request.item_id])[0])
    history = batch([one], len(live.trained.items))
    return {
        "model": live.version,
        "delta_offset": lists.known.offset,
        "basis": basis_of(live, one),
        "item_id": live.trained.items.ids([row])[0],
        "reasons": [asdict(reason) for reason in explain(live.trained, history, row)],
    }


def profile(lists: ListMaker, user: str | int, export: bool) -> dict[str, Any]:
    """What the model makes of a person, and what they said of it.

    Raises:
        UnknownIdError: nothing is known of the person.
    """
    live = lists.holder.live
    one, _ = _person(lists, live, user, None)
    if not len(one) and one.row < 0 and not one.edits:
        raise UnknownIdError("nothing is known of this user")
    answer = _described(lists, live, user, one)
    if not export:
        return answer
    whole, told = lists.known.everything(owner_of(live.trained, user, None), live, one.row)
    history = _history(live, whole) + _not_read(live, told)
    return answer | {"history": sorted(history, key=lambda event: event["timestamp"])}


def edited(lists: ListMaker, user: str | int) -> dict[str, Any]:
    """The profile after an edit, which may have taken back all that was known of somebody."""
    live = lists.holder.live
    return _described(lists, live, user, _person(lists, live, user, None)[0])


def _described(lists: ListMaker, live: Live, user: str | int, one: Person) -> dict[str, Any]:
    shape, scorer = live.trained.model.shape, live.trained.scorer
    now = Moments.newest(batch([one], len(live.trained.items)))
    tasks = live.trained.model.tasks
    wanted = one.edits.get("interests") or {}
    interests = strategy = None
    if "profile" in tasks and shape.interest is not None:
        interests = _weights(shape.interest_names, scorer.interests(now)[0], wanted)
    if "strategy" in tasks:
        strategy = _weights(STRATEGIES, scorer.strategy(now)[0], {})
    value = one.value[~np.isnan(one.value)]
    counts = np.bincount(one.behaviour, minlength=len(shape.behaviours))
    return {
        "model": live.version,
        "delta_offset": lists.known.offset,
        "user_id": user,
        "basis": basis_of(live, one),
        "events": len(one),
        "interests": interests or [],
        "strategy": strategy or [],
        "behaviours": dict(zip(shape.behaviours, counts.tolist(), strict=False)),
        "mean_value": round(float(value.mean()), 4) if len(value) else None,
        "edits": dict(one.edits),
    }


def _weights(
    names: list[str], share: Floats, wanted: dict[str, float | None]
) -> list[dict[str, Any]]:
    order = np.argsort(-share, kind="stable")
    return [
        {
            "name": names[index],
            "weight": round(float(share[index]), 4),
            "wanted": wanted.get(names[index]),
        }
        for index in order
    ]


def _history(live: Live, one: Person) -> list[dict[str, Any]]:
    shape = live.trained.model.shape
    ids = live.trained.items.ids(one.item)
    return [
        {
            "item_id": ids[index],
            "timestamp": int(one.time[index]) / 1e6,
            "behaviour": shape.behaviours[one.behaviour[index]],
            "scenario": shape.scenarios[one.scenario[index]],
            "value": None if np.isnan(one.value[index]) else float(one.value[index]),
        }
        for index in range(len(one))
    ]


def _not_read(live: Live, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Stored events that the model has no use for: it knows not the item, or not the behaviour."""
    shape = live.trained.model.shape
    rows = live.trained.items.rows([event.item_id for event in events])
    return [
        {
            "item_id": event.item_id,
            "timestamp": event.timestamp / 1e6,
            "behaviour": event.behaviour,
            "scenario": event.scenario,
            "value": event.value,
        }
        for event, row in zip(events, rows, strict=True)
        if row < 0 or event.behaviour not in (None, *shape.behaviours)
    ]


def check_edit(live: Live, changes: ProfileEditIn) -> None:
    """Refuse an edit that could change nothing.

    Raises:
        InvalidRequestError: a category is not one of the model's.
    """
    names = set(live.trained.model.shape.interest_names)
    if changes.interests and not set(changes.interests) <= names:
        raise InvalidRequestError(f"interests: the categories are: {', '.join(sorted(names))}")
    columns = live.trained.item_features.categories.values()
    known = {name for column in columns for name in column.names}
    if changes.mute_categories and not set(changes.mute_categories) <= known:
        raise InvalidRequestError("mute_categories: not a category of the catalogue")
