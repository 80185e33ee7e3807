"""What every memory is: evidence that is counted from events, not learned by gradient.

A memory is fitted on training events alone and scores the whole catalogue for a batch of histories.
It works for people it has never seen, because it reads the history it is handed, not a user row. A
user row that is known (``histories.user``) is used only to leave a user's own counts out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from quintet.config import Config as BaseConfig
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.memory.entries import Entries
from quintet.memory.matrices import Matrix
from quintet.registry import Registry


class Memory(ABC):
    """Counted evidence over the catalogue.

    Subclasses give ``name``, a nested ``Config`` and the four methods below. Shapes: B histories,
    I items, N events in the batch.
    """

    name: ClassVar[str]
    #: whether items without training events can get a meaningful score
    scores_cold_items: ClassVar[bool] = False
    #: whether it is fitted to attributes: it has nothing to say where items have none, and newer
    #: events alone do not change what it says
    reads_attributes: ClassVar[bool] = False
    #: whether every item gets a score of either sign, so that zero does not mean "no evidence"
    dense: ClassVar[bool] = False
    #: whether it can stand in the fused model (cheap to fit and keep, works from the history alone)
    evidence: ClassVar[bool] = True

    class Config(BaseConfig):
        """Settings of the memory.

        Attributes:
            full: the score that counts as full evidence, 1 for one that is a chance; where it is
                None, the greatest of each history, so that one faint trace says as much as a strong
                one.
        """

        full: PositiveFloat | None = None

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Count from training events (and item attributes); returns self."""

    def relate(self, friends_F2: Ints) -> Self:
        """Take in friendships, [F, 2] user rows, before :meth:`fit`; returns self.

        Most memories have no use for them.
        """
        del friends_F2
        return self

    def fresh(self, rows_U: Ints | None = None) -> Self:
        """The same settings and friendships, not fitted: to be counted anew.

        Args:
            rows_U: [U] the new row of each user, -1 for those who have gone; as before if absent.
        """
        del rows_U
        return type(self)(self.config)

    @abstractmethod
    def score(self, histories: Interactions) -> Floats:
        """[B, I] evidence for every item given each history; higher is better, 0 is "none".

        ``histories`` is a batch made by ``Interactions.users``: its row ``b`` is the b-th history.
        The history's own items are scored like any other: masking them is the caller's work.
        """

    def sparse_score(self, histories: Interactions) -> Entries | None:
        """[B, I] what :meth:`score` gives, without its zeros; None where most is not 0."""
        del histories
        return None

    def step_matrix(self) -> Matrix | None:
        """[I, I] where a score is ``Σ_e weight_e · matrix[item of e, item scored]``; else None.

        It may be of an older, smaller catalogue: what came later scores 0.
        """
        return None

    def step_weights(self, histories: Interactions) -> Floats:
        """[E] the weights for :meth:`step_matrix`; 0 for events on items that it does not know."""
        raise NotImplementedError(f"memory {self.name!r} scores by no steps")

    def item_vectors(self) -> Floats | None:
        """[I, F] item side of scores that are inner products with :meth:`queries`; else None."""
        return None

    def queries(self, histories: Interactions) -> Floats:
        """[B, F] history side of scores that are inner products with :meth:`item_vectors`."""
        raise NotImplementedError(f"memory {self.name!r} scores by no inner product")

    def present(self) -> Mask | None:
        """[I] items that this memory knows anything about; None means all."""
        return None

    def explain(self, history: Interactions, item: int) -> Floats | None:
        """[N] how much each event of ONE history added to the score of ``item``; None: unknown.

        Where the score is a sum over history events, the parts add up to the score of the item
        before any final monotone transform.
        """
        del history, item
        return None

    def add_items(self, items: FeatureTable) -> Self:
        """Read a catalogue that has grown or changed, with nothing counted anew.

        What is counted from events has nothing to say of a new item; memories of attributes do.

        Args:
            items: all items, old rows first, in catalogue order.
        """
        del items
        return self

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Arrays that restore the fitted memory (for the bundle)."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """Restore from :meth:`state`; returns self."""


MEMORIES: Registry[Memory] = Registry("quintet.memory", Memory, "memory")  # type: ignore[type-abstract]
