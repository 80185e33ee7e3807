"""Let everybody live through their schedule, all people at once and one look after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.market.exposures import Slates, show
from quintet.market.funnel import Funnel
from quintet.market.schedule import Schedule
from quintet.market.settings import SLATE_SIZE, STRATEGIES, MarketConfig
from quintet.market.stock import Stock
from quintet.market.walk import Walk
from quintet.market.world import Ints, Mask, Reals, Rng, scenario_kinds

#: seconds between the places of one slate that are looked at
PLACE_SECONDS = 8


@dataclass(frozen=True)
class Looks:
    """Every look at an item, in no order. Shapes: V looks, A strategies.

    ``slot`` [V] is the row of the schedule; ``place`` [V] the place in the slate, -1 where the
    person chose freely. For a slate's item ``strategy`` is -1 and ``probability`` [V, A] NaN: the
    platform chose. ``luck`` [V, 4] decides on what follows (see ``Funnel.outcome``).
    """

    slot: Ints
    item: Ints
    place: Ints
    luck: Reals
    strategy: Ints
    by_chance: Mask
    probability: Reals


@dataclass(frozen=True)
class Feed:
    """The slates of the feed: ``slot`` [N] their rows of the schedule, ``of_slot`` the reverse.

    ``of_slot`` has one entry for each row of the schedule, -1 where no slate is shown.
    """

    slates: Slates | None
    slot: Ints
    of_slot: Ints


def show_feed(
    config: MarketConfig, schedule: Schedule, stock: Stock, funnel: Funnel, rng: Rng
) -> Feed:
    """Fill all slates of the feed; none without ``exposures``."""
    of_slot = np.full(len(schedule), -1, np.int64)
    if not config.exposures:
        return Feed(None, np.zeros(0, np.int64), of_slot)
    feed = config.scenarios.index("feed")
    slot = np.flatnonzero(schedule.scenario == feed)
    of_slot[slot] = np.arange(len(slot))
    share = scenario_kinds(config)[feed]
    slates = show(stock, funnel, schedule.user[slot], schedule.day[slot], share, rng=rng)
    return Feed(slates, slot, of_slot)


def live(schedule: Schedule, walk: Walk, funnel: Funnel, feed: Feed, rng: Rng) -> Looks:
    """Choose an item for every row of the schedule, or look at what its slate shows."""
    by_step = np.argsort(schedule.step, kind="stable")
    ends = np.cumsum(np.bincount(schedule.step))
    parts: list[Looks] = []
    for slots in np.split(by_step, ends[:-1]):
        free = slots[feed.of_slot[slots] < 0]
        if len(free):
            parts.append(_choose(free, schedule, walk, funnel, rng))
        shown = slots[feed.of_slot[slots] >= 0]
        parts.extend(_browse(shown, schedule, walk, funnel, feed=feed, rng=rng))
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Looks(*(np.concatenate(column) for column in columns))


def _choose(slot: Ints, schedule: Schedule, walk: Walk, funnel: Funnel, rng: Rng) -> Looks:
    user, second = schedule.user[slot], schedule.second[slot]
    choice = walk.choose(walk.situation(user, schedule.day[slot], second, schedule.kind[slot]))
    luck = rng.random((len(slot), 4))
    walk.remember(user, choice.item, second, funnel.outcome(user, choice.item, luck).buy)
    return Looks(
        slot,
        choice.item,
        np.full(len(slot), -1, np.int64),
        luck,
        choice.strategy,
        choice.by_chance,
        choice.probability,
    )


def _browse(
    slot: Ints,
    schedule: Schedule,
    walk: Walk,
    funnel: Funnel,
    *,
    feed: Feed,
    rng: Rng,
) -> list[Looks]:
    slates = feed.slates
    if slates is None:
        return []
    parts = []
    for place in range(SLATE_SIZE):
        seen = slot[slates.viewed[feed.of_slot[slot], place]]
        user, item = schedule.user[seen], slates.item[feed.of_slot[seen], place]
        luck = rng.random((len(seen), 4))
        second = schedule.second[seen] + PLACE_SECONDS * place
        walk.remember(user, item, second, funnel.outcome(user, item, luck).buy)
        parts.append(
            Looks(
                seen,
                item,
                np.full(len(seen), place, np.int64),
                luck,
                np.full(len(seen), -1, np.int64),
                np.zeros(len(seen), bool),
                np.full((len(seen), len(STRATEGIES)), np.nan),
            )
        )
    return parts
