"""What session-based nearest neighbours share: candidates, the nearest of them, and their items.

A training session is one history of the training events. Histories are compared by their contents,
so that a session of nobody known is scored like any other. The state holds the training sessions
themselves, so it is as private as they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveInt

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import (
    BLOCK,
    Matrix,
    State,
    age,
    array,
    event_matrix,
    known_users,
    last_occurrence,
    pack,
    unpack,
)

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """P pairs of a history and a training session that share an item, by history and session.

    Attributes:
        history: [P] row of the history in its batch.
        session: [P] row of the session; the newest have the greatest.
        overlap: [P] weights of the history's events whose items the session holds, added up.
        age: [P] how many events of the history came after its newest shared item.
        place: [P] where that item stands in the session, from 1.
    """

    history: Ints
    session: Ints
    overlap: Doubles
    age: Ints
    place: Doubles

    def __len__(self) -> int:
        return len(self.history)

    def take(self, rows: Ints | Mask) -> Pairs:
        """Some of the pairs, in order."""
        return Pairs(
            self.history[rows],
            self.session[rows],
            self.overlap[rows],
            self.age[rows],
            self.place[rows],
        )


class NearSessions(Counted):
    """Score of item i: ``(1 + idf * idf_i) * Σ_n weight(h, n) * near(n, i)``.

    n runs over the ``k`` most similar of the ``sample`` most recent training sessions that share
    an item with the history h (of equals the more recent ones); ``weight`` starts from the
    similarity, ``near(n, i)`` is 0 where i is not in n, and ``idf_i = log(S / n_i)`` with S
    sessions, n_i of them with the item. The user's own training row is left out. An item counts
    once a history, by its last event.

    Sessions are as recent as their last event, equal times (and logs without any) as their row.
    """

    class Config(Memory.Config):
        """Settings of the session neighbours."""

        k: PositiveInt = tunable(
            500, low=20, high=2000, log=True, description="neighbours of a history"
        )
        sample: PositiveInt = tunable(
            5000, low=200, high=10000, log=True, description="most recent sessions compared"
        )
        last: PositiveInt = tunable(
            50, low=1, high=50, log=True, description="last events of a history that are used"
        )
        idf: NonNegativeFloat = tunable(
            0.0, low=0.0, high=10.0, description="how much rarer items are preferred"
        )

    config: Config
    _taken: Matrix  # [S, I] place of each item's last event in its session, from 1
    _holders: Matrix  # [I, S] the same
    _owner: Ints  # [S] user row of the session

    @abstractmethod
    def _event_weights(self, histories: Interactions) -> Floats:
        """[N] what each event of the histories adds to the overlap."""

    @abstractmethod
    def _similarity(self, pairs: Pairs, histories: Interactions) -> Doubles:
        """[P] how alike history and session are: the overlap times something positive."""

    @abstractmethod
    def _weight(self, pairs: Pairs, histories: Interactions) -> Doubles:
        """[P] what an item of the session gets, given that the session is a neighbour."""

    @abstractmethod
    def _near(self, steps: Doubles) -> Doubles | float:
        """How much an item counts that stands so many events behind the newest shared item."""

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Keep the training sessions; see :meth:`Memory.fit`."""
        del items
        filled = np.flatnonzero(events.lengths)
        ended = events.time[events.offsets[1:][filled] - 1]
        owner = filled[np.argsort(ended, kind="stable")]
        sessions = events.users(owner)
        places = (sessions.positions() + 1.0) * last_occurrence(sessions)
        return self._keep(event_matrix(sessions, places.astype(np.float32)), owner)

    def _keep(self, taken: Matrix, owner: Ints) -> Self:
        self._taken = taken
        self._n_items = taken.shape[1]
        self._holders = taken.T.tocsr()
        self._owner = owner
        n_holders = np.maximum(np.diff(self._holders.indptr), 1)
        self._rarity = 1 + self.config.idf * np.log(max(taken.shape[0], 1) / n_holders)
        return self

    def _score(self, histories: Interactions) -> Floats:
        """Histories by blocks: all items of all neighbours of a block are held at once."""
        scores = np.zeros((histories.n_users, self.n_items), np.float32)
        longest = max(1.0, self._taken.nnz / max(1, self._taken.shape[0]))
        of_history = min(self.config.k, self._taken.shape[0]) * longest
        step = max(1, int(BLOCK / max(1.0, of_history)))
        for start in range(0, histories.n_users, step):
            rows = np.arange(start, min(start + step, histories.n_users))
            scores[rows] = self._block_score(histories.users(rows))
        return scores

    def _block_score(self, histories: Interactions) -> Floats:
        pairs = self._neighbours(histories)
        pair, item, near = self._items_of(pairs)
        value = self._weight(pairs, histories)[pair] * near * self._rarity[item]
        cell = pairs.history[pair] * self.n_items + item
        scores = np.bincount(cell, weights=value, minlength=histories.n_users * self.n_items)
        return scores.reshape(histories.n_users, self.n_items).astype(np.float32)

    def _items_of(self, pairs: Pairs) -> tuple[Ints, Ints, Doubles]:
        """The items of the sessions of the pairs: index of the pair, item row, nearness."""
        pair, entry = _entries(self._taken, pairs.session)
        near = self._near(self._taken.data[entry] - pairs.place[pair])
        return pair, self._taken.indices[entry].astype(np.int64), near * np.ones(len(pair))

    def _neighbours(self, histories: Interactions) -> Pairs:
        pairs = self._matches(histories)
        own = known_users(histories, int(self._owner.max(initial=-1)) + 1)[pairs.history]
        pairs = pairs.take((own < 0) | (self._owner[pairs.session] != own))
        newer = np.searchsorted(pairs.history, pairs.history, side="right") - 1
        pairs = pairs.take(newer - np.arange(len(pairs)) < self.config.sample)
        order = np.lexsort((-pairs.session, -self._similarity(pairs, histories), pairs.history))
        first = np.searchsorted(pairs.history, pairs.history)
        return pairs.take(np.sort(order[np.arange(len(pairs)) - first < self.config.k]))

    def _matches(self, histories: Interactions) -> Pairs:
        """Every training session that shares an item with a history's last events."""
        used = self._used(histories)
        event, entry = _entries(self._holders, histories.item[used])
        event, session = used[event], self._holders.indices[entry].astype(np.int64)
        key = histories.group()[event] * np.int64(self._taken.shape[0]) + session
        order = np.argsort(key, kind="stable")  # newest events stay first
        start = np.flatnonzero(np.diff(key[order], prepend=-1))
        newest = order[start]
        weight = self._event_weights(histories)[event].astype(np.float64)
        overlap = np.add.reduceat(weight[order], start) if len(start) else np.zeros(0)
        return Pairs(
            histories.group()[event[newest]],
            session[newest],
            overlap,
            age(histories)[event[newest]],
            self._holders.data[entry[newest]].astype(np.float64),
        )

    def _used(self, histories: Interactions) -> Ints:
        """[M] the last event of each item among the last events of each history, newest first."""
        kept = last_occurrence(histories) & (age(histories) < self.config.last)
        return np.flatnonzero(kept)[::-1]

    def _explain(self, history: Interactions, item: int) -> Floats:
        pairs = self._neighbours(history)
        pair, items, near = self._items_of(pairs)
        of_item = items == item
        value = np.zeros(len(pairs))
        value[pair[of_item]] = near[of_item] * self._rarity[item]
        value *= self._weight(pairs, history)
        share = np.divide(value, pairs.overlap, out=np.zeros(len(pairs)), where=pairs.overlap > 0)
        parts = np.zeros(len(history))
        for event in self._used(history):
            start, stop = self._holders.indptr[history.item[event] + np.arange(2)]
            parts[event] = share[np.isin(pairs.session, self._holders.indices[start:stop])].sum()
        return (parts * self._event_weights(history)).astype(np.float32)

    def present(self) -> Mask:
        """[I] items with training events."""
        n_items = self.n_items
        return np.bincount(self._taken.indices, minlength=n_items) > 0

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The training sessions; see :meth:`Memory.state`."""
        self.require_fitted()
        return {**pack(self._taken, "taken"), "owner": self._owner}

    def load_state(self, state: State) -> Self:
        """Restore the training sessions; see :meth:`Memory.load_state`."""
        return self._keep(unpack(state, "taken"), array(state, "owner").astype(np.int64))


def _entries(matrix: Matrix, rows: Ints) -> tuple[Ints, Ints]:
    """The stored entries of some rows: index into ``rows``, place among the matrix's entries."""
    start = matrix.indptr[rows].astype(np.int64)
    length = matrix.indptr[rows + 1] - start
    of_row = np.repeat(np.arange(len(rows)), length)
    before = np.concatenate([[0], np.cumsum(length)])[:-1]
    return of_row, np.arange(len(of_row)) + np.repeat(start - before, length)


def history_lengths(histories: Interactions, last: int) -> Ints:
    """[B] events of each history that are used, 1 at least."""
    return np.clip(histories.lengths, 1, last)
