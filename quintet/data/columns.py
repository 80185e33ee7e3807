"""The one vocabulary of columns: canonical names, what they hold, and the names the field uses.

A log, a catalogue, a user table and an edge list each know a tuple of :class:`Column`. Names are
compared without regard to case, spaces, ``_``, ``-`` and ``.``, and RecBole's ``name:type`` suffix
is taken off first, so that ``userId``, ``USER_ID`` and ``user_id:token`` are one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from quintet.errors import ColumnError

Kind = Literal["id", "time", "label", "number"]

#: columns that frames carry beside the caller's: global order, source table, row in that table
ORDER, TABLE, ROW = "__order", "__table", "__row"
INTERNAL = (ORDER, TABLE, ROW)

#: types of RecBole's atomic files
ATOMIC_TYPES = ("token", "token_seq", "float", "float_seq")
FLOAT32_MAX = 3.4028234e38
#: column names that a message lists
SHOWN = 20
#: letters from which on an alias may be what a misspelt name was meant for
LONG = 7


@dataclass(frozen=True)
class Column:
    """A canonical column.

    Attributes:
        name: the name that quintet uses everywhere.
        kind: ``id`` (text or whole number, kept as given), ``time`` (becomes microseconds),
            ``label`` (becomes text) or ``number`` (becomes a 64-bit float).
        aliases: other names it goes by.
        required: reading fails without it.
        within: least and greatest number allowed; by default what a 32-bit float holds.
    """

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    required: bool = False
    within: tuple[float, float] = (-FLOAT32_MAX, FLOAT32_MAX)

    def known_as(self, name: str) -> bool:
        """Whether ``name`` is this column's name or one of its aliases."""
        return _plain(name) in {_plain(alias) for alias in (self.name, *self.aliases)}


def _names(*lines: str) -> tuple[str, ...]:
    """The words of ``lines``."""
    return tuple(" ".join(lines).split())


_USER = _names(
    "user uid user_no visitor_id visitor customer_id customer client_id member_id reviewer_id",
    "account_id person_id buyer_id",
)
_ITEM = _names(
    "item iid asin parent_asin product_id product movie_id movie article_id artist_id track_id",
    "song_id book_id business_id video_id news_id listing_id goods_id content_id sku isbn",
)

EVENTS: tuple[Column, ...] = (
    Column("event_id", "label", ("interaction_id",)),
    Column("user_id", "id", _USER, required=True),
    Column("item_id", "id", _ITEM, required=True),
    Column(
        "timestamp",
        "time",
        _names(
            "ts time datetime date unix_review_time event_time event_timestamp created_at",
            "rating_timestamp",
        ),
    ),
    Column(
        "behaviour",
        "label",
        _names(
            "behavior behavior_type behaviour_type event event_type feedback_type feedback",
            "action action_type interaction interaction_type type",
        ),
    ),
    Column("scenario", "label", ("domain", "channel", "surface", "placement", "page_type")),
    Column(
        "value",
        "number",
        _names("rating ratings weight score overall stars plays play_count count quantity amount"),
    ),
    Column("price", "number", ("unit_price", "item_price", "cost")),
    Column("query", "label", ("search_query", "search_term", "keyword", "keywords", "q")),
    Column("session_id", "label", ("session", "visit_id")),
    Column("device", "label", ("device_id", "device_type", "platform")),
    Column("request_id", "label", ("request", "impression_id", "slate_id")),
    Column("position", "number", ("pos", "rank", "slot")),
    Column(
        "propensity", "number", ("propensity_score", "pscore", "probability"), within=(1e-12, 1.0)
    ),
)

CATALOGUE: tuple[Column, ...] = (Column("item_id", "id", (*_ITEM, "id"), required=True),)

USERS: tuple[Column, ...] = (Column("user_id", "id", (*_USER, "id"), required=True),)

RELATIONS: tuple[Column, ...] = (
    Column(
        "source_id",
        "id",
        (*_names("source src from from_id head head_id user_id"), *_USER),
        required=True,
    ),
    Column(
        "target_id",
        "id",
        _names("target dst to to_id tail tail_id friend friend_id group group_id related_id"),
        required=True,
    ),
    Column("kind", "label", ("type", "relation", "relation_id", "edge_type")),
    Column("weight", "number", ("value", "strength", "score")),
)


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]+", "", name).lower()


def split_atomic(name: str) -> tuple[str, str | None]:
    """``user_id:token`` becomes ``("user_id", "token")``; other names have no type."""
    base, colon, kind = name.rpartition(":")
    return (base, kind) if colon and kind in ATOMIC_TYPES else (name, None)


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse headers in which a name stands twice.

    Raises:
        ColumnError: two columns have one name (case aside), or one that quintet keeps for itself.
    """
    seen: dict[str, str] = {}
    for name in names:
        if name in INTERNAL:
            raise ColumnError(f"{where}: the column name {name!r} is reserved; rename that column")
        if name.lower() in seen:
            other = seen[name.lower()]
            what = "stands twice" if other == name else f"differs from {other!r} only in case"
            raise ColumnError(f"{where}: column {name!r} {what}; rename or drop one of them")
        seen[name.lower()] = name


def resolve(
    present: Sequence[str],
    vocabulary: Sequence[Column],
    given: Mapping[str, str] | None,
    where: str,
) -> dict[str, str]:
    """Which source column stands for each canonical column.

    What the caller said comes first, then a column of the canonical name itself, then aliases.

    Args:
        present: the source's column names.
        vocabulary: the canonical columns of this frame.
        given: canonical name -> source column; ``""`` leaves a canonical column out.
        where: the source's name, for messages.

    Returns:
        canonical name -> source column, for the columns found.

    Raises:
        ColumnError: a required column is missing, two columns mean the same, or ``given`` names
            a column that does not exist.
    """
    chosen = dict(given or {})
    for canonical, source in chosen.items():
        if canonical not in {column.name for column in vocabulary}:
            valid = ", ".join(column.name for column in vocabulary)
            raise ColumnError(f"{where}: columns names {canonical!r}; valid names: {valid}")
        if source and source not in present:
            raise ColumnError(f"{where}: no column {source!r} (for {canonical}); {_list(present)}")
    free = [name for name in present if name not in chosen.values()]
    found: dict[str, str] = {}
    for column in vocabulary:
        source = chosen[column.name] if column.name in chosen else _find(column, free, where)
        if source:
            found[column.name] = source
        elif column.required:
            raise ColumnError(
                f"{where}: no column for {column.name}; {_list(present)}{_headless(present)}; "
                f"name it with columns={{{column.name!r}: ...}}, or in a TOML file: "
                f'logs = [{{path = "...", columns = {{{column.name} = "..."}}}}]'
            )
    return found


def resembling(left_out: Iterable[str], absent: Sequence[Column]) -> dict[str, str]:
    """Columns of a source that nobody reads, and the canonical column that each may be meant for.

    Args:
        left_out: names of the source's columns that stand for nothing.
        absent: canonical columns that were not found. Only their own names and long aliases are
            looked at: many a word is one letter from a short one.
    """
    spelt = {
        _plain(name): column.name
        for column in absent
        for name in (column.name, *column.aliases)
        if name == column.name or len(_plain(name)) >= LONG
    }
    return {
        name: canonical
        for name in left_out
        for plain, canonical in spelt.items()
        if _one_slip(_plain(name), plain)
    }


def _one_slip(one: str, other: str) -> bool:
    """Whether a letter too many, too few or wrong, or two exchanged, tell two names apart."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    start = sum(1 for _ in alike)
    left, right = one[start:], other[start:]
    exchanged = left[:2] == right[1::-1] and left[2:] == right[2:]
    near = left[1:] == right[1:] or left[1:] == right or left == right[1:]
    return one != other and (near or exchanged)


def _find(column: Column, free: Sequence[str], where: str) -> str:
    named = [name for name in free if _plain(name) == _plain(column.name)]
    hits = named if len(named) == 1 else [name for name in free if column.known_as(name)]
    if len(hits) > 1:
        listed = " and ".join(repr(name) for name in hits)
        raise ColumnError(
            f"{where}: columns {listed} both mean {column.name}; "
            f"choose one with columns={{{column.name!r}: {hits[0]!r}}}"
        )
    return hits[0] if hits else ""


def _headless(present: Sequence[str]) -> str:
    """A word where a column is called by a number, as it is where a file begins with data."""
    numbers = [name for name in present if name.strip().lstrip("-").replace(".", "", 1).isdigit()]
    told = " (the first line looks like data: does the file lack a line of names?)"
    return told if numbers else ""


def _list(present: Sequence[str]) -> str:
    more = f" and {len(present) - SHOWN} more" if len(present) > SHOWN else ""
    return "columns present: " + (", ".join(map(repr, present[:SHOWN])) or "none") + more
