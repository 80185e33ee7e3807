"""Baskets: what people do in one go.

A basket is what one person did by one behaviour without a longer pause than some hours; in a log
without times it is the whole history. Shapes: N baskets, I items, U users.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from quintet.data.interactions import Interactions, Ints, Mask, seeded_hash
from quintet.errors import ConfigError
from quintet.memory.matrices import Matrix, summed
from quintet.memory.similarity import cosine

MICROSECONDS_PER_HOUR = 3_600_000_000
#: behaviours that fill a basket, where the data set has one of them and the caller names none
PURCHASES = ("buy", "purchase", "order")
#: damps pairs that few baskets hold: a pair seen once says little
SHRINKAGE = 2.0


@dataclass(frozen=True)
class Baskets:
    """The baskets of a log.

    Attributes:
        holds: [N, I] 1 where a basket holds an item.
        owner_N: [N] user row of each basket, ascending; of one user in time order.
        n_users: user rows.
    """

    holds: Matrix
    owner_N: Ints
    n_users: int

    @classmethod
    def of(cls, events: Interactions, hours: float) -> Baskets:
        """The baskets of events that were chosen by behaviour.

        Raises:
            ConfigError: ``hours`` is not positive.
        """
        if hours <= 0:
            raise ConfigError(f"hours must be above 0, not {hours:g}: the pause that ends a basket")
        owner = events.group()
        pause = np.diff(events.time, prepend=0) > hours * MICROSECONDS_PER_HOUR
        starts = pause | (np.diff(owner, prepend=-1) != 0)
        basket = np.cumsum(starts) - 1
        shape = (int(starts.sum()), events.n_items)
        holds = summed(basket, events.item, np.ones(len(events), np.float32), shape)
        holds.data[:] = 1.0
        return cls(holds, owner[starts], events.n_users)

    @cached_property
    def _by_item(self) -> Matrix:
        return csr_array(self.holds.T)

    @cached_property
    def count_I(self) -> Ints:  # noqa: N802
        """[I] baskets with each item."""
        return np.bincount(self.holds.indices, minlength=self.holds.shape[1]).astype(np.int64)

    def together(self, row: int) -> Together:
        """What shares baskets with an item, the closest first."""
        others = csr_array(self._by_item[[row]] @ self.holds)
        likeness = cosine(self._by_item[[row]], self.holds, SHRINKAGE)
        item, count = others.indices.astype(np.int64), others.data.astype(np.int64)
        score = likeness.data.astype(np.float64)
        apart = item != row
        item, count, score = item[apart], count[apart], score[apart]
        order = np.lexsort((seeded_hash(item, 0), -score))
        item, count = item[order], count[order]
        expected = self.count_I[row] * self.count_I[item] / max(self.holds.shape[0], 1)
        return Together(item, count, count / max(self.count_I[row], 1), count / expected)

    def size(self, user: int) -> int:
        """Items in a user's basket: the median of the user's own, of everybody's where unknown."""
        sizes = np.diff(self.holds.indptr)
        own = sizes[self.owner_N == user]
        known = own if len(own) else sizes
        return max(1, round(float(np.median(known)))) if len(known) else 1

    def times(self, user: int) -> Ints:
        """[I] in how many of a user's baskets each item was."""
        rows = np.flatnonzero(self.owner_N == user)
        return np.asarray(self.holds[rows].sum(axis=0), np.int64)


@dataclass(frozen=True)
class Together:
    """Items that share baskets with one item, the closest first [P].

    Attributes:
        item: item rows.
        count: baskets that hold both.
        share: of the one item's baskets, those that hold the other too.
        lift: how many times as often as if they were bought without regard to each other.
    """

    item: Ints
    count: Ints
    share: NDArray[np.float64]
    lift: NDArray[np.float64]


def filling(behaviours: list[str], asked: str | None) -> list[int] | None:
    """Indices of the behaviours that fill a basket; None: every event does.

    Raises:
        ConfigError: there is no behaviour of that name.
    """
    if asked is None:
        found = [behaviours.index(name) for name in PURCHASES if name in behaviours]
        return found or None
    if asked not in behaviours:
        raise ConfigError(f"unknown behaviour {asked!r}; choose one of: {', '.join(behaviours)}")
    return [behaviours.index(asked)]


def chosen(events: Interactions, behaviours: list[int] | None) -> Interactions:
    """The events that fill baskets."""
    if behaviours is None:
        return events
    own: Mask = np.isin(events.behaviour, behaviours)
    return events.select(own)
