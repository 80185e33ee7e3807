"""When people come, on what device and into which scenario: everything but what they choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.market.settings import MarketConfig
from quintet.market.world import Ints, People, Rng, pick, scenario_kinds

SESSION_LENGTH = 4.0
#: a person looks at most at one item in this many seconds, so that a buy is done before the next
SPACING = 300
DEVICES = ("phone", "tablet", "web")
_FAR = 10**10


@dataclass(frozen=True)
class Schedule:
    """Every look at an item, grouped by user in time order. Shape: V looks.

    ``second`` counts from the start of the log; ``step`` is the look's number within its user;
    ``session`` counts through all users; ``kind`` is the kind of item looked for.
    """

    user: Ints
    step: Ints
    second: Ints
    day: Ints
    session: Ints
    scenario: Ints
    kind: Ints
    device: Ints

    def __len__(self) -> int:
        return len(self.user)


def make_schedule(config: MarketConfig, people: People, rng: Rng) -> Schedule:
    """Draw sessions with each person's habits of hour, scenario and activity."""
    n = len(people)
    activity = rng.gamma(4.0, 0.25, n)
    looks = 1 + rng.poisson(np.maximum(config.events_per_user - 1, 0) * activity)
    user = np.repeat(np.arange(n), looks)
    first = np.cumsum(looks) - looks
    step = np.arange(len(user)) - np.repeat(first, looks)
    opens = (rng.random(len(user)) < 1 / SESSION_LENGTH) | (step == 0)
    session = np.cumsum(opens) - 1

    owner = user[opens]
    start = _session_starts(config, people, owner, rng)
    order = np.lexsort((start, owner))  # a user's k-th session in the list is the k-th in time
    start = start[order]
    gap = rng.exponential(120, len(user)).astype(np.int64) + SPACING
    elapsed = np.cumsum(gap)
    offset = elapsed - elapsed[opens][session]
    second = _at_least_apart(start[session] + offset, user, step)

    chosen = pick(people.scenario[owner], rng)
    kind = pick(scenario_kinds(config)[chosen[session]], rng)
    return Schedule(
        user=user,
        step=step,
        second=second,
        day=np.minimum(second // 86_400, config.days - 1),
        session=session,
        scenario=chosen[session],
        kind=kind,
        device=rng.choice(3, len(owner), p=[0.6, 0.1, 0.3])[session],
    )


def _session_starts(config: MarketConfig, people: People, owner: Ints, rng: Rng) -> Ints:
    day = rng.integers(0, config.days, len(owner))
    hour = (people.hour[owner] + rng.normal(0, 2, len(owner))) % 24
    return day * 86_400 + (hour * 3600).astype(np.int64)


def _at_least_apart(second: Ints, user: Ints, step: Ints) -> Ints:
    """Push looks later until a user's are in order and ``SPACING`` apart."""
    slack = second - step * SPACING + user * _FAR  # the running maximum must not cross users
    return np.maximum.accumulate(slack) - user * _FAR + step * SPACING
