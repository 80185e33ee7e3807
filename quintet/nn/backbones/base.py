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
    """

    name: ClassVar[str]
    #: whether the state at a position depends on that position and those before it only
    causal: ClassVar[bool] = True

    class Config(BaseConfig):
        """Settings of the backbone."""

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        super().__init__()
        self.width = width
        self.longest = longest
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def forward(self, tokens_BLD: Tensor, length_B: Tensor) -> Tensor:
        """[B, L, D] event vectors to [B, L, D] states; L is at most ``longest``."""


BACKBONES: Registry[Backbone] = Registry("quintet.nn.backbones", Backbone, "backbone")  # type: ignore[type-abstract]
