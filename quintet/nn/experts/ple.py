"""Progressive layered extraction, one level (Tang et al. 2020, RecSys, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quintet.config import tunable
from quintet.nn.experts.base import Experts, mixed


class CustomizedGate(Experts):
    """Some experts are shared; every reader and every scenario has one of its own (equation 1).

    A reader's gate chooses among the shared experts, its own, and that of the scenario asked for.
    In an unknown scenario the last is closed.
    """

    name = "ple"

    class Config(Experts.Config):
        """Settings of the mixture."""

        shared: int = tunable(2, choices=[1, 2, 4], description="experts shared by all")

    config: Config

    def __init__(
        self, width: int, readers: Sequence[str], n_scenarios: int, config: Config | None = None
    ) -> None:
        super().__init__(width, readers, n_scenarios, config if config else self.Config())
        self.shared = nn.ModuleList(self.expert() for _ in range(self.config.shared))
        self.own = nn.ModuleDict({reader: self.expert() for reader in readers})
        self.local = nn.ModuleList(self.expert() for _ in range(n_scenarios))
        self.gates = nn.ModuleDict(
            {reader: nn.Linear(width, self.config.shared + 2) for reader in readers}
        )

    def changes(self, informed_ND: Tensor, scenario_N: Tensor) -> dict[str, Tensor]:
        """See :meth:`Experts.changes`."""
        common = [expert(informed_ND) for expert in self.shared]
        local_ND = torch.zeros_like(informed_ND)
        for scenario, expert in enumerate(self.local):
            here = (scenario_N == scenario)[:, None]
            local_ND = torch.where(here, expert(informed_ND), local_ND)
        open_NM = torch.ones(len(informed_ND), len(common) + 2, device=informed_ND.device).bool()
        open_NM[:, -1] = scenario_N >= 0
        change = {}
        for reader in self.readers:
            answer_NMD = torch.stack([*common, self.own[reader](informed_ND), local_ND], dim=1)
            change[reader] = mixed(self.gates[reader](informed_ND), answer_NMD, open_NM)
        return change
