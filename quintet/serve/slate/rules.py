"""Rules of a product owner, written in TOML: what must hold of every slate, whatever the scores.

A file is a list of ``[[rule]]`` tables, each with a ``name`` of its own and a ``kind``::

    [[rule]]
    name = "adults only by night"
    kind = "block"
    where = { attribute = "category", any_of = ["spirits"] }

Every kind but ``boost`` is hard: no slate ever breaks it. Where a slate cannot keep them all, the
request is refused by the names of the rules that clash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator

from quintet.config import Config, read_toml
from quintet.errors import ConfigError

if TYPE_CHECKING:
    from quintet.serve.slate.conflicts import Contradiction
    from quintet.serve.slate.facts import Facts

Id = int | str
Value = bool | int | float | str
Missing = Literal["drop", "keep"]


class Strict(Config):
    """Settings whose types are taken as written: ``true`` is no place, ``"3"`` no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, strict=True)


class Where(Strict):
    """Items by an attribute; what is said must all hold.

    Attributes:
        attribute: a column of the catalogue.
        any_of: the item has one of these values.
        none_of: the item has none of these values.
        least: the item's number is at least this; a missing number is not.
        most: the item's number is at most this; a missing number is not.
    """

    attribute: str = Field(min_length=1)
    any_of: list[Value] = Field(default_factory=list)
    none_of: list[Value] = Field(default_factory=list)
    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.any_of and not self.none_of and self.least is None and self.most is None:
            raise ValueError("say any_of, none_of, least or most: it would match everything")
        _refuse_empty(self, "least", "most")
        return self


class Rule(Strict):
    """What all rules have.

    Attributes:
        name: how answers and reports call it.
        scenarios: where it holds; everywhere when empty.
        when: what the request's context must say for it to hold, one of the values of each key.
    """

    kind: str
    name: str = Field(min_length=1)
    scenarios: list[str] = Field(default_factory=list)
    when: dict[str, list[Value]] = Field(default_factory=dict)

    def holds(self, scenario: str | None, context: Mapping[str, Any]) -> bool:
        """Whether it does, for a request."""
        here = not self.scenarios or scenario in self.scenarios
        return here and all(_says(context, key, values) for key, values in self.when.items())


class Chooses(Rule):
    """A rule about some items: those listed and those that match."""

    items: list[Id] = Field(default_factory=list)
    where: Where | None = None

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if not self.items and self.where is None:
            raise ValueError('say which: items = ["..."] or where = { attribute = "...", ... }')
        return self


class Filter(Rule):
    """Only items that match may be shown."""

    kind: Literal["filter"] = "filter"
    where: Where


class Block(Chooses):
    """These items are never shown."""

    kind: Literal["block"] = "block"


class Pin(Rule):
    """This item stands at this place, counted from 1, unless the person has been done with it.

    A ``seen`` rule lifts the pin for the person whom it concerns, and the answer says so.
    """

    kind: Literal["pin"] = "pin"
    item: Id
    position: int = Field(ge=1)


class Boost(Chooses):
    """These items' scores are raised (or lowered): a wish, not a promise.

    Attributes:
        add: in shares of the distance between the best and the worst candidate's score. Scores
            have no natural zero, so that a factor would mean nothing.
    """

    kind: Literal["boost"] = "boost"
    add: float = Field(ge=-10, le=10)


class Quota(Chooses):
    """How many places these items take.

    Attributes:
        at_least: places, counted over the whole slate.
        at_most: places; no limit when absent.
        when_short: where there are too few such items to show, "refuse" the request, or "relax" to
            as many as there are and say so.
    """

    kind: Literal["quota"] = "quota"
    at_least: int = Field(default=0, ge=0)
    at_most: int | None = Field(default=None, ge=0)
    when_short: Literal["refuse", "relax"] = "refuse"

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.at_least == 0 and self.at_most is None:
            raise ValueError("say at_least or at_most: it would allow everything")
        _refuse_empty(self, "at_least", "at_most")
        return self


class Price(Rule):
    """Only items within a price band.

    Attributes:
        attribute: the column with the price.
        least: lowest price shown.
        most: highest price shown.
        missing: what becomes of items without a price.
    """

    kind: Literal["price"] = "price"
    attribute: str = "price"
    least: float | None = None
    most: float | None = None
    missing: Missing = "drop"

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("say least or most: it would allow every price")
        _refuse_empty(self, "least", "most")
        return self


class Fresh(Rule):
    """Only items that are new enough.

    Attributes:
        days: greatest age.
        attribute: the column with the item's date; its first event in the log when absent.
        missing: what becomes of items without a date.
    """

    kind: Literal["fresh"] = "fresh"
    days: float = Field(gt=0)
    attribute: str | None = None
    missing: Missing = "drop"


class Seen(Rule):
    """Items that the person met are not shown again.

    Attributes:
        behaviours: what counts as having met it; any event when empty.
        days: for how long; for ever when absent, and where the log has no times.
    """

    kind: Literal["seen"] = "seen"
    behaviours: list[str] = Field(default_factory=list)
    days: float | None = Field(default=None, gt=0)


class OnePer(Rule):
    """At most one item (or ``most``) of each value of an attribute: one per brand, per author.

    Items without the attribute belong to no group. An item with several values counts in each.
    """

    kind: Literal["one_per"] = "one_per"
    attribute: str = Field(min_length=1)
    most: int = Field(default=1, ge=1)


AnyRule = Annotated[
    Filter | Block | Pin | Boost | Quota | Price | Fresh | Seen | OnePer,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[Rule]] = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind
    for kind in (Filter, Block, Pin, Boost, Quota, Price, Fresh, Seen, OnePer)
}


class RuleSet(Config):
    """All rules of a product, in the order in which answers account for them."""

    rule: list[AnyRule] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rule]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]!r}: answers must tell them apart")
        return self

    @classmethod
    def read(cls, path: str | Path) -> RuleSet:
        """The rules of a TOML file.

        Raises:
            ConfigError: the file is missing, is not TOML, or a rule is not valid; names the rule,
                what is wrong with it and what is valid there.
        """
        return cls.of(read_toml(path), str(path))

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "rules") -> RuleSet:
        """The rules of nested plain values, as TOML gives them.

        Raises:
            ConfigError: see :meth:`read`.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(values, error, where))) from None

    @property
    def names(self) -> list[str]:
        """The rules' names, in order."""
        return [rule.name for rule in self.rule]

    def only(self, names: Iterable[str]) -> RuleSet:
        """The rules with these names, in the same order."""
        kept = set(names)
        return self.model_copy(update={"rule": [rule for rule in self.rule if rule.name in kept]})

    def without(self, *names: str) -> RuleSet:
        """The rules but these."""
        return self.only(set(self.names) - set(names))

    def at(self, scenario: str | None, context: Mapping[str, Any] | None = None) -> RuleSet:
        """The rules that hold in a scenario and a context; what neither names, they do not hold."""
        return self.only(rule.name for rule in self.rule if rule.holds(scenario, context or {}))

    def check(self, k: int, facts: Facts | None = None) -> list[Contradiction]:
        """Rules that can never hold together in a slate of ``k`` places; empty when all is well.

        Args:
            k: places of a slate.
            facts: the catalogue; without it only what the rules say of themselves is compared.

        Raises:
            ConfigError: a rule names an item, attribute or behaviour that does not exist.
        """
        from quintet.serve.slate.conflicts import contradictions

        return contradictions(self, k, facts)


def _says(context: Mapping[str, Any], key: str, values: Iterable[Any]) -> bool:
    """Whether a context has one of the values; 1 is not true."""
    said = context.get(key)
    return any(isinstance(one, bool) == isinstance(said, bool) and one == said for one in values)


def _refuse_empty(rule: Config, low: str, high: str) -> None:
    least, most = getattr(rule, low), getattr(rule, high)
    if least is not None and most is not None and least > most:
        raise ValueError(f"{low} = {least:g} is above {high} = {most:g}: nothing is between them")


def _explain(values: Mapping[str, Any], error: ValidationError, where: str) -> Iterable[str]:
    for problem in error.errors():
        place = problem["loc"]
        if len(place) < 2 or place[0] != "rule":
            yield f"{where}: {_plain(problem['msg'])}; a rules file is a list of [[rule]] tables"
            continue
        number = int(place[1])
        given = values["rule"][number]
        name = given.get("name") if isinstance(given, Mapping) else None
        who = f"{where}: rule {number + 1}" + (f" ({name!r})" if name else "")
        yield f"{who}: {_wrong(given, problem)}"


def _wrong(given: Any, problem: Any) -> str:
    kinds = ", ".join(KINDS)
    if problem["type"] == "union_tag_invalid":
        return f"unknown kind {given.get('kind')!r}; choose one of: {kinds}"
    if problem["type"] == "union_tag_not_found":
        return f"has no kind; say kind = one of: {kinds}"
    path = problem["loc"][3:]
    model: Any = KINDS.get(str(given.get("kind")), Rule) if isinstance(given, Mapping) else Rule
    inside = Where if path[:1] == ("where",) else model
    valid = ", ".join(inside.model_fields)
    setting = ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {setting!r}; valid here: {valid}"
    if problem["type"] == "missing":
        return f"{setting} is missing; it takes: {valid}"
    shown = f"{setting}: " if setting else ""
    got = "" if problem["type"] == "value_error" else f" (got {problem.get('input')!r})"
    return f"{shown}{_plain(problem['msg'])}{got}"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
