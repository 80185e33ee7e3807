"""Graph: what several hops between people and items reach, in closed form.

LightGCN (He et al., SIGIR 2020, equations 7 and 8) sends vectors along the edges of the user-item
graph and averages the layers. It has no other weights than the first vectors; when those are the
spectral ones, the whole is a polynomial low-pass filter of the graph (GF-CF: Shen et al., CIKM
2021, section 4), and needs no training. Friends of a person, where friendships are known, are one
more kind of edge (as in SocialLGN: Liao et al. 2022): their histories count as a share of one's
own, and speak for people who have none yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.singular import leading
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import (
    State,
    array,
    event_matrix,
    known_users,
    negative_power,
    recency,
    scale_rows_columns,
    seen_matrix,
    summed,
)

LEAST_STRENGTH = 1e-3


class Graph(Counted):
    """Propagation of spectral vectors over the graph of users, items and friends.

    With X [U, I] the binary matrix of training events and its degrees D, ``X̃ = D_u^-½ X D_i^-½``
    has the singular values s and right vectors V [I, K]. Two hops multiply by s², so that the mean
    of 0 to ``layers`` double hops is ``f = (1 + s² + ... + s^2layers) / (layers + 1)``, and a
    history x scores ``x D_i^-½ V f Vᵀ D_i^popularity``. Friends add their mean history, as known
    from training, times ``friends``.
    """

    name = "graph"
    dense: ClassVar[bool] = True

    class Config(Memory.Config):
        """Settings of :class:`Graph`."""

        dimensions: PositiveInt = tunable(
            128, choices=[32, 64, 128, 256], description="spectral directions kept"
        )
        layers: NonNegativeInt = tunable(
            2, choices=[0, 1, 2, 4], description="double hops averaged with the vectors themselves"
        )
        popularity: NonNegativeFloat = tunable(
            0.3, low=0.0, high=0.5, description="power of an item's degree in its own vector"
        )
        half_life: PositiveFloat | None = tunable(
            None, low=0.5, high=100.0, log=True, description="steps back that halve a weight"
        )
        friends: NonNegativeFloat = tunable(
            0.3, low=0.0, high=2.0, description="weight of the mean history of friends"
        )

    config: Config
    _edges_F2: Ints | None = None
    _items: Floats
    _hops: Floats
    _friends: Floats
    _seen: Mask

    def relate(self, friends_F2: Ints) -> Self:
        """Take in friendships; see :meth:`Memory.relate`."""
        self._edges_F2 = friends_F2
        return self

    def fresh(self, rows_U: Ints | None = None) -> Self:
        """See :meth:`Memory.fresh`."""
        made = super().fresh()
        if self._edges_F2 is None:
            return made
        edges_F2 = self._edges_F2 if rows_U is None else rows_U[self._edges_F2]
        return made.relate(edges_F2[(edges_F2 >= 0).all(1)])

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Decompose the graph; see :meth:`Memory.fit`."""
        del items
        seen = seen_matrix(events)
        degree_U, degree_I = (np.asarray(seen.sum(axis)).ravel() for axis in (1, 0))
        spread_I = negative_power(degree_I, 0.5)
        graph = scale_rows_columns(seen, negative_power(degree_U, 0.5), spread_I)
        strength_K, vector_KI = leading(graph, self.config.dimensions, LEAST_STRENGTH)
        gain_K = np.mean([strength_K ** (2 * n) for n in range(self.config.layers + 1)], axis=0)
        filtered_IK = vector_KI.T * np.sqrt(gain_K)
        self._items = (filtered_IK * degree_I[:, None] ** self.config.popularity).astype(np.float32)
        self._hops = (filtered_IK * spread_I[:, None]).astype(np.float32)
        self._seen = degree_I > 0
        self._n_items = events.n_items
        self._friends = self._of_friends(events)
        return self

    def _of_friends(self, events: Interactions) -> Floats:
        """[U, K] what each person's friends add to a query; no rows where nobody has any."""
        edges_F2 = self._edges_F2
        if edges_F2 is None or not len(edges_F2) or not self.config.friends:
            return np.zeros((0, self._hops.shape[1]), np.float32)
        both = np.unique(np.concatenate([edges_F2, edges_F2[:, ::-1]]), axis=0)
        shape = (events.n_users, events.n_users)
        known = summed(both[:, 0], both[:, 1], np.ones(len(both), np.float32), shape)
        mean = known.multiply(negative_power(known.sum(1), 1.0)[:, None]).tocsr()
        return np.asarray(self.config.friends * (mean @ self._own(events)), np.float32)

    def _own(self, histories: Interactions) -> Floats:
        """[B, K] the histories' own side of the score."""
        weights = recency(histories, self.config.half_life, distinct=True)
        return np.asarray(event_matrix(histories, weights) @ self._hops, np.float32)

    def item_vectors(self) -> Floats:
        """[I, K] propagated vectors of the items; see :meth:`Memory.item_vectors`."""
        self.require_fitted()
        return self._items

    def queries(self, histories: Interactions) -> Floats:
        """[B, K] propagated vectors of the histories; see :meth:`Memory.queries`."""
        known = self._known(histories) if histories.n_items != self.n_items else histories
        query_BK = self._own(known)
        if len(self._friends):
            # a history without events has an owner all the same
            owner_B = np.where(
                histories.lengths > 0, known_users(known, len(self._friends)), histories.owners()
            )
            friend_B = (owner_B >= 0) & (owner_B < len(self._friends))
            query_BK[friend_B] += self._friends[owner_B[friend_B]]
        return query_BK

    def _score(self, histories: Interactions) -> Floats:
        scores: Floats = self.queries(histories) @ self._items.T
        return scores

    def _explain(self, history: Interactions, item: int) -> Floats | None:
        row = int(known_users(history, len(self._friends))[0])
        if row >= 0 and self._friends[row].any():
            return None  # part of the score is no event of one's own
        weights = recency(history, self.config.half_life, distinct=True)
        parts: Floats = weights * (self._hops[history.item] @ self._items[item])
        return parts

    def present(self) -> Mask:
        """[I] items with training events."""
        self.require_fitted()
        return self._seen

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Propagated vectors; see :meth:`Memory.state`."""
        self.require_fitted()
        edges_F2 = self._edges_F2
        related = edges_F2 is not None and len(edges_F2) > 0
        return {
            "items": self._items,
            "hops": self._hops,
            "friends": self._friends,
            "seen": self._seen,
            **({"edges": edges_F2} if related and edges_F2 is not None else {}),
        }

    def load_state(self, state: State) -> Self:
        """Restore the vectors; see :meth:`Memory.load_state`."""
        self._items = array(state, "items").astype(np.float32)
        self._hops = array(state, "hops").astype(np.float32)
        self._friends = array(state, "friends").astype(np.float32)
        if "edges" in state:
            self._edges_F2 = state["edges"].astype(np.int64)
        self._seen = array(state, "seen").astype(bool)
        self._n_items = len(self._items)
        return self
