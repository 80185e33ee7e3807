"""Simulated traffic of an experiment: users who differ, before and during it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quintet.metrics.experiments import (
    Arm,
    Effect,
    always_valid,
    compare,
    mean_of,
    ratio_of,
)


@dataclass(frozen=True)
class Trial:
    """[U] what each user saw and clicked during the experiment and clicked before it."""

    treated_U: np.ndarray
    shown_U: np.ndarray
    clicks_U: np.ndarray
    before_U: np.ndarray

    def first(self, n: int) -> Trial:
        """The trial as it stood when the first n users had come."""
        columns = (self.treated_U, self.shown_U, self.clicks_U, self.before_U)
        return Trial(*(column[:n] for column in columns))

    def clicks_per_user(self, *, cuped: bool = False) -> Effect:
        """Effect on a user's clicks, with or without their clicks before."""
        before = (self.before_U[self.treated_U], self.before_U[~self.treated_U])
        return compare(*self._arms(mean_of), before=before if cuped else None)

    def clicks_per_view(self) -> Effect:
        """Effect on Σ clicks / Σ views, users as the unit."""
        return compare(*self._arms(ratio_of, self.shown_U))

    def clicks_per_view_by_view(self) -> Effect:
        """The same as it should NOT be measured: every view as if it were a user of its own."""
        arms = []
        for side in (self.treated_U, ~self.treated_U):
            clicks, views = int(self.clicks_U[side].sum()), int(self.shown_U[side].sum())
            arms.append(mean_of(np.repeat([1.0, 0.0], [clicks, views - clicks])))
        return compare(*arms)

    def _arms(self, figure: Callable[..., Arm], *columns: np.ndarray) -> list[Arm]:
        sides = (self.treated_U, ~self.treated_U)
        return [
            figure(self.clicks_U[side], *(column[side] for column in columns)) for side in sides
        ]


def draw_trial(users: int, lift: float, seed: int) -> Trial:
    """Views of a user follow their activity (few are very active), clicks their own rate.

    Args:
        users: in both arms together.
        lift: by how much the treatment multiplies every click rate, less 1.
        seed: of everything drawn.
    """
    rng = np.random.default_rng([11, seed])
    activity_U = rng.gamma(1.0, 10.0, users)
    rate_U = rng.beta(2.0, 18.0, users)
    treated_U = rng.random(users) < 0.5
    before_U = rng.binomial(rng.poisson(2 * activity_U), rate_U)
    shown_U = rng.poisson(activity_U)
    clicks_U = rng.binomial(shown_U, rate_U * np.where(treated_U, 1 + lift, 1.0))
    return Trial(treated_U, shown_U, clicks_U, before_U)


def found_at(users: int, lift: float, runs: int, *, looks: int = 20, start: int = 0) -> dict:
    """Share of experiments that call a difference at the 5 % level, by how they are read.

    ``peeking`` calls it at the first of ``looks`` whose fixed-size p is below 0.05 (wrong);
    ``always valid`` may look as often; ``stopped at`` is the mean share of users it then had.
    """
    calls: dict[str, list[bool]] = {}
    stopped = []
    for seed in range(start, start + runs):
        trial = draw_trial(users, lift, seed)
        steps = np.linspace(users / looks, users, looks).astype(int)
        effects = [trial.first(n).clicks_per_user(cuped=True) for n in steps]
        # clicks a user average 1: 5 % of that is what one hopes for
        stop = always_valid(effects, expected_effect=0.05).stopped_at
        stopped.append(1.0 if stop is None else (stop + 1) / looks)
        for name, called in {
            "clicks a user": trial.clicks_per_user().p < 0.05,
            "clicks a user, CUPED": effects[-1].p < 0.05,
            "clicks a view": trial.clicks_per_view().p < 0.05,
            "clicks a view, views as units (wrong)": trial.clicks_per_view_by_view().p < 0.05,
            "CUPED, peeking (wrong)": min(effect.p for effect in effects) < 0.05,
            "CUPED, always valid": stop is not None,
        }.items():
            calls.setdefault(name, []).append(bool(called))
    shares = {name: float(np.mean(own)) for name, own in calls.items()}
    return {
        "users": users,
        "lift": lift,
        "runs": runs,
        "stopped at": float(np.mean(stopped)),
        "found": shares,
    }
