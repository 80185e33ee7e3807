"""Categories: one learned vector each, averaged over a row's categories."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from quintet.data.features import FeatureTable
from quintet.nn.modalities.base import Arrays, Modality


class Category(Modality):
    """All category columns; an empty row gets the column's learned "missing" vector."""

    name = "category"

    def __init__(self, width: int, config: Modality.Config | None = None) -> None:
        super().__init__(width, config)
        self.sizes: dict[str, int] = {}
        self.tables = nn.ModuleList()

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return bool(table.categories)

    def fit(self, table: FeatureTable) -> None:
        """See :meth:`Modality.fit`."""
        self._shape({name: len(column.names) for name, column in table.categories.items()})

    def _shape(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        bags = [nn.EmbeddingBag(size + 1, self.width, mode="mean") for size in sizes.values()]
        for bag in bags:
            nn.init.normal_(bag.weight, std=self.width**-0.5)
        self.tables = nn.ModuleList(bags)

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """Padded code lists: [N, widest] with the "missing" code 0 where a row has none."""
        inputs = {}
        for name in self.sizes:
            column = table.categories[name]
            count = torch.from_numpy(column.offsets).diff()
            widest = int(count.max().clamp_min(1)) if len(count) else 1
            codes = torch.full((table.n_rows, widest), -1, dtype=torch.long)
            slot = torch.arange(widest)[None, :] < count[:, None]
            codes[slot] = torch.from_numpy(column.codes) + 1
            codes[count == 0, 0] = 0
            inputs[name] = codes
        return inputs

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        total: Tensor | None = None
        for name, bag in zip(self.sizes, self.tables, strict=True):
            codes = inputs[name]
            real = codes >= 0
            offsets = torch.cat([real.new_zeros(1, dtype=torch.long), real.sum(1).cumsum(0)])[:-1]
            vector: Tensor = bag(codes[real], offsets)
            total = vector if total is None else total + vector
        assert total is not None
        return total

    def nothing(self) -> dict[str, Tensor]:
        """See :meth:`Modality.nothing`."""
        return {name: torch.zeros(1, 1, dtype=torch.long) for name in self.sizes}

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`."""
        return {}, {"sizes": self.sizes}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        del arrays
        sizes = meta["sizes"]
        assert isinstance(sizes, dict)
        self._shape(sizes)
