"""From what was sent to what the journal holds."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import replace

from quintet.data.vocab import CANONICAL
from quintet.errors import InvalidRequestError
from quintet.store import Appended, Deployment, Event, Journal, Outcome, Owner, ProfileEdit
from quintet.web.live import Live
from quintet.web.models import EventIn, ProfileEditIn
from quintet.web.owners import own_id

MICROSECONDS = 1_000_000


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def event(live: Live, sent: EventIn, received: int) -> Event:
    """An event as the journal holds it, of the time when it was ``received`` if it tells none.

    Raises:
        InvalidRequestError: nobody stands behind it, or the model knows no such behaviour or
            scenario.
    """
    if sent.user_id is None and sent.session_id is None:
        raise InvalidRequestError("events: give user_id or session_id")
    shape = live.trained.model.shape
    for name, valid in (("behaviour", shape.behaviours), ("scenario", shape.scenarios)):
        if getattr(sent, name) not in (None, *valid):
            raise InvalidRequestError(f"events: {name}: choose one of: {', '.join(valid)}")
    trained = live.trained
    fields = sent.model_dump(exclude={"timestamp", "event_id", "user_id", "item_id"})
    when = received if sent.timestamp is None else round(sent.timestamp * MICROSECONDS)
    return Event(
        event_id=sent.event_id or secrets.token_hex(16),
        user_id=None if sent.user_id is None else own_id(trained.users, sent.user_id),
        item_id=own_id(trained.items, sent.item_id),
        timestamp=when,
        **fields,
    )


def settled(journal: Journal, record: Event, one: Appended) -> Appended:
    """A conflict of an event without a time of its own: a duplicate, if only our time differs."""
    if one.outcome is not Outcome.CONFLICT:
        return one
    for entry in journal.read(after=one.offset - 1, limit=1):
        first = entry.record
        same = isinstance(first, Event) and replace(record, timestamp=first.timestamp) == first
        if entry.offset == one.offset and same:
            return Appended(one.offset, Outcome.DUPLICATE)
    return one


def edit(live: Live, user: str | int, sent: ProfileEditIn) -> ProfileEdit:
    """An edit as the journal holds it."""
    return ProfileEdit(
        edit_id=secrets.token_hex(16),
        user_id=own_id(live.trained.users, user),
        timestamp=now(),
        changes=sent.model_dump(exclude_unset=True),
    )


def user_owner(live: Live, user: str | int) -> Owner:
    """The owner of a user's records."""
    return Owner.user(own_id(live.trained.users, user))


def other_owner(owner: Owner) -> Owner | None:
    """The same user by the other type of ids, where there is one: 5 and "5" are one person."""
    one = owner.id
    if isinstance(one, int):
        return Owner.user(str(one))
    whole = re.fullmatch(CANONICAL, one) is not None and -(2**63) < int(one) < 2**63
    return Owner.user(int(one)) if whole else None


def farewell(owner: Owner) -> ProfileEdit:
    """The last record before an erasure."""
    return ProfileEdit(edit_id=secrets.token_hex(16), user_id=owner.id, timestamp=now(), changes={})


def deployment(live: Live) -> Deployment:
    """A bundle went live here."""
    return Deployment(
        deployment_id=secrets.token_hex(16),
        model=live.version,
        base_offset=live.base_offset,
        timestamp=now(),
    )
