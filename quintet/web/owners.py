"""Whose a request is, by one id for every way to write it."""

from __future__ import annotations

import re

from quintet.data.vocab import CANONICAL, Vocabulary
from quintet.errors import InvalidRequestError
from quintet.serve.trained import Trained
from quintet.store import Owner

Id = str | int


def own_id(ids: Vocabulary, one: Id) -> Id:
    """An id in the vocabulary's own type: "5" and 5 are one person, "05" is another."""
    if ids.is_integer:
        whole = isinstance(one, str) and re.fullmatch(CANONICAL, one) is not None
        return int(one) if whole and -(2**63) < int(one) < 2**63 else one
    return str(one)


def owner_of(trained: Trained, user: Id | None, session: str | None) -> Owner:
    """The user, or else the session.

    Raises:
        InvalidRequestError: neither is given.
    """
    if user is not None:
        return Owner.user(own_id(trained.users, user))
    if session is None:
        raise InvalidRequestError("give user_id, or session_id for a session of nobody known")
    return Owner.session(session)


def users_row(trained: Trained, user: Id | None) -> int:
    """The row of a user in the bundle, -1 for somebody new."""
    return -1 if user is None else trained.users.row(user)
