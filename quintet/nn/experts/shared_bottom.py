"""One network for all tasks and scenarios (Caruana 1997)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from quintet.nn.experts.base import Experts


class SharedBottom(Experts):
    """Every reader reads the same state; only the request tells scenarios apart."""

    name = "shared_bottom"

    def __init__(
        self,
        width: int,
        readers: Sequence[str],
        n_scenarios: int,
        config: Experts.Config | None = None,
    ) -> None:
        super().__init__(width, readers, n_scenarios, config)
        self.bottom = self.expert()

    def changes(self, informed_ND: Tensor, scenario_N: Tensor) -> dict[str, Tensor]:
        """See :meth:`Experts.changes`."""
        del scenario_N
        same_ND = self.bottom(informed_ND)
        return dict.fromkeys(self.readers, same_ND)
