"""Multi-gate mixture of experts (Ma et al. 2018, KDD, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quintet.config import tunable
from quintet.nn.experts.base import Experts, mixed


class MultiGate(Experts):
    """All experts are shared; every reader has a gate, which the request moves (equations 5, 6)."""

    name = "mmoe"

    class Config(Experts.Config):
        """Settings of the mixture."""

        experts: int = tunable(4, choices=[2, 4, 8], description="shared by all")

    config: Config

    def __init__(
        self, width: int, readers: Sequence[str], n_scenarios: int, config: Config | None = None
    ) -> None:
        super().__init__(width, readers, n_scenarios, config if config else self.Config())
        self.experts = nn.ModuleList(self.expert() for _ in range(self.config.experts))
        self.gates = nn.ModuleDict(
            {reader: nn.Linear(width, self.config.experts) for reader in readers}
        )

    def changes(self, informed_ND: Tensor, scenario_N: Tensor) -> dict[str, Tensor]:
        """See :meth:`Experts.changes`."""
        del scenario_N
        answer_NMD = torch.stack([expert(informed_ND) for expert in self.experts], dim=1)
        return {
            reader: mixed(self.gates[reader](informed_ND), answer_NMD) for reader in self.readers
        }
