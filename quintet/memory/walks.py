"""The memories whose scores are steps from a history's events along a sparse matrix.

The weights of a history's events are its own, so that whoever keeps states keeps them too: what is
left to do for a list is the products.

Shapes: E events, M memories.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quintet.data.interactions import Floats, Interactions
from quintet.memory.base import Memory
from quintet.memory.entries import Entries
from quintet.memory.steps import followed


class Walks:
    """Those of some memories that are walks (:meth:`Memory.step_matrix`).

    Args:
        memories: by name; the others are left out.
    """

    def __init__(self, memories: Mapping[str, Memory]) -> None:
        steps = {name: memory.step_matrix() for name, memory in memories.items()}
        self._matrices = {name: matrix for name, matrix in steps.items() if matrix is not None}
        self._memories = [memories[name] for name in self._matrices]

    @property
    def names(self) -> list[str]:
        """Of the walks, in the order of the first axis of their weights."""
        return list(self._matrices)

    def weights(self, histories: Interactions) -> Floats:
        """[M, E] weight of each event in each memory."""
        weight_ME = np.zeros((len(self._memories), len(histories)), np.float32)
        for place, memory in enumerate(self._memories):
            weight_ME[place] = memory.step_weights(histories)
        return weight_ME

    def recall(self, histories: Interactions, weight_ME: Floats) -> dict[str, Entries]:
        """The memories' scores (:meth:`Memory.sparse_score`), by name."""
        return {
            name: followed(histories, weight_E, matrix)
            for (name, matrix), weight_E in zip(self._matrices.items(), weight_ME, strict=True)
        }
