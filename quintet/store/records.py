"""What a journal holds: typed records that cannot exist in an invalid form.

Every constructor refuses what some reader could not take back: NUL, lone surrogates, not-a-number,
ids of no length, doubled items, numbers beyond 64 bits. Messages name the field and the reason and
never repeat the value. Times are microseconds since 1970 UTC, as everywhere in quintet. Ids are
text or whole numbers, kept as given: ``1`` and ``"1"`` are two ids, and so are ``"é"`` in one
letter and ``"é"`` in two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar, Literal

from quintet.errors import DataError
from quintet.store import checks

Id = str | int
#: JSON's own types, nested
Json = Any
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a record is: a user, or a session of nobody known. Erasure goes by owner.

    A record with a user id is the user's, whatever its session; a session owns only what was
    recorded without a user id.
    """

    kind: Literal["user", "session"]
    id: Id

    def __post_init__(self) -> None:
        if self.kind not in ("user", "session"):
            raise DataError("owner: kind must be 'user' or 'session'")
        checks.identifier(self.id, f"{self.kind}_id")

    @classmethod
    def user(cls, user_id: Id) -> Owner:
        """The owner of a user's records."""
        return cls("user", user_id)

    @classmethod
    def session(cls, session_id: str) -> Owner:
        """The owner of a session's records."""
        return cls("session", session_id)

    @property
    def text(self) -> str:
        """One text an owner: ``user:1`` and ``user:"1"`` differ."""
        return f"{self.kind}:{_as_json(self.id)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a person did with an item.

    Attributes:
        event_id: the same id again is the same event: it is stored once.
        user_id: who; None for a session of nobody known.
        item_id: with what.
        timestamp: when, in microseconds since 1970 UTC.
        behaviour: what, such as ``view``; None where the data set has only one.
        scenario: where, such as ``search``.
        value: a rating or a quantity.
        price: of one piece.
        query: what was searched for.
        session_id: visit; the owner where ``user_id`` is None.
        device: kind of device.
        request_id: the exposure that it answers.
        position: where the item stood in that exposure, from 1.
        propensity: probability with which it was shown there, in (0, 1].
    """

    kind: ClassVar[str] = "event"

    event_id: str
    item_id: Id
    timestamp: int
    user_id: Id | None = None
    behaviour: str | None = None
    scenario: str | None = None
    value: float | None = None
    price: float | None = None
    query: str | None = None
    session_id: str | None = None
    device: str | None = None
    request_id: str | None = None
    position: int | None = None
    propensity: float | None = None

    def __post_init__(self) -> None:
        checks.text(self.event_id, "event_id")
        checks.identifier(self.item_id, "item_id")
        checks.time(self.timestamp, "timestamp")
        checks.owned(self.user_id, self.session_id)
        for name in ("behaviour", "scenario", "device", "request_id"):
            checks.optional_text(getattr(self, name), name)
        checks.optional_text(self.query, "query", checks.LONGEST_TEXT)
        for name in ("value", "price"):
            checks.optional_number(getattr(self, name), name)
        if self.position is not None:
            checks.whole(self.position, "position", least=1)
        if self.propensity is not None:
            checks.probability(self.propensity, "propensity")

    @property
    def record_id(self) -> str:
        """What makes it one of a kind."""
        return self.event_id

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return _owner(self.user_id, self.session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What a person was shown, with what an off-policy estimate needs to know of it.

    Attributes:
        request_id: of the answer; events name it.
        timestamp: when, in microseconds since 1970 UTC.
        model: version of the bundle that answered.
        delta_offset: journal offset up to which online counts went in (0: none).
        user_id: who asked; None for a session of nobody known.
        session_id: visit; the owner where ``user_id`` is None.
        scenario: where it was shown.
        basis: what the answer rests on, or the fallback used (``personal``, ``popular``, ...).
        policy: how the slate was drawn.
        arms: experiment -> arm.
        items: shown, best first, no item twice.
        positions: of ``items``, from 1, no position twice; 1, 2, ... if not given.
        propensities: of ``items``: probability of each draw given those before it, in (0, 1];
            None for a slate without chance, which has no support for off-policy estimates.
        marginals: of ``items``: probability of being shown at all, in (0, 1].
        candidates: what could have been drawn, no item twice, every shown one among them.
        unrepeatable: true where more went into the scores than the history and the scenario (a
            query, a context, a history given, interests corrected): nobody can compute them again.
    """

    kind: ClassVar[str] = "exposure"

    request_id: str
    timestamp: int
    model: str
    items: tuple[Id, ...]
    positions: tuple[int, ...] = ()
    delta_offset: int = 0
    user_id: Id | None = None
    session_id: str | None = None
    scenario: str | None = None
    basis: str | None = None
    policy: str | None = None
    arms: Mapping[str, str] = field(default_factory=dict)
    propensities: tuple[float, ...] | None = None
    marginals: tuple[float, ...] | None = None
    candidates: tuple[Id, ...] | None = None
    unrepeatable: bool | None = None

    def __post_init__(self) -> None:
        checks.text(self.request_id, "request_id")
        checks.time(self.timestamp, "timestamp")
        checks.text(self.model, "model")
        if self.unrepeatable is not None:
            checks.flag(self.unrepeatable, "unrepeatable")
        checks.whole(self.delta_offset, "delta_offset", least=0)
        checks.owned(self.user_id, self.session_id)
        for name in ("scenario", "basis", "policy"):
            checks.optional_text(getattr(self, name), name)
        checks.labels(self.arms, "arms")
        shown = checks.distinct_ids(self.items, "items")
        if self.positions:
            checks.distinct_positions(self.positions, "positions")
            checks.same_length(self.positions, self.items, "positions", "items")
        else:
            object.__setattr__(self, "positions", tuple(range(1, len(self.items) + 1)))
        self._check_lists(shown)

    def _check_lists(self, shown: frozenset[Id]) -> None:
        for name in ("propensities", "marginals"):
            values = getattr(self, name)
            if values is not None:
                checks.probabilities(values, name)
                checks.same_length(values, self.items, name, "items")
        could = self.candidates
        if could is not None and not shown <= checks.distinct_ids(could, "candidates"):
            raise DataError("candidates: an item that was shown is not among them")

    @classmethod
    def of_own(cls, **told: Any) -> Exposure:
        """As the constructor, without its checks, which take longer than all the rest of a record.

        Only for what this process drew from a catalogue itself, for somebody whose ids were checked
        when they came.
        """
        made = object.__new__(cls)
        positions = tuple(range(1, len(told["items"]) + 1))
        for name, value in {**_UNTOLD, "positions": positions, **told}.items():
            object.__setattr__(made, name, value)
        return made

    @property
    def record_id(self) -> str:
        """What makes it one of a kind."""
        return self.request_id

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return _owner(self.user_id, self.session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileEdit:
    """What a person said of their own profile; later edits are laid over earlier ones.

    Attributes:
        edit_id: stored once.
        user_id: whose profile.
        timestamp: when, in microseconds since 1970 UTC.
        changes: a JSON object, at most 64 KiB and 16 levels deep; its keys are the caller's, and
            null takes a key back.
    """

    kind: ClassVar[str] = "profile"

    edit_id: str
    user_id: Id
    timestamp: int
    changes: Mapping[str, Json]

    def __post_init__(self) -> None:
        checks.text(self.edit_id, "edit_id")
        checks.identifier(self.user_id, "user_id")
        checks.time(self.timestamp, "timestamp")
        checks.document(self.changes, "changes")

    @property
    def record_id(self) -> str:
        """What makes it one of a kind."""
        return self.edit_id

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner("user", self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemUpsert:
    """An item was added, changed or retired; not a person's, so it is stored as plain text.

    Attributes:
        upsert_id: stored once.
        item_id: which item.
        timestamp: when, in microseconds since 1970 UTC.
        attributes: all of them (the last record of an item holds); a JSON object, at most 64 KiB.
        retired: no longer to be recommended.
    """

    kind: ClassVar[str] = "item"

    upsert_id: str
    item_id: Id
    timestamp: int
    attributes: Mapping[str, Json] = field(default_factory=dict)
    retired: bool = False

    def __post_init__(self) -> None:
        checks.text(self.upsert_id, "upsert_id")
        checks.identifier(self.item_id, "item_id")
        checks.time(self.timestamp, "timestamp")
        checks.document(self.attributes, "attributes")
        checks.flag(self.retired, "retired")

    @property
    def record_id(self) -> str:
        """What makes it one of a kind."""
        return self.upsert_id

    @property
    def owner(self) -> None:
        """Nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A bundle went live: its online counts start after ``base_offset``.

    Attributes:
        deployment_id: stored once.
        model: version of the bundle.
        base_offset: last journal offset that the bundle was trained on (0: none).
        timestamp: when, in microseconds since 1970 UTC.
    """

    kind: ClassVar[str] = "deployment"

    deployment_id: str
    model: str
    base_offset: int
    timestamp: int

    def __post_init__(self) -> None:
        checks.text(self.deployment_id, "deployment_id")
        checks.text(self.model, "model")
        checks.whole(self.base_offset, "base_offset", least=0)
        checks.time(self.timestamp, "timestamp")

    @property
    def record_id(self) -> str:
        """What makes it one of a kind."""
        return self.deployment_id

    @property
    def owner(self) -> None:
        """Nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The tombstone of an owner; written by :meth:`Journal.erase` only.

    Attributes:
        erasure_id: stored once.
        timestamp: when, in microseconds since 1970 UTC.
        salt: 32 hexadecimal digits, drawn for this tombstone.
        digest: keyed hash of salt and owner, 64 hexadecimal digits; without the key store's secret
            it tells nothing, not even by trying all ids.
        n_records: records that became unreadable.
    """

    kind: ClassVar[str] = "erasure"

    erasure_id: str
    timestamp: int
    salt: str
    digest: str
    n_records: int

    def __post_init__(self) -> None:
        checks.text(self.erasure_id, "erasure_id")
        checks.time(self.timestamp, "timestamp")
        checks.hexadecimal(self.salt, "salt", 32)
        checks.hexadecimal(self.digest, "digest", 64)
        checks.whole(self.n_records, "n_records", least=0)

    @property
    def record_id(self) -> str:
        """What makes it one of a kind."""
        return self.erasure_id

    @property
    def owner(self) -> None:
        """Nobody's any more."""


#: what an exposure that does not tell of it has
_UNTOLD = {one.name: one.default for one in fields(Exposure) if one.default is not MISSING}
_UNTOLD["arms"] = {}
Record = Event | Exposure | ProfileEdit | ItemUpsert | Deployment | Erasure
KINDS: dict[str, type[Record]] = {
    kind.kind: kind for kind in (Event, Exposure, ProfileEdit, ItemUpsert, Deployment, Erasure)
}


@lru_cache(maxsize=32_768)
def _owner(user_id: Id | None, session_id: str | None) -> Owner:
    if user_id is not None:
        return Owner("user", user_id)
    if session_id is None:  # every constructor has refused this
        raise DataError("neither user_id nor session_id")
    return Owner("session", session_id)


def forget_owners() -> None:
    """Keep no owner in memory: one of them was erased."""
    _owner.cache_clear()
