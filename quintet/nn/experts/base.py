"""What every kind of experts is: from one state to the states that several readers read.

A reader is a task; the request says in which scenario. All kinds are residual and start at the
state plus the request, so that a model departs from the plain one only where the data ask for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from quintet.config import Config as BaseConfig
from quintet.config import Share, tunable
from quintet.nn.dropout import Dropout
from quintet.registry import Registry


class Experts(nn.Module, ABC):
    """Turns the state and the request into a state for every reader.

    Shapes: N states, D width, S scenarios, M experts.
    """

    name: ClassVar[str]

    class Config(BaseConfig):
        """Settings of the experts."""

        hidden: int = tunable(32, choices=[16, 32, 64], description="width inside an expert")
        dropout: Share = tunable(0.1, low=0.0, high=0.5, description="inside an expert")

    def __init__(
        self, width: int, readers: Sequence[str], n_scenarios: int, config: Config | None = None
    ) -> None:
        super().__init__()
        self.width = width
        self.readers = list(readers)
        self.n_scenarios = n_scenarios
        self.config = config if config is not None else self.Config()

    def forward(
        self, state_ND: Tensor, request_ND: Tensor, scenario_N: Tensor
    ) -> dict[str, Tensor]:
        """[N, D] by reader.

        Args:
            state_ND: what the history says.
            request_ND: what the request says.
            scenario_N: [N] index of the scenario; -1 where it is unknown.
        """
        informed_ND = state_ND + request_ND
        change = self.changes(informed_ND, scenario_N)
        return {reader: informed_ND + change[reader] for reader in self.readers}

    @abstractmethod
    def changes(self, informed_ND: Tensor, scenario_N: Tensor) -> dict[str, Tensor]:
        """[N, D] by reader: what is added to the informed state; 0 before training."""

    def expert(self) -> nn.Sequential:
        """One expert: a small network that starts at zero."""
        last = nn.Linear(self.config.hidden, self.width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(
            nn.Linear(self.width, self.config.hidden),
            nn.GELU(),
            Dropout(self.config.dropout),
            last,
        )


def mixed(gate_logit_NM: Tensor, answer_NMD: Tensor, open_NM: Tensor | None = None) -> Tensor:
    """[N, D] the experts' answers weighted by a softmax over those that are open."""
    if open_NM is not None:
        gate_logit_NM = gate_logit_NM.masked_fill(~open_NM, float("-inf"))
    return torch.einsum("nm,nmd->nd", gate_logit_NM.softmax(-1), answer_NMD)


EXPERTS: Registry[Experts] = Registry("quintet.nn.experts", Experts, "kind of experts")  # type: ignore[type-abstract]
