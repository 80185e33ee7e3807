"""What every pre-training objective is: a loss that needs histories and content, and no label.

All of them read one content tower, so that what they teach serves any catalogue whose items have
the same kinds of content.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from quintet.config import Config as BaseConfig
from quintet.config import tunable
from quintet.data.batch import SequenceBatch
from quintet.nn.items import ItemVectors
from quintet.nn.tower import EventItems, Tower
from quintet.registry import Registry


@dataclass(frozen=True)
class PretrainStep:
    """What a step offers to the objectives: windows of one domain and that domain's catalogue.

    Attributes:
        batch: B windows of L events.
        positions_BL: true at the events that may be foretold from those before them.
        tower: the content tower, shared by all domains.
        items: [I, D] content vectors of the domain's catalogue, and biases.
        identity_ID: [I, D] learned vectors of the domain's items; None where no objective wants
            them.
        warm_I: [I] items with events.
        low_precision: whether products over the catalogue may run in bfloat16.
    """

    batch: SequenceBatch
    positions_BL: Tensor
    tower: Tower
    items: ItemVectors
    identity_ID: Tensor | None
    warm_I: Tensor
    low_precision: bool

    def read_by(self) -> EventItems:
        """The vectors that events are read by."""
        return EventItems(self.items)

    def states(self, positions_BL: Tensor) -> tuple[Tensor, Tensor]:
        """[N, D] the states before the given events, and [N] the items of those events."""
        row_N, seen_N = positions_BL.nonzero(as_tuple=True)
        shorter = self.batch.without_last()
        state_ND: Tensor = self.tower(shorter, self.read_by(), None, row_N, seen_N)
        return state_ND, self.batch.item_BL[row_N, seen_N]


class Objective(nn.Module, ABC):
    """One loss of self-supervised pre-training; several are summed by their weights."""

    name: ClassVar[str]
    #: whether the domain's items need learned vectors of their own
    needs_identity: ClassVar[bool] = False
    #: whether the backbone must read what comes after an event, too
    needs_both_ways: ClassVar[bool] = False

    class Config(BaseConfig):
        """Settings of the objective."""

        weight: float = tunable(1.0, low=0.01, high=2.0, log=True, description="λ of its loss")

    def __init__(self, width: int, config: Config | None = None) -> None:
        super().__init__()
        self.width = width
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def loss(self, step: PretrainStep) -> Tensor:
        """Scalar loss of the step, averaged over what it foretells."""


OBJECTIVES: Registry[Objective] = Registry("quintet.nn.objectives", Objective, "objective")  # type: ignore[type-abstract]
