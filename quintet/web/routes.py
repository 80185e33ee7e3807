"""The routes: what each takes, which scope it asks for, and which part of the service answers."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from starlette.responses import Response

from quintet.errors import BundleError, InvalidRequestError
from quintet.web import fields
from quintet.web import models as m
from quintet.web.api import JSON, NDJSON, Call, Route
from quintet.web.operations import live, look, metrics, ready
from quintet.web.problems import Unfit, fitted
from quintet.web.strict import read_json
from quintet.web.swapping import Swapper
from quintet.web.upkeep import BackupIn, BackupOut, backup

RESULT = dict[str, Any]
#: seconds for what loads a bundle or copies a journal
PATIENT = 300.0


class RecommendQuery(m.Request):
    """What of a question fits into a query string."""

    user_id: fields.TextId | None = None
    session_id: fields.TextId | None = None
    k: fields.K = 10
    scenario: fields.TextId | None = None
    query: fields.Text | None = None
    exclude_seen: bool | None = None
    rules: fields.Name | None = None
    slate: bool | None = None
    exploration: fields.Temperature | None = None
    reasons: bool = True


class SimilarQuery(m.Request):
    """How many."""

    k: fields.K = 10


class ProfileQuery(m.Request):
    """Whether the events are wanted too."""

    export: bool = False


# ---------------------------------------------------------------- events and lists


def read_events(data: bytes, media: str) -> list[m.EventIn]:
    """One event, a batch, or one a line."""
    if media == NDJSON:
        lines = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        if not 1 <= len(lines) <= fields.MOST_EVENTS:
            raise InvalidRequestError(f"give 1 to {fields.MOST_EVENTS} lines")
        events = []
        for number, line in lines:
            try:
                events.append(fitted(m.EventIn, read_json(line)))
            except Unfit as unfit:
                where = [{**one, "where": f"{number}.{one['where']}"} for one in unfit.errors]
                raise Unfit(where) from None
            except InvalidRequestError as error:
                raise InvalidRequestError(f"line {number}: {error}") from None
        return events
    value = read_json(data)
    if isinstance(value, dict) and "events" in value:
        return fitted(m.EventBatch, value).events
    return [fitted(m.EventIn, value)]


async def events(call: Call) -> RESULT:
    """Store events."""
    return await call.service.events(call.body, call.request_id)


async def recommend(call: Call) -> bytes:
    """A list."""
    return await call.service.recommend(call.body, call.request_id)


async def recommend_by_query(call: Call) -> bytes:
    """A list, asked for in a query string."""
    asked = fitted(m.RecommendIn, call.query.model_dump())
    return await call.service.recommend(asked, call.request_id)


async def score(call: Call) -> RESULT:
    """Scores."""
    return await call.service.score(call.body)


async def similar(call: Call) -> RESULT:
    """Near items."""
    return await call.service.similar(_id(call.path["item"]), call.query.k)


async def explain(call: Call) -> RESULT:
    """Reasons."""
    return await call.service.explain(call.body)


# ---------------------------------------------------------------- people


def _id(text: str) -> str:
    """An id of a path, held to what a body's ids are held to."""
    return fitted(_OneId, {"id": text}).id


class _OneId(m.Request):
    id: fields.TextId


async def profile(call: Call) -> RESULT:
    """What is made of a person."""
    return await call.service.profile(_id(call.path["user"]), export=call.query.export)


async def edit_profile(call: Call) -> RESULT:
    """Correct, mute, forget."""
    return await call.service.edit(_id(call.path["user"]), call.body)


async def erase(call: Call) -> RESULT:
    """Erase a person."""
    return await call.service.erase(_id(call.path["user"]))


# ---------------------------------------------------------------- items


def read_items(data: bytes, media: str) -> m.ItemsIn:
    """One item or several."""
    del media
    value = read_json(data)
    if isinstance(value, dict) and "items" in value:
        return fitted(m.ItemsIn, value)
    return m.ItemsIn(items=[fitted(m.ItemIn, value)])


async def item(call: Call) -> RESULT:
    """What is known of one item."""
    return await call.service.item(_id(call.path["item"]))


async def items(call: Call) -> RESULT:
    """Add, change or retire items."""
    return await call.service.upsert(call.body)


# ---------------------------------------------------------------- experiments and models


async def experiments(call: Call) -> RESULT:
    """All experiments."""
    held = call.service.experiments.all()
    return {"experiments": [one.model_dump() for one in held]}


async def put_experiment(call: Call) -> RESULT:
    """Add or change one; what an arm names must be there, or its people would get no lists."""
    for arm in call.body.arms:
        if call.body.active and arm.rules is not None:  # one that ends may have lost its rules
            facts = call.service.holder.live.recommender.slates.facts
            call.service.lists.rules.get(arm.rules).check(
                m.RecommendIn.model_fields["k"].default, facts
            )
    try:
        await call.service.build(call.service.experiments.put, call.body)
    except BundleError:
        raise InvalidRequestError("arms: model: no bundle of that name can be served") from None
    return await experiments(call)


async def model(call: Call) -> RESULT:
    """What is served."""
    return Swapper.describe(call.service)


async def swap_model(call: Call) -> RESULT:
    """Serve another bundle."""
    return await Swapper(call.service).swap(call.body.name, rollback=call.body.rollback)


async def make_backup(call: Call) -> RESULT:
    """Back up the journal."""
    return await backup(call.service)


async def openapi(call: Call) -> Response:
    """This service's description."""
    del call
    return Response(_description(), media_type=JSON)


@functools.cache
def _description() -> bytes:
    from quintet.web.openapi import describe

    return msgspec.json.encode(describe(ROUTES))


EVENT = {"event_id": "e-1", "user_id": "u1", "item_id": "i7", "behaviour": "view"}
EVENTS = {"one": EVENT, "several": {"events": [EVENT, {**EVENT, "event_id": "e-2"}]}}
ASK = {
    "a user": {"user_id": "u1", "k": 5},
    "a session": {"session_id": "s-81", "k": 5, "history": ["i7", "i9"]},
    "with conditions": {
        "user_id": "u1",
        "scenario": "shop",
        "filters": [{"column": "price", "at_most": 50.0}],
        "exploration": 0.5,
    },
}
ITEM = {"item_id": "i-new", "attributes": {"title": "a brush", "price": 4.5}}
ARMS = [{"name": "control"}, {"name": "mixed", "slate": True}]

ROUTES = [
    Route(
        "POST",
        "/v1/events",
        "write",
        events,
        m.EventsOut,
        "Store one event, a batch, or one a line",
        body=m.EventBatch,
        read=read_events,
        media=(JSON, NDJSON),
        examples=EVENTS,
    ),
    Route(
        "POST",
        "/v1/recommend",
        "read",
        recommend,
        m.RecommendOut,
        "The best items for a user or a session",
        body=m.RecommendIn,
        examples=ASK,
    ),
    Route(
        "GET",
        "/v1/recommend",
        "read",
        recommend_by_query,
        m.RecommendOut,
        "The best items for a user or a session",
        query=RecommendQuery,
    ),
    Route(
        "POST",
        "/v1/score",
        "read",
        score,
        m.ScoreOut,
        "Scores and calibrated probabilities of given items",
        body=m.ScoreIn,
        examples={"two items": {"user_id": "u1", "items": ["i7", "i9"]}},
    ),
    Route(
        "GET",
        "/v1/similar/{item:path}",
        "read",
        similar,
        m.SimilarOut,
        "Items near to one",
        query=SimilarQuery,
    ),
    Route(
        "POST",
        "/v1/explain",
        "read",
        explain,
        m.ExplainOut,
        "Why this item, and which events it rests on",
        body=m.ExplainIn,
        examples={"one item": {"user_id": "u1", "item_id": "i7"}},
    ),
    Route(
        "GET",
        "/v1/profile/{user:path}",
        "read",
        profile,
        m.ProfileOut,
        "What the model makes of a user; export=true adds the events",
        query=ProfileQuery,
    ),
    Route(
        "PATCH",
        "/v1/profile/{user:path}",
        "write",
        edit_profile,
        m.ProfileOut,
        "Correct interests, mute, forget; null takes an entry back",
        body=m.ProfileEditIn,
        examples={"mute an item": {"mute_items": {"i7": True}}},
    ),
    Route(
        "DELETE",
        "/v1/users/{user:path}",
        "admin",
        erase,
        m.ErasedOut,
        "Erase a user; gives a receipt",
    ),
    Route(
        "POST",
        "/v1/items",
        "write",
        items,
        m.ItemsOut,
        "Add, change or retire items",
        body=m.ItemsIn,
        read=read_items,
        examples={"one": ITEM, "retire": {"item_id": "i-new", "retired": True}},
    ),
    Route("GET", "/v1/items/{item:path}", "read", item, m.ItemView, "What is known of an item"),
    Route(
        "GET",
        "/v1/experiments",
        "admin",
        experiments,
        m.ExperimentsOut,
        "All experiments",
    ),
    Route(
        "POST",
        "/v1/experiments",
        "admin",
        put_experiment,
        m.ExperimentsOut,
        "Start, change or end an experiment",
        body=m.ExperimentIn,
        examples={"two arms": {"name": "mix", "arms": ARMS}},
        seconds=PATIENT,
    ),
    Route("GET", "/v1/model", "admin", model, m.ModelOut, "The bundle that is served"),
    Route(
        "POST",
        "/v1/model",
        "admin",
        swap_model,
        m.ModelOut,
        "Serve another bundle, or the one before",
        body=m.ModelIn,
        examples={"swap": {"name": "bundle-2"}, "back": {"rollback": True}},
        seconds=PATIENT,
    ),
    Route(
        "POST",
        "/v1/backups",
        "admin",
        make_backup,
        BackupOut,
        "Write a backup of the journal where the service was told to",
        body=BackupIn,
        examples={"now": {}},
        seconds=PATIENT,
    ),
    Route("GET", "/health/live", "public", live, m.HealthOut, "The process answers"),
    Route("GET", "/health/ready", "public", ready, m.HealthOut, "Traffic may come"),
    Route("GET", "/metrics", "read", metrics, None, "Numbers for Prometheus"),
    Route("GET", "/console", "public", look, None, "A page to look at what people are shown"),
    Route("GET", "/openapi.json", "public", openapi, None, "This description"),
]
