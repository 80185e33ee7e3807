"""What every backbone is: a sequence of event vectors in, a state after every event out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from quintet.config import Config as BaseConfig
from quintet.registry import Registry


class Backbone(nn.Module, ABC):
    """Turns event vectors into states.

    Shapes: B sequences, L positions, D width. Sequences are padded on the right; a causal backbone
    may ignore ``length_B``, because no real position can see the padding behind it.

    A backbone that looks both ways sets ``causal`` to False. It is never asked for the state at an
    event in the middle of what it reads: the tower hands it each prefix on its own, with a mask
    token behind it whose state is the answer (see :class:`quintet.nn.tower.Tower`).

    Attributes:
        causal: whether the state at a position depends on that position and those before it only.
        states_a_window: how many states of a window are trained on at a step, drawn at random;
            None for all of them, which a causal backbone gives in one pass.
    """

    name: ClassVar[str]
    causal: bool = True
    states_a_window: int | None = None

    class Config(BaseConfig):
        """Settings of the backbone."""

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        super().__init__()
        self.width = width
        self.longest = longest
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """[B, L, D] states of event vectors.

        Args:
            tokens_BLD: event vectors; L is at most ``longest``, and one more for a mask token where
                the backbone is not causal.
            length_B: how many of them are real.
            time_BL: microseconds since 1970, never falling within a sequence; any where padded.
        """


BACKBONES: Registry[Backbone] = Registry("quintet.nn.backbones", Backbone, "backbone")  # type: ignore[type-abstract]
