"""Memories that score by one item-to-item matrix: ``score = history @ matrix``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quintet.data.interactions import Floats, Interactions, Mask
from quintet.memory.counted import Counted
from quintet.memory.entries import Entries
from quintet.memory.matrices import Matrix, State, event_matrix, narrowed, pack, unpack
from quintet.memory.steps import followed


class ItemToItem(Counted):
    """Score of item i: the sum over the history's events of ``weight * matrix[event's item, i]``.

    Subclasses fill ``_matrix`` [I, I] (row: an item of the history, column: the item scored;
    sparse, or dense float32) through :meth:`_keep`, and give the events' weights.
    """

    _matrix: Matrix | Floats

    @abstractmethod
    def _weights(self, histories: Interactions) -> Floats:
        """[N] weight of each event of the histories."""

    def _keep(self, matrix: Matrix | Floats) -> Self:
        if not isinstance(matrix, np.ndarray):
            matrix.sort_indices()
            matrix = narrowed(matrix)
        self._matrix = matrix.astype(np.float32)
        self._n_items = matrix.shape[0]
        return self

    def _score(self, histories: Interactions) -> Floats:
        weight_E = self._weights(histories)
        if isinstance(self._matrix, np.ndarray):
            scores: Floats = event_matrix(histories, weight_E) @ self._matrix
            return scores
        return followed(histories, weight_E, self._matrix).toarray()

    def _sparse_score(self, histories: Interactions) -> Entries | None:
        if isinstance(self._matrix, np.ndarray):
            return None
        return followed(histories, self._weights(histories), self._matrix)

    def step_matrix(self) -> Matrix | None:
        """The matrix, if it is sparse; see :meth:`Memory.step_matrix`."""
        self.require_fitted()
        return None if isinstance(self._matrix, np.ndarray) else self._matrix

    def step_weights(self, histories: Interactions) -> Floats:
        """[E] the events' weights; see :meth:`Memory.step_weights`."""
        self._check(histories)
        if histories.n_items == self.n_items:
            return self._weights(histories)
        weight_E = np.zeros(len(histories), np.float32)
        weight_E[histories.item < self.n_items] = self._weights(self._known(histories))
        return weight_E

    def _explain(self, history: Interactions, item: int) -> Floats:
        from_history = self._matrix[history.item]
        if not isinstance(from_history, np.ndarray):
            from_history = from_history[:, [item]].toarray()
            return self._weights(history) * from_history[:, 0]
        return self._weights(history) * from_history[:, item]

    def present(self) -> Mask:
        """[I] items that some other item leads to."""
        n_items = self.n_items
        if isinstance(self._matrix, np.ndarray):
            led_to: Mask = (self._matrix != 0).any(axis=0)
            return led_to
        return np.bincount(self._matrix.indices, minlength=n_items) > 0

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The matrix; see :meth:`Memory.state`."""
        self.require_fitted()
        if isinstance(self._matrix, np.ndarray):
            return {"matrix": self._matrix}
        return pack(self._matrix, "matrix")

    def load_state(self, state: State) -> Self:
        """Restore the matrix; see :meth:`Memory.load_state`."""
        if "matrix" in state:
            return self._keep(state["matrix"].astype(np.float32))
        return self._keep(unpack(state, "matrix"))
