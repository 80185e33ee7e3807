"""The content tower's item side: every modality of an entity's attributes in one vector."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.data.features import FeatureTable
from quintet.nn.dropout import Dropout
from quintet.nn.modalities.base import MODALITIES, Arrays, Modality, fast_bfloat16

Inputs = dict[str, dict[str, Tensor]]
#: entities from which on a training step reads them in bfloat16
MANY = 2048


class ContentEncoder(nn.Module):
    """Joins all modalities that apply to a table: summed in one hidden layer, then projected.

    Shapes: N entities, D output width.
    """

    def __init__(self, width: int, hidden: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.hidden = hidden
        self.modalities = nn.ModuleDict()
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(hidden, width)

    @classmethod
    def fitted(
        cls, table: FeatureTable, width: int, extra: Collection[str] = ()
    ) -> ContentEncoder | None:
        """An encoder for the columns of ``table``; None where it has none that a modality reads.

        Args:
            table: the attributes.
            width: of the vectors, D.
            extra: modalities used beside those that always are.

        Raises:
            ConfigError: there is no modality of such a name.
            MissingExtraError: an optional package of one is not installed.
        """
        encoder = cls(width)
        usual = [name for name, part in MODALITIES.parts.items() if part.by_default]
        encoder.add(table, [*usual, *extra])
        return encoder if len(encoder.modalities) else None

    def add(self, table: FeatureTable, names: Iterable[str]) -> list[str]:
        """Fit more modalities, in alphabetical order, where they apply; returns which.

        Raises:
            ConfigError: there is no modality of such a name.
            MissingExtraError: an optional package of one is not installed.
        """
        added = []
        for name in sorted(set(names) - set(self.modalities)):
            part = MODALITIES.get(name)
            if part.applies(table):
                modality = part(self.hidden)
                modality.fit(table)
                self.modalities[name] = modality
                added.append(name)
        return added

    def prepare(self, table: FeatureTable) -> Inputs:
        """All that can be computed once, by modality."""
        return {name: self._modality(name).prepare(table) for name in self.modalities}

    def forward(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """[N, D] vectors from what :meth:`prepare` made."""
        first, *others = (self._modality(name)(inputs[name]) for name in self.modalities)
        low = reads_low(self, first)
        hidden_NH = first.to(torch.bfloat16 if low else self.project.weight.dtype)
        for other in others:
            hidden_NH = hidden_NH + other.to(hidden_NH.dtype)
        hidden_NH = self.dropout(F.gelu(hidden_NH))
        with torch.autocast(first.device.type, torch.bfloat16, enabled=low):
            out: Tensor = self.project(hidden_NH)
        return out.float()

    def _modality(self, name: str) -> Modality:
        modality = self.modalities[name]
        assert isinstance(modality, Modality)
        return modality

    def statistics(self) -> tuple[Arrays, dict[str, Any]]:
        """Frozen statistics of the modalities: arrays keyed ``modality.array``, and JSON."""
        arrays, meta = {}, {}
        for name in self.modalities:
            own_arrays, own_meta = self._modality(name).statistics()
            arrays.update({f"{name}.{key}": value for key, value in own_arrays.items()})
            meta[name] = own_meta
        return arrays, meta

    @classmethod
    def restored(cls, arrays: Arrays, meta: Mapping[str, Any], width: int) -> ContentEncoder | None:
        """The encoder that :meth:`statistics` described, its weights still to be loaded."""
        encoder = cls(width)
        for name, own_meta in meta.items():
            prefix = f"{name}."
            own = {key[len(prefix) :]: arrays[key] for key in arrays if key.startswith(prefix)}
            modality = MODALITIES.get(name)(encoder.hidden)
            modality.restore(own, own_meta)
            encoder.modalities[name] = modality
        return encoder if len(encoder.modalities) else None


def reads_low(module: nn.Module, rows_N: Tensor) -> bool:
    """Whether a module reads so many entities, in training, that bfloat16 pays."""
    return module.training and len(rows_N) >= MANY and fast_bfloat16(rows_N.device.type)


def to_device(inputs: Mapping[str, Mapping[str, Tensor]], device: torch.device) -> Inputs:
    """Prepared inputs on another device."""
    return {
        name: {key: value.to(device) for key, value in own.items()} for name, own in inputs.items()
    }
