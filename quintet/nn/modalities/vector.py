"""Precomputed vectors (audio, video, another encoder's): standardised and projected."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from quintet.data.features import FeatureTable
from quintet.nn.modalities.base import Arrays, Modality, standard


class Vector(Modality):
    """All precomputed vector columns side by side; a missing one gets a learned vector."""

    name = "vector"

    def __init__(self, width: int, config: Modality.Config | None = None) -> None:
        super().__init__(width, config)
        self.sizes: dict[str, int] = {}
        self.project = nn.Linear(1, width)
        self.mean_K = torch.zeros(0)
        self.scale_K = torch.ones(0)

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return bool(table.vectors)

    def fit(self, table: FeatureTable) -> None:
        """See :meth:`Modality.fit`."""
        self._shape({name: column.values.shape[1] for name, column in table.vectors.items()})
        vector_NK, present_NC = self._stack(table)
        known_NK = vector_NK.masked_fill(~self._by_number(present_NC), torch.nan)
        self.mean_K, self.scale_K = map(torch.from_numpy, standard(known_NK.numpy()))

    def _shape(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.project = nn.Linear(sum(sizes.values()) + len(sizes), self.width)

    def _stack(self, table: FeatureTable) -> tuple[Tensor, Tensor]:
        columns = [table.vectors[name] for name in self.sizes]
        values = np.concatenate([column.values for column in columns], axis=1)
        present = np.stack([column.present for column in columns], axis=1)
        return torch.from_numpy(values), torch.from_numpy(present)

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """``vector`` [N, K] standardised, 0 where missing; ``missing`` [N, C] as numbers."""
        vector_NK, present_NC = self._stack(table)
        standard_NK = (vector_NK - self.mean_K) / self.scale_K
        return {
            "vector": standard_NK.masked_fill(~self._by_number(present_NC), 0.0),
            "missing": (~present_NC).to(vector_NK.dtype),
        }

    def _by_number(self, present_NC: Tensor) -> Tensor:
        """[N, K] whether each number of the vectors is there."""
        return present_NC.repeat_interleave(torch.tensor(list(self.sizes.values())), dim=1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        out: Tensor = self.project(torch.cat([inputs["vector"], inputs["missing"]], dim=1))
        return out

    def nothing(self) -> dict[str, Tensor]:
        """See :meth:`Modality.nothing`."""
        return {
            "vector": torch.zeros(1, len(self.mean_K)),
            "missing": torch.ones(1, len(self.sizes)),
        }

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`."""
        return {"mean": self.mean_K.numpy(), "scale": self.scale_K.numpy()}, {"sizes": self.sizes}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        sizes = meta["sizes"]
        assert isinstance(sizes, dict)
        self._shape(sizes)
        self.mean_K = torch.from_numpy(arrays["mean"].astype(np.float32))
        self.scale_K = torch.from_numpy(arrays["scale"].astype(np.float32))
