"""What several item-to-item memories recall for the same histories, by compiled loops.

A list for one person asks each memory for a few hundred scores; calls between NumPy and the memory
would take longer than the sums do. The weights of a history's events are its own, so that whoever
keeps states keeps them too.

Shapes: E events, M memories.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from quintet.compiled import can_compile
from quintet.data.interactions import Floats, Interactions
from quintet.memory.base import Memory
from quintet.memory.entries import Entries
from quintet.memory.matrices import Matrix
from quintet.memory.steps import Steps, walked


class Walks:
    """The memories whose scores are steps from a history's events along a sparse matrix.

    Args:
        matrices: of each memory, by name.
        memories: likewise.
    """

    def __init__(self, matrices: Mapping[str, Matrix], memories: Mapping[str, Memory]) -> None:
        self.names = list(matrices)
        self._memories = [memories[name] for name in matrices]
        self._steps = Steps.of(list(matrices.values()))

    @classmethod
    def of(cls, memories: Mapping[str, Memory]) -> Self:
        """Those of the memories that are walks; none where nothing can be compiled."""
        found = {name: memory.step_matrix() for name, memory in memories.items()}
        walked = {name: matrix for name, matrix in found.items() if matrix is not None}
        return cls(walked if can_compile() else {}, memories)

    def weights(self, histories: Interactions) -> Floats:
        """[M, E] weight of each event in each memory."""
        weight_ME = np.zeros((len(self.names), len(histories)), np.float32)
        for place, memory in enumerate(self._memories):
            weight_ME[place] = memory.step_weights(histories)
        return weight_ME

    def recall(self, histories: Interactions, weight_ME: Floats) -> dict[str, Entries]:
        """The memories' scores (:meth:`Memory.sparse_score`), by name."""
        if not self.names:
            return {}
        return dict(zip(self.names, walked(histories, weight_ME, self._steps), strict=True))
