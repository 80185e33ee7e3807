"""How the tasks' losses become one: ``L = Σ_t λ_t L_t`` with weights fixed or learned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

BalanceName = Literal["fixed", "uncertainty"]


class Balance(nn.Module):
    """Sums the losses of the tasks.

    ``weights`` are the λ that the user gave, ``shares`` the shares of the steps in which tasks
    learn, 1 where absent: a task that rests in some steps weighs as much more in the others, so
    that the gradient is the same on average.
    """

    def __init__(
        self, weights: Mapping[str, float], shares: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.shares = {task: (shares or {}).get(task, 1.0) for task in weights}

    def drawn(self, tasks: Iterable[str]) -> list[str]:
        """Those of the given tasks that learn in this step; it may be none."""
        return [
            task for task in tasks if self.shares[task] == 1 or torch.rand(()) < self.shares[task]
        ]

    @abstractmethod
    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """One scalar from the losses by task."""

    def current(self) -> dict[str, float]:
        """The effective weight of every task now, over all steps."""
        return dict(self.weights)

    def _in_step(self, task: str) -> float:
        return self.weights[task] / self.shares[task]


class FixedBalance(Balance):
    """The λ as given."""

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Balance.forward`."""
        return torch.stack([self._in_step(task) * loss for task, loss in losses.items()]).sum()


class UncertaintyBalance(Balance):
    """λ learned as homoscedastic uncertainty (Kendall, Gal & Cipolla 2018, equation 10).

    ``L = Σ_t λ_t (exp(−s_t) L_t + s_t / 2)`` with one learned log variance ``s_t`` a task. A task
    of weight 0 stays off.
    """

    def __init__(
        self, weights: Mapping[str, float], shares: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(weights, shares)
        self.log_variance = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(())) for task in weights}
        )

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Balance.forward`."""
        terms = []
        for task, loss in losses.items():
            log_variance = self.log_variance[task]
            term = torch.exp(-log_variance) * loss + log_variance / 2
            terms.append(self._in_step(task) * term)
        return torch.stack(terms).sum()

    def current(self) -> dict[str, float]:
        """See :meth:`Balance.current`."""
        return {
            task: weight * float(torch.exp(-self.log_variance[task].detach()))
            for task, weight in self.weights.items()
        }


def make_balance(
    name: BalanceName, weights: Mapping[str, float], shares: Mapping[str, float] | None = None
) -> Balance:
    """The balance called ``name`` over the tasks of ``weights``."""
    kinds: dict[str, type[Balance]] = {"fixed": FixedBalance, "uncertainty": UncertaintyBalance}
    return kinds[name](weights, shares)
