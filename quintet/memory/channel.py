"""Memories of some behaviours only: buys and clicks are evidence of different things.

In a model's settings ``ease@buy`` is the memory ``ease`` counted on buys and asked of the buys of
a history; ``ease@click+cart`` reads two behaviours, and ``ease`` all of them. Each is evidence of
its own, with its own weight in the fusion.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from quintet.config import build
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.errors import ConfigError
from quintet.memory.base import MEMORIES, Memory
from quintet.memory.entries import Entries
from quintet.memory.matrices import Matrix, State

AT, AND = "@", "+"


class Channel(Memory):
    """A memory that reads the events of some behaviours, in training and in a history.

    Args:
        memory: what counts them.
        behaviours: indices of the behaviours that it reads.
    """

    def __init__(self, memory: Memory, behaviours: Sequence[int]) -> None:
        super().__init__(memory.config)
        self.memory = memory
        self.behaviours = np.array(behaviours, np.int64)
        # what is said of the class elsewhere is that of the memory inside
        self.dense = memory.dense  # type: ignore[misc]
        self.evidence = memory.evidence  # type: ignore[misc]
        self.scores_cold_items = memory.scores_cold_items  # type: ignore[misc]
        self.reads_attributes = memory.reads_attributes  # type: ignore[misc]

    def _read(self, events: Interactions) -> Mask:
        return np.isin(events.behaviour, self.behaviours)

    def _own(self, events: Interactions) -> Interactions:
        return events.select(self._read(events))

    def relate(self, friends_F2: Ints) -> Self:
        """Take in friendships; see :meth:`Memory.relate`."""
        self.memory.relate(friends_F2)
        return self

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count the events of these behaviours; see :meth:`Memory.fit`."""
        self.memory.fit(self._own(events), items)
        return self

    def fresh(self, rows_U: Ints | None = None) -> Self:
        """See :meth:`Memory.fresh`."""
        return type(self)(self.memory.fresh(rows_U), self.behaviours.tolist())

    def add_items(self, items: FeatureTable) -> Self:
        """See :meth:`Memory.add_items`; a copy, as the memory within may be another's too."""
        return type(self)(copy.copy(self.memory).add_items(items), self.behaviours.tolist())

    def score(self, histories: Interactions) -> Floats:
        """See :meth:`Memory.score`."""
        return self.memory.score(self._own(histories))

    def sparse_score(self, histories: Interactions) -> Entries | None:
        """See :meth:`Memory.sparse_score`."""
        return self.memory.sparse_score(self._own(histories))

    def step_matrix(self) -> Matrix | None:
        """See :meth:`Memory.step_matrix`."""
        return self.memory.step_matrix()

    def step_weights(self, histories: Interactions) -> Floats:
        """See :meth:`Memory.step_weights`; events of other behaviours weigh 0."""
        weight_E = np.zeros(len(histories), np.float32)
        weight_E[self._read(histories)] = self.memory.step_weights(self._own(histories))
        return weight_E

    def item_vectors(self) -> Floats | None:
        """See :meth:`Memory.item_vectors`."""
        return self.memory.item_vectors()

    def queries(self, histories: Interactions) -> Floats:
        """See :meth:`Memory.queries`."""
        return self.memory.queries(self._own(histories))

    def present(self) -> Mask | None:
        """See :meth:`Memory.present`."""
        return self.memory.present()

    def explain(self, history: Interactions, item: int) -> Floats | None:
        """See :meth:`Memory.explain`; events of other behaviours add nothing."""
        own = self.memory.explain(self._own(history), item)
        if own is None:
            return None
        parts = np.zeros(len(history), np.float32)
        parts[self._read(history)] = own
        return parts

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """See :meth:`Memory.state`."""
        return self.memory.state()

    def load_state(self, state: State) -> Self:
        """See :meth:`Memory.load_state`."""
        self.memory.load_state(state)
        return self


def part_name(name: str) -> str:
    """The memory that evidence called ``name`` is counted by: ``ease`` of ``ease@buy``."""
    return name.partition(AT)[0]


def evidence_memory(
    name: str, settings: Mapping[str, Any], behaviours: Sequence[str], where: str = "memories"
) -> Memory:
    """The memory, not fitted, that gives the evidence called ``name``.

    Args:
        name: of a memory, or of one and the behaviours that it reads: ``ease@click+cart``.
        settings: of the memory.
        behaviours: names of the data set's behaviours.
        where: of the settings, for messages.

    Raises:
        ConfigError: there is no such memory, setting or behaviour, or the memory is a baseline.
    """
    own_name, _, read = name.partition(AT)
    part = MEMORIES.get(own_name)
    if not part.evidence:
        raise ConfigError(f"memory {name!r} is a baseline and cannot stand in the fused model")
    memory = part(build(part.Config, settings, f"{where}.{name}"))
    if AT not in name:
        return memory
    unknown = [one for one in read.split(AND) if one not in behaviours]
    if unknown:
        raise ConfigError(
            f"{where}: {name!r} reads the unknown behaviour {unknown[0]!r}; the data set has: "
            f"{', '.join(behaviours)}"
        )
    return Channel(memory, [list(behaviours).index(one) for one in read.split(AND)])
