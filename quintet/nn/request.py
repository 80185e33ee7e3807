"""The request as a vector: scenario, hour, weekday, device and query, where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from quintet.data.requests import QUERY_HASHES
from quintet.nn.shape import DataShape

HOUR = 3_600_000_000
#: 1970 began on a Thursday
FIRST_WEEKDAY = 3


class RequestEncoder(nn.Module):
    """A sum of embeddings that start at zero: an unknown field, or one never met, adds nothing.

    Args:
        width: D.
        shape: of the data set.
        fields: which of ``data/requests.py``'s fields are read.
        withheld: share of requests in training of which each field is not told, so that the model
            serves those who do not tell it.
    """

    def __init__(
        self, width: int, shape: DataShape, fields: Sequence[str], withheld: float
    ) -> None:
        super().__init__()
        self.fields = list(fields)
        self.withheld = withheld
        sizes = {
            "scenario": {"scenario": len(shape.scenarios)},
            "time": {"hour": 24, "weekday": 7},
            "device": {"device": len(shape.devices)},
            "query": {"query": QUERY_HASHES},
        }
        chosen = {name: size for one in self.fields for name, size in sizes[one].items()}
        # row 0 stands for "unknown" and stays zero
        self.tables = nn.ModuleDict(
            {name: nn.Embedding(size + 1, width, padding_idx=0) for name, size in chosen.items()}
        )
        for table in self.tables.values():
            assert isinstance(table, nn.Embedding)
            nn.init.zeros_(table.weight)

    def told(self, request: Mapping[str, Tensor] | None, n: int) -> dict[str, Tensor]:
        """The fields that are read, -1 where unknown; in training some are withheld."""
        device = next(self.parameters()).device
        unknown_N = torch.full((n,), -1, dtype=torch.long, device=device)
        told = {}
        for name in self.fields:
            given = unknown_N if request is None else request.get(name, unknown_N)
            if self.training and self.withheld:
                dropped_N = torch.rand(n, device=device) < self.withheld
                dropped = dropped_N.view(-1, *[1] * (given.dim() - 1))
                given = torch.where(dropped, torch.full_like(given, -1), given)
            told[name] = given
        return told

    def forward(self, told: Mapping[str, Tensor]) -> Tensor:
        """[N, D] of what is told."""
        parts = []
        for name, given in told.items():
            if name == "time":
                known = given > 0
                hour = torch.where(known, given // HOUR, -1)
                weekday = (hour // 24 + FIRST_WEEKDAY) % 7
                parts.append(self.tables["hour"](torch.where(known, hour % 24, -1) + 1))
                parts.append(self.tables["weekday"](torch.where(known, weekday, -1) + 1))
            else:
                vector = self.tables[name](given + 1)
                parts.append(vector.sum(1) if vector.dim() == 3 else vector)
        return torch.stack(parts).sum(0)


def usable_fields(shape: DataShape, wanted: Sequence[str]) -> list[str]:
    """The wanted fields that tell anything apart in this data set."""
    tells = {
        "scenario": len(shape.scenarios) > 1,
        "time": shape.timed,
        "device": len(shape.devices) > 1,
        "query": shape.queries,
    }
    return [name for name in wanted if tells[name]]
