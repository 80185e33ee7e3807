"""What is on offer on a day, what is trending, and exact draws from it by popularity."""

from __future__ import annotations

import numpy as np

from quintet.market.settings import MarketConfig
from quintet.market.vocabulary import CATEGORIES
from quintet.market.world import Goods, Ints, Mask, Reals, Rng

#: how many items of a kind trend at once, at most, and for how many days
HOT_ITEMS, HOT_DAYS = 4, 3
SUCCESSORS = 3
SUCCESSOR_SHARE = np.array([0.7, 0.2, 0.1])


class Stock:
    """The catalogue day by day. Shapes: D days, K kinds, C categories, I items, N draws.

    Every draw inverts a cumulative table, so the probabilities that the truth tells are exact and
    an item is never shown before its release.

    Attributes:
        hot: [D, K, H] item rows that trend, -1 where fewer do.
        is_hot: [D, I].
        cold_mass: [D, K, C] popularity of what is on offer and not trending.
        hot_mass: [D, K] popularity of what trends.
        successors: [I, 3] items that naturally follow, of the same kind and category.
    """

    def __init__(self, goods: Goods, config: MarketConfig, rng: Rng) -> None:
        self.goods = goods
        days, n_items = config.days, len(goods)
        self._n_items = n_items
        self._n_categories = len(CATEGORIES)
        self.shape = (len(config.kinds), self._n_categories)
        block = goods.kind * self._n_categories + goods.category
        self.bounds: Ints = np.searchsorted(block, np.arange(self.shape[0] * self.shape[1] + 1))
        self.on_offer: Mask = goods.release <= np.arange(days)[:, None]
        self.hot = self._trends(days, rng)
        self.is_hot: Mask = np.zeros((days, n_items), bool)
        day, kind, place = np.nonzero(self.hot >= 0)
        self.is_hot[day, self.hot[day, kind, place]] = True
        self.weight: Reals = self.on_offer * goods.popularity
        self._all = _running(self.weight)
        self._cold = _running(self.weight * ~self.is_hot)
        all_mass = self._block_mass(self._all, days)
        self.cold_mass = self._block_mass(self._cold, days)
        self.hot_mass: Reals = (all_mass - self.cold_mass).sum(axis=2)
        self.mass: Reals = all_mass.sum(axis=2)
        self.successors = self._chains(rng)

    def _trends(self, days: int, rng: Rng) -> Ints:
        """New, good and lucky items trend; the set changes every few days."""
        goods = self.goods
        hot = np.full((days, self.shape[0], HOT_ITEMS), -1, np.int64)
        for first in range(0, days, HOT_DAYS):
            age = np.maximum(first - goods.release, 0)
            luck = rng.gumbel(0, 1, self._n_items)
            appeal = goods.quality + 3 * np.exp(-age / 7) + luck
            appeal[~self.on_offer[first]] = -np.inf
            for kind in range(self.shape[0]):
                rows = np.flatnonzero((goods.kind == kind) & self.on_offer[first])
                n_hot = min(HOT_ITEMS, len(rows) // 8)
                best = rows[np.argsort(-appeal[rows])[:n_hot]]
                hot[first : first + HOT_DAYS, kind, :n_hot] = best
        return hot

    def _chains(self, rng: Rng) -> Ints:
        """Within each block the items stand in a random ring; the next three follow."""
        successors = np.empty((self._n_items, SUCCESSORS), np.int64)
        for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            ring = start + rng.permutation(stop - start)
            for step in range(SUCCESSORS):
                successors[ring, step] = np.roll(ring, -1 - step)
        return successors

    def _block_mass(self, running: Reals, days: int) -> Reals:
        edges = np.arange(days)[:, None] * self._n_items + self.bounds
        mass = np.diff(running[edges], axis=1)
        mass[mass < 1e-6] = 0.0  # rounding of a difference of sums: an empty block is empty
        by_block: Reals = mass.reshape(days, *self.shape)
        return by_block

    def _draw(self, running: Reals, day: Ints, first: Ints, last: Ints, rng: Rng) -> Ints:
        low = running[day * self._n_items + first]
        high = running[day * self._n_items + last]
        target = np.minimum(low + rng.random(len(day)) * (high - low), np.nextafter(high, low))
        found: Ints = np.searchsorted(running, target, side="right") - 1
        return found - day * self._n_items

    def draw_any(self, day: Ints, kind: Ints, rng: Rng) -> Ints:
        """[N] items of that kind by popularity, trending or not."""
        first = self.bounds[kind * self._n_categories]
        return self._draw(self._all, day, first, self.bounds[(kind + 1) * self._n_categories], rng)

    def draw_cold(self, day: Ints, kind: Ints, category: Ints, rng: Rng) -> Ints:
        """[N] items of that kind and category by popularity that do not trend."""
        block = kind * self._n_categories + category
        return self._draw(self._cold, day, self.bounds[block], self.bounds[block + 1], rng)

    def draw_hot(self, day: Ints, kind: Ints, rng: Rng) -> Ints:
        """[N] trending items of that kind, each as likely as the other; needs one that trends."""
        hot = self.hot[day, kind]
        n_hot = (hot >= 0).sum(axis=1)
        drawn: Ints = hot[np.arange(len(day)), (rng.random(len(day)) * n_hot).astype(np.int64)]
        return drawn

    def draw_next(self, day: Ints, item: Ints, rng: Rng) -> Ints:
        """[N] what naturally follows ``item``; popularity decides where that is not on offer."""
        step = np.searchsorted(np.cumsum(SUCCESSOR_SHARE)[:-1], rng.random(len(item)))
        following = self.successors[item, step]
        usable = self.on_offer[day, following] & ~self.is_hot[day, following]
        goods = self.goods
        other = self.draw_cold(day, goods.kind[item], goods.category[item], rng)
        return np.where(usable, following, other)


def _running(weight: Reals) -> Reals:
    """[D * I + 1] running sum over days and items: one table serves every draw."""
    return np.concatenate([[0.0], np.cumsum(weight)])
