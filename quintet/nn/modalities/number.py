"""Numbers: raw value and quantile bin side by side, with a learned "missing"."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.nn.modalities.base import Arrays, Modality


class Number(Modality):
    """All numeric columns; the table holds them as quantiles scaled to [-1, 1]."""

    name = "number"

    class Config(Modality.Config):
        """Settings of the numeric encoder."""

        bins: int = tunable(16, choices=[8, 16, 32], description="quantile bins of a column")

    def __init__(self, width: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, settings)
        self.bins = settings.bins
        self.columns: list[str] = []
        self.tables = nn.ModuleList()
        self.slope = nn.Linear(1, width, bias=False)

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return bool(table.numbers)

    def fit(self, table: FeatureTable) -> None:
        """See :meth:`Modality.fit`."""
        self._shape(list(table.numbers))

    def _shape(self, columns: list[str]) -> None:
        self.columns = columns
        tables = [nn.Embedding(self.bins + 1, self.width) for _ in columns]
        for table in tables:
            nn.init.normal_(table.weight, std=self.width**-0.5)
        self.tables = nn.ModuleList(tables)
        self.slope = nn.Linear(max(len(columns), 1), self.width, bias=False)

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """``value`` [N, C] and ``bin`` [N, C], where bin 0 means missing."""
        values, bins = [], []
        for name in self.columns:
            column = table.numbers[name]
            value = torch.from_numpy(column.values)
            bucket = ((value + 1) / 2 * self.bins).long().clamp(0, self.bins - 1) + 1
            values.append(value)
            bins.append(torch.where(torch.from_numpy(column.present), bucket, 0))
        return {"value": torch.stack(values, 1), "bin": torch.stack(bins, 1)}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        total: Tensor = self.slope(inputs["value"])
        for index, table in enumerate(self.tables):
            total = total + table(inputs["bin"][:, index])
        return total

    def nothing(self) -> dict[str, Tensor]:
        """See :meth:`Modality.nothing`."""
        columns = len(self.columns)
        return {"value": torch.zeros(1, columns), "bin": torch.zeros(1, columns, dtype=torch.long)}

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`."""
        return {}, {"columns": self.columns}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        del arrays
        columns = meta["columns"]
        assert isinstance(columns, list)
        self._shape([str(name) for name in columns])
