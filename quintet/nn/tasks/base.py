"""What every task is: labels read off events, a loss, and an answer.

A task has a network of its own on top of the shared state. What it needs beyond the state is made
once, as arrays: *features* for every state (what is known there, used in training and in service)
and *labels* for every event (what happened there, training only). Shapes: N positions, E events,
S states (see ``data/states.py``), D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from quintet.config import Config as BaseConfig
from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.nn.dropout import Dropout
from quintet.nn.items import ItemVectors
from quintet.nn.shape import DataShape
from quintet.registry import Registry

Arrays = dict[str, NDArray[np.generic]]
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Step:
    """What a training step offers to the tasks.

    Attributes:
        hidden: [N, D] state of each tower at the supervised positions.
        shared_ND: [N, D] the shared state, before the user's attributes are known to it.
        items: the towers' items: the whole catalogue or, where that is large, a sample of it.
        stand_in: what stands in the identity tower by content, if items have content.
        warm_I: [I] items of the catalogue with training events.
        target_N: [N] the item that came next.
        history_N: [N] row of the batch that a position belongs to.
        attributes_hidden_N: [N] true where the user's attributes were withheld from the state.
        user_N: [N] user rows.
        views: two [M, D] states of separate pieces of the same M histories, if asked for.
        low_precision: whether products over the catalogue may run in bfloat16.
    """

    hidden: Mapping[str, Tensor]
    shared_ND: Tensor
    items: Mapping[str, ItemVectors]
    stand_in: ItemVectors | None
    warm_I: Tensor
    target_N: Tensor
    history_N: Tensor
    attributes_hidden_N: Tensor
    user_N: Tensor
    views: tuple[Tensor, Tensor] | None
    low_precision: bool


class Task(nn.Module, ABC):
    """One of the five parts that the model plays."""

    name: ClassVar[str]

    class Config(BaseConfig):
        """Settings of the task."""

        weight: float = tunable(1.0, low=0.01, high=2.0, log=True, description="λ of its loss")
        share: float = Field(
            default=1.0, gt=0, le=1, description="share of the steps in which it learns and costs"
        )

    def __init__(self, shape: DataShape, width: int, config: Config | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.width = width
        self.config = config if config is not None else self.Config()

    def fit(self, events: Interactions, items: FeatureTable, users: FeatureTable) -> None:
        """Count what the task needs of the training events (kept as buffers)."""

    def features(self, events: Interactions, *, in_training: bool = False) -> Arrays:
        """[S, ...] what is known at every state of the histories.

        Args:
            events: histories.
            in_training: whether they are the events that were counted, so that an event's own
                counts must be left out.
        """
        del events, in_training
        return {}

    def labels(self, events: Interactions, users: FeatureTable) -> Arrays:
        """[E, ...] what happened at every training event."""
        del events, users
        return {}

    def learns(self, labels: Arrays) -> bool:
        """Whether the labels of the training events leave anything to learn.

        Where every event shows the same, training leaves the task out: its answer is what was
        counted, and a tower of its own would be read for nothing at every step.
        """
        del labels
        return True

    @abstractmethod
    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """Scalar loss over the positions of the step, in log space, divided by the mask."""


def joint_vectors(
    items: Mapping[str, ItemVectors], stand_in: ItemVectors | None, item_N: Tensor | None = None
) -> Tensor:
    """[N, D] what identity and content say together of the given items; of all when absent."""
    known = [items["identity"]] if "identity" in items else []
    known += [] if stand_in is None else [stand_in]
    picked = [own.vector_ID if item_N is None else own.at(item_N) for own in known]
    return picked[0] if len(picked) == 1 else picked[0] + picked[1]


TASKS: Registry[Task] = Registry("quintet.nn.tasks", Task, "task")  # type: ignore[type-abstract]


def mlp(inputs: int, hidden: int, outputs: int, dropout: float = 0.1) -> nn.Sequential:
    """The small network that a task puts on the shared state."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, outputs)
    )


def zero_last(network: nn.Sequential) -> nn.Sequential:
    """Start a residual network at zero, so that it departs from the counted answer."""
    last = network[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return network


def no_loss(step: Step) -> Tensor:
    """A zero that still belongs to the graph, for a task without labels in this data set."""
    return step.shared_ND.sum() * 0.0


def all_tensors(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    """Every array as a tensor."""
    return {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items()}


def as_tensors(
    arrays: Mapping[str, NDArray[np.generic]], rows: NDArray[np.int64]
) -> dict[str, Tensor]:
    """The given rows of every array, as tensors."""
    return all_tensors({name: array[rows] for name, array in arrays.items()})
