"""Simulated traffic of an experiment: users who differ, before and during it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quintet.metrics.experiments import Arm, Effect, compare, mean_of, ratio_of


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
