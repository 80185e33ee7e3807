"""Experiments: who gets which arm, by a hash that every worker computes alike.

Definitions lie in one file of the state folder, written whole or not at all and read again when it
changes, so that all workers follow the one that was asked. Nothing of a person is kept: the arm is
a function of experiment and owner, and what was shown is in the exposure log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quintet.errors import ConfigError
from quintet.files import write_json_atomic
from quintet.store import Owner
from quintet.web.models import ArmIn, ExperimentIn

SCALE = 2.0**64


@dataclass(frozen=True)
class Assigned:
    """The arms of one owner: experiment -> arm, and what they change.

    Attributes:
        arms: names, for the answer and the exposure log.
        changes: the arms' settings, those of an earlier experiment first.
    """

    arms: dict[str, str] = field(default_factory=dict)
    changes: tuple[ArmIn, ...] = ()


NOTHING = Assigned()


def share(experiment: str, part: str, owner: str) -> float:
    """A number in [0, 1) of an owner, independent from one experiment to the next."""
    digest = hashlib.sha256(f"{experiment}\x1f{part}\x1f{owner}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / SCALE


def arm_of(experiment: ExperimentIn, owner: str) -> ArmIn | None:
    """The arm of an owner; None for who takes no part."""
    if not experiment.active or share(experiment.name, "traffic", owner) >= experiment.traffic:
        return None
    place = share(experiment.name, "arm", owner) * sum(arm.weight for arm in experiment.arms)
    for arm in experiment.arms:
        place -= arm.weight
        if place < 0:
            return arm
    return experiment.arms[-1]


class Experiments:
    """The experiments of one state folder.

    Args:
        path: of the file that holds them.
        changed: called with the names of the bundles that the active arms need.
    """

    def __init__(self, path: Path, changed: Callable[[set[str]], None] | None = None) -> None:
        self.path = path
        self._changed = changed
        self._held: dict[str, ExperimentIn] = {}
        self._stamp: tuple[int, int] | None = None
        self.refresh()

    def all(self) -> list[ExperimentIn]:
        """Every experiment, active or not."""
        return list(self._held.values())

    def assign(self, owner: Owner) -> Assigned:
        """The arms of an owner."""
        if not self._held:
            return NOTHING
        arms: dict[str, str] = {}
        changes: list[ArmIn] = []
        for experiment in self._held.values():
            arm = arm_of(experiment, owner.text)
            if arm is not None:
                arms[experiment.name] = arm.name
                changes.append(arm)
        return Assigned(arms, tuple(changes))

    def put(self, experiment: ExperimentIn) -> None:
        """Add or change an experiment; arms of a running one keep their names and weights.

        Raises:
            ConfigError: an arm stands twice, or a running experiment's buckets would move.
        """
        self.refresh()  # or what another worker has put would be lost
        names = [arm.name for arm in experiment.arms]
        if len(set(names)) != len(names):
            raise ConfigError("two arms have one name")
        former = self._held.get(experiment.name)
        if (
            former is not None
            and former.active
            and experiment.active
            and _moved(former, experiment)
        ):
            raise ConfigError(
                "arms, weights and traffic of a running experiment stay: end it, and start another"
            )
        held = {**self._held, experiment.name: experiment}
        self._load(held)
        write_json_atomic(self.path, {"experiments": [one.model_dump() for one in held.values()]})
        self._held = held
        self._stamp = self._stamped()

    def refresh(self) -> None:
        """Read the file again if another worker wrote it.

        Raises:
            ConfigError: it holds no experiments.
        """
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        held = self._read() if stamp is not None else {}
        self._load(held)
        self._held, self._stamp = held, stamp

    def _load(self, held: dict[str, ExperimentIn]) -> None:
        if self._changed is not None:
            self._changed(_models(held))

    def _read(self) -> dict[str, ExperimentIn]:
        try:
            listed: list[Any] = json.loads(self.path.read_text(encoding="utf-8"))["experiments"]
            found = [ExperimentIn.model_validate(one) for one in listed]
        except (ValueError, KeyError, TypeError, ValidationError):
            raise ConfigError(f"{self.path}: holds no experiments") from None
        return {one.name: one for one in found}

    def _stamped(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino


def _models(held: dict[str, ExperimentIn]) -> set[str]:
    return {arm.model for one in held.values() if one.active for arm in one.arms if arm.model}


def _moved(former: ExperimentIn, new: ExperimentIn) -> bool:
    before = [(arm.name, arm.weight) for arm in former.arms]
    return before != [(arm.name, arm.weight) for arm in new.arms] or former.traffic != new.traffic
