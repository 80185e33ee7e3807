"""What a check reads and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions, Mask
from quintet.data.split import Split

Severity = Literal["ok", "note", "warning", "danger"]
SEVERITIES: tuple[Severity, ...] = ("ok", "note", "warning", "danger")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of the check.
        severity: "ok", "note" (know it), "warning" (results may mislead) or "danger" (they will).
        message: in plain words, with the numbers and the remedy.
        values: the numbers.
    """

    name: str
    severity: Severity
    message: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What the checks read; E events, U users, I items."""

    events: Interactions
    split: Split | None = None
    items: FeatureTable | None = None
    users: FeatureTable | None = None
    user_names: Sequence[str] | None = None
    item_names: Sequence[str] | None = None
    behaviours: Sequence[str] | None = None

    @cached_property
    def timed(self) -> bool:
        """Whether the log tells at least two moments apart."""
        times = self.events.time
        return bool(len(times) and times.min() != times.max())

    @cached_property
    def neighbours(self) -> Mask:
        """[E - 1] whether an event and the next are of one user."""
        return np.equal(self.events.user[1:], self.events.user[:-1])

    @cached_property
    def tied(self) -> Mask:
        """[E - 1] whether an event and the next are of one user at one time."""
        return self.neighbours & np.equal(self.events.time[1:], self.events.time[:-1])

    @cached_property
    def repeated(self) -> Mask:
        """[E] whether the user had the same item before."""
        key = self.events.user * self.events.n_items + self.events.item
        seen = np.ones(len(key), np.bool_)
        seen[np.unique(key, return_index=True)[1]] = False
        return seen


Check = Callable[[Evidence], Iterator[Finding]]


def grade(value: float, *, note: float, warning: float, danger: float = np.inf) -> Severity:
    """The severity of a value by the thresholds that it reaches."""
    return SEVERITIES[sum(value >= threshold for threshold in (note, warning, danger))]


def share(mask: Mask) -> float:
    """Mean of a mask, 0 where it is empty."""
    return float(np.mean(mask)) if len(mask) else 0.0
