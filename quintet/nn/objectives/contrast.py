"""Two-view contrast: two pieces of one history must find each other among the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from quintet.config import tunable
from quintet.data.batch import SequenceBatch
from quintet.nn.losses import info_nce
from quintet.nn.objectives.base import Objective, PretrainStep
from quintet.nn.tasks.base import mlp
from quintet.nn.views import two_views


class Contrast(Objective):
    """Pieces of the first and of the second half of a history, without a shared event.

    InfoNCE behind a small network that is thrown away after pre-training (SimCLR: Chen et al., ICML
    2020, section 2.1; for histories CL4SRec: Xie et al., ICDE 2022).
    """

    name = "contrast"

    class Config(Objective.Config):
        """Settings of the contrast."""

        weight: float = tunable(0.1, low=0.01, high=2.0, log=True, description="λ of its loss")
        temperature: float = tunable(0.2, low=0.05, high=0.5, description="of the similarities")
        histories: int = tunable(128, choices=[16, 64, 128], description="contrasted a step")
        shortest: int = tunable(4, choices=[4, 8], description="events of a history that has views")

    config: Config

    def __init__(self, width: int, config: Config | None = None) -> None:
        super().__init__(width, config if config is not None else self.Config())
        self.view = mlp(width, width, width)

    def loss(self, step: PretrainStep) -> Tensor:
        """See :meth:`Objective.loss`."""
        pieces = two_views(
            step.batch,
            len(step.items.vector_ID),
            most=self.config.histories,
            shortest=self.config.shortest,
        )
        if pieces is None:
            return step.items.vector_ID.sum() * 0.0
        one, other = (self.view(self._state(step, piece)) for piece in pieces)
        return info_nce(one, other, self.config.temperature)

    @staticmethod
    def _state(step: PretrainStep, piece: SequenceBatch) -> Tensor:
        rows = torch.arange(len(piece.length_B), device=piece.length_B.device)
        state_BD: Tensor = step.tower(piece, step.read_by(), None, rows, piece.length_B)
        return state_BD
