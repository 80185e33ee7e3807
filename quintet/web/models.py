"""What goes in and what comes out, typed; the service, its documentation and the client share it.

Requests are strict: ``true`` is no number, ``"10"`` is no number, and unknown fields are refused.
Answers may grow: a client ignores fields that it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quintet.web.fields import (
    MOST_EVENTS,
    MOST_ITEMS,
    Finite,
    Id,
    K,
    Name,
    Temperature,
    Text,
    TextId,
)


class Request(BaseModel):
    """Base of what is asked."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class ByModel(Answer):
    """Base of what a model answers."""

    request_id: str
    model: str


class Personal(ByModel):
    """Base of what is answered of one person."""

    delta_offset: int = Field(description="journal offset up to which events are in this answer")
    basis: str


# ---------------------------------------------------------------- events


class EventIn(Request):
    """Something that a person did with an item."""

    event_id: TextId | None = Field(default=None, description="makes a repetition harmless")
    user_id: Id | None = None
    session_id: TextId | None = Field(default=None, description="the owner where nobody is known")
    item_id: Id
    behaviour: TextId | None = None
    scenario: TextId | None = None
    timestamp: Finite | None = Field(
        default=None, ge=-9e9, le=9e9, description="seconds since 1970 UTC; now when absent"
    )
    value: Finite | None = None
    price: Finite | None = None
    query: Text | None = None
    device: TextId | None = None
    request_id: TextId | None = Field(default=None, description="the answer that showed the item")
    position: int | None = Field(default=None, ge=1, le=10_000)
    propensity: Finite | None = Field(default=None, gt=0, le=1)


class EventBatch(Request):
    """Several events, stored together or not at all."""

    events: list[EventIn] = Field(min_length=1, max_length=MOST_EVENTS)


class EventOut(Answer):
    """What became of an event."""

    event_id: str
    offset: int
    outcome: Literal["new", "duplicate", "conflict"]


class EventsOut(Answer):
    """All of them are on disk, but those in conflict."""

    request_id: str
    accepted: int
    duplicates: int
    conflicts: int
    unknown_items: int = Field(description="kept, but the model knows nothing of the item")
    events: list[EventOut]


# ---------------------------------------------------------------- recommend


class Filter(Request):
    """A condition on a column of the catalogue."""

    column: TextId
    any_of: list[str | int | Finite] | None = Field(default=None, max_length=200)
    at_least: Finite | None = None
    at_most: Finite | None = None


class AskedIn(Request):
    """What a call may tell beside who asks; a state is turned towards it, as in training."""

    scenario: TextId | None = None
    query: Text | None = None
    context: dict[str, str | int | Finite | bool | None] = Field(
        default_factory=dict,
        max_length=32,
        description="`time` (microseconds), `device`, `page_item`, what rules read; never logged",
    )


class RecommendIn(AskedIn):
    """Who asks for what."""

    user_id: Id | None = None
    session_id: TextId | None = None
    history: list[Id] | None = Field(
        default=None, max_length=500, description="items met, oldest first, instead of what is kept"
    )
    k: K = 10
    filters: list[Filter] = Field(default_factory=list, max_length=16)
    candidates: list[Id] | None = Field(default=None, min_length=1, max_length=MOST_ITEMS)
    exclude_seen: bool | None = None
    rules: Name | None = Field(default=None, description="name of a rule set")
    slate: bool | None = Field(default=None, description="mix by the predicted strategy")
    exploration: Temperature | None = None
    reasons: bool = True


class ReasonOut(Answer):
    """One kind of evidence."""

    evidence: str
    text: str
    contribution: float
    because: list[str | int] = Field(default_factory=list)


class ItemOut(Answer):
    """One recommended item."""

    item_id: str | int
    rank: int
    score: float
    propensity: float | None = Field(description="null where nothing was drawn at random")
    strategy: str | None = None
    reasons: list[ReasonOut] = Field(default_factory=list)


class RecommendOut(Personal):
    """A list, and all that is needed to learn from it later."""

    user_id: str | int | None
    session_id: str | None
    fallback: str | None = Field(description="why the answer is not personal; null where it is")
    policy: str
    propensity_note: str | None = Field(default=None, description="why propensities are null")
    arms: dict[str, str] = Field(default_factory=dict)
    moves: list[dict[str, Any]] = Field(default_factory=list, description="what rules did")
    exposure: Literal["durable", "failed"]
    items: list[ItemOut]


# ---------------------------------------------------------------- score, similar, explain


class ScoreIn(AskedIn):
    """Pairs of one person and several items."""

    user_id: Id | None = None
    session_id: TextId | None = None
    items: list[Id] = Field(min_length=1, max_length=MOST_ITEMS)


class ScoredItem(Answer):
    """Calibrated answers for an item, given that it is the next event."""

    item_id: str | int
    score: float
    value: float | None
    expected_value: float | None = Field(None, description="chance times worth, where declared")
    probabilities: dict[str, float]


class ScoreOut(Personal):
    """Scores in the order asked."""

    fallback: str | None
    items: list[ScoredItem]


class SimilarItem(Answer):
    """A near item."""

    item_id: str | int
    similarity: float
    rank: int
    shared: dict[str, list[str]]


class SimilarOut(ByModel):
    """Items near to one."""

    item_id: str | int
    items: list[SimilarItem]


class ExplainIn(Request):
    """Why this item for this person?"""

    user_id: Id | None = None
    session_id: TextId | None = None
    item_id: Id


class ExplainOut(Personal):
    """The strongest reasons, with the events of the history that they rest on."""

    item_id: str | int
    reasons: list[ReasonOut]


# ---------------------------------------------------------------- people


class ProfileEditIn(Request):
    """What a person says of their own profile; null takes an entry back."""

    interests: dict[TextId, Annotated[float, Field(ge=0, le=1)] | None] | None = Field(
        default=None, max_length=100, description="wanted share of a category, from 0 to 1"
    )
    mute_items: dict[TextId, bool | None] | None = Field(default=None, max_length=200)
    mute_categories: dict[TextId, bool | None] | None = Field(default=None, max_length=100)
    forget_items: dict[TextId, bool | None] | None = Field(
        default=None, max_length=200, description="as if they had never been met"
    )


class Interest(Answer):
    """A share from 0 to 1."""

    name: str
    weight: float
    wanted: float | None = None


class ProfileOut(Personal):
    """What the model makes of a person, and what they said of it."""

    user_id: str | int
    events: int
    interests: list[Interest]
    strategy: list[Interest]
    behaviours: dict[str, int]
    mean_value: float | None
    edits: dict[str, Any]
    history: list[dict[str, Any]] | None = Field(default=None, description="in an export")


class ErasedOut(Answer):
    """The receipt of an erasure."""

    request_id: str
    offset: int
    digest: str
    records: int
    unreached: list[str]
    note: str


# ---------------------------------------------------------------- items


class ItemIn(Request):
    """An item to add, to change, or to retire."""

    item_id: Id
    attributes: dict[TextId, Any] = Field(default_factory=dict, max_length=100)
    retired: bool = False


class ItemsIn(Request):
    """Several items."""

    items: list[ItemIn] = Field(min_length=1, max_length=MOST_ITEMS)


class ItemView(ByModel):
    """What is known of an item, and whether it may be recommended."""

    item_id: str | int
    attributes: dict[str, Any]
    offered: bool


class ItemsOut(ByModel):
    """They are on disk and take part in the next answer."""

    offset: int
    added: int
    changed: int
    retired: int
    catalogue: int
    seconds: float


# ---------------------------------------------------------------- experiments and models


class ArmIn(Request):
    """What an arm changes; nothing is the control."""

    name: Name
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    model: Name | None = Field(default=None, description="a bundle beside the live one")
    rules: Name | None = None
    slate: bool | None = None
    exploration: Temperature | None = None


class ExperimentIn(Request):
    """Arms and who takes part."""

    name: Name
    arms: list[ArmIn] = Field(min_length=2, max_length=20)
    traffic: Annotated[float, Field(gt=0, le=1)] = 1.0
    active: bool = True


class ExperimentsOut(Answer):
    """All experiments."""

    request_id: str
    experiments: list[dict[str, Any]]


class ModelIn(Request):
    """Which bundle to serve; without a name, the one before (a rollback)."""

    name: Name | None = None
    rollback: bool = False


class ModelOut(ByModel):
    """What is served."""

    bundle: str
    previous: str | None
    items: int
    seconds: float


class HealthOut(Answer):
    """Whether the service answers, and what hinders it."""

    status: Literal["ok", "unavailable"]
    model: str | None = None
    offset: int | None = None
    problems: list[str] = Field(default_factory=list)


class Problem(Answer):
    """An error (RFC 9457)."""

    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = None
