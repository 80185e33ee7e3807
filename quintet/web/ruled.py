"""Lists under a rule set: hard rules by name, from the state folder's ``rules/NAME.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from quintet.data.interactions import Interactions
from quintet.errors import ConfigError, InvalidRequestError
from quintet.serve.slate.answer import Slates
from quintet.serve.slate.policy import PolicyConfig
from quintet.serve.slate.rules import Pin, RuleSet
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import Slate, compose
from quintet.web.live import Live
from quintet.web.models import RecommendIn
from quintet.web.ranking import Wish


class RuleBook:
    """The rule sets of a folder; a file that changes is read again when it is next asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, tuple[int, RuleSet]] = {}

    def get(self, name: str) -> RuleSet:
        """The rule set of a name.

        Raises:
            InvalidRequestError: there is none.
            ConfigError: its file is not valid.
        """
        path = self.folder / f"{name}.toml"
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            raise InvalidRequestError("rules: there is no rule set of this name") from None
        held = self._held.get(name)
        if held is None or held[0] != stamp:
            try:
                held = (stamp, RuleSet.read(path))
            except ConfigError as error:  # who asks need not know where files are
                raise ConfigError(str(error).replace(str(path), f"rules {name!r}")) from None
            except OSError as error:
                raise ConfigError(f"rules {name!r}: {error.strerror}") from None
            self._held[name] = held
        return held[1]


def _without_barred_pins(rules: RuleSet, slates: Slates, wish: Wish) -> RuleSet:
    """A pin holds but for what may not be shown: retired, muted, or other than was asked for."""
    if wish.allowed_I is None:
        return rules
    kept = [
        rule
        for rule in rules.rule
        if not isinstance(rule, Pin) or wish.allowed_I[slates.facts.row(rule.item, rule.name)]
    ]
    return rules.model_copy(update={"rule": kept})


def ruled(
    live: Live,
    history: Interactions,
    wish: Wish,
    settings: RecommendIn,
    rules: RuleSet,
    now: int,
    rng: np.random.Generator,
) -> tuple[Slate, list[dict[str, Any]]]:
    """A list for ONE history, and what the rules did to which items.

    Raises:
        RuleConflictError: no list keeps all rules; names those that clash.
        ConfigError: a rule names what the catalogue lacks.
    """
    slates = live.recommender.slates.at(now)
    policy = PolicyConfig(
        temperature=settings.exploration or 0.0, mix=0.5 if settings.slate else 0.0
    )
    request = slates.request(
        history,
        settings.k,
        _without_barred_pins(rules.at(settings.scenario, settings.context), slates, wish),
        SlateConfig(diversity="none", policy=policy, marginals=False),
        allowed_I=wish.allowed_I,
        exclude_seen=wish.exclude_seen,
        shift_I=wish.shift_I,
    )
    slate = compose(request, rng, account=True)
    ids = live.trained.items.ids([m.item for m in slate.moves])
    moves = [
        {"item_id": item, "rule": m.rule, "before": m.before, "after": m.after, "direct": m.direct}
        for m, item in zip(slate.moves, ids, strict=True)
    ]
    return slate, moves
