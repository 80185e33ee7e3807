"""The content tower's item side: every modality of an entity's attributes in one vector."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import build
from quintet.data.features import FeatureTable
from quintet.nn.dropout import Dropout
from quintet.nn.modalities.base import MODALITIES, Arrays, Modality, fast_bfloat16

Inputs = dict[str, dict[str, Tensor]]
ModalitySettings = Mapping[str, Mapping[str, Any]]
#: entities from which on a training step reads them in bfloat16
MANY = 2048
#: what a modality was built with, beside its statistics
SETTINGS = "settings"


class ContentEncoder(nn.Module):
    """Joins all modalities that apply to a table: summed in one hidden layer, then projected.

    In training a modality is withheld from an entity now and then, as if it had no value there, so
    that an entity added with a title alone is one of a kind that the encoder has met. One at least
    is left (as in ModDrop: Neverova et al. 2016).

    Shapes: N entities, M modalities, D output width.
    """

    def __init__(
        self, width: int, hidden: int = 256, dropout: float = 0.1, withheld: float = 0.0
    ) -> None:
        super().__init__()
        self.width = width
        self.hidden = hidden
        self.withheld = withheld
        self.modalities = nn.ModuleDict()
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(hidden, width)

    @classmethod
    def fitted(
        cls,
        table: FeatureTable,
        width: int,
        extra: Collection[str] = (),
        settings: ModalitySettings | None = None,
        withheld: float = 0.0,
    ) -> ContentEncoder | None:
        """An encoder for the columns of ``table``; None where it has none that a modality reads.

        Args:
            table: the attributes.
            width: of the vectors, D.
            extra: modalities used beside those that always are.
            settings: of the modalities, by name.
            withheld: share of modalities withheld in training.

        Raises:
            ConfigError: there is no modality of such a name, or no such setting of it.
            MissingExtraError: an optional package of one is not installed.
        """
        encoder = cls(width, withheld=withheld)
        usual = [name for name, part in MODALITIES.parts.items() if part.by_default]
        encoder.add(table, [*usual, *extra], settings)
        return encoder if len(encoder.modalities) else None

    def add(
        self, table: FeatureTable, names: Iterable[str], settings: ModalitySettings | None = None
    ) -> list[str]:
        """Fit more modalities, in alphabetical order, where they apply; returns which.

        Raises:
            ConfigError: there is no modality of such a name, or no such setting of it.
            MissingExtraError: an optional package of one is not installed.
        """
        added = []
        for name in sorted(set(names) - set(self.modalities)):
            part = MODALITIES.get(name)
            if part.applies(table):
                modality = _made(name, self.hidden, settings)
                modality.fit(table)
                self.modalities[name] = modality
                added.append(name)
        return added

    def prepare(self, table: FeatureTable) -> Inputs:
        """All that can be computed once, by modality."""
        return {name: self._modality(name).prepare(table) for name in self.modalities}

    def forward(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """[N, D] vectors from what :meth:`prepare` made."""
        first, *others = self._parts(inputs)
        low = reads_low(self, first)
        hidden_NH = first.to(torch.bfloat16 if low else self.project.weight.dtype)
        for other in others:
            hidden_NH = hidden_NH + other.to(hidden_NH.dtype)
        hidden_NH = self.dropout(F.gelu(hidden_NH))
        with torch.autocast(first.device.type, torch.bfloat16, enabled=low):
            out: Tensor = self.project(hidden_NH)
        return out.float()

    def _parts(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> list[Tensor]:
        """By modality, [N, H] what it says of every entity; some withheld in training."""
        parts = [self._modality(name)(inputs[name]) for name in self.modalities]
        if self.training and self.withheld and len(parts) > 1:
            return list(self._withhold(torch.stack(parts)))
        return parts

    def _withhold(self, part_MNH: Tensor) -> Tensor:
        """Some modalities of some entities as if they had no value."""
        drawn_MN = torch.rand(part_MNH.shape[:2], device=part_MNH.device) < self.withheld
        drawn_MN &= ~drawn_MN.all(0)
        rows = []
        for part_NH, drawn_N, name in zip(part_MNH, drawn_MN, self.modalities, strict=True):
            modality = self._modality(name)
            nothing = modality.nothing()
            if nothing is None:
                rows.append(part_NH)
                continue
            on_device = {key: value.to(part_NH.device) for key, value in nothing.items()}
            rows.append(torch.where(drawn_N[:, None], modality(on_device), part_NH))
        return torch.stack(rows)

    def _modality(self, name: str) -> Modality:
        modality = self.modalities[name]
        assert isinstance(modality, Modality)
        return modality

    def statistics(self) -> tuple[Arrays, dict[str, Any]]:
        """Frozen statistics of the modalities: arrays keyed ``modality.array``, and JSON."""
        arrays, meta = {}, {}
        for name in self.modalities:
            modality = self._modality(name)
            own_arrays, own_meta = modality.statistics()
            arrays.update({f"{name}.{key}": value for key, value in own_arrays.items()})
            meta[name] = own_meta | {SETTINGS: modality.config.model_dump(mode="json")}
        return arrays, meta

    @classmethod
    def restored(
        cls,
        arrays: Arrays,
        meta: Mapping[str, Any],
        width: int,
        settings: ModalitySettings | None = None,
        withheld: float = 0.0,
    ) -> ContentEncoder | None:
        """The encoder that :meth:`statistics` described, its weights still to be loaded.

        ``settings`` are for what was written before modalities kept their own (0.2).
        """
        encoder = cls(width, withheld=withheld)
        for name, own_meta in meta.items():
            prefix = f"{name}."
            own = {key[len(prefix) :]: arrays[key] for key in arrays if key.startswith(prefix)}
            kept = settings if SETTINGS not in own_meta else {name: own_meta[SETTINGS]}
            modality = _made(name, encoder.hidden, kept)
            modality.restore(own, own_meta)
            encoder.modalities[name] = modality
        return encoder if len(encoder.modalities) else None


def _made(name: str, width: int, settings: ModalitySettings | None) -> Modality:
    part = MODALITIES.get(name)
    given = (settings or {}).get(name, {})
    return part(width, build(part.Config, given, f"modality_settings.{name}"))


def reads_low(module: nn.Module, rows_N: Tensor) -> bool:
    """Whether a module reads so many entities, in training, that bfloat16 pays."""
    return module.training and len(rows_N) >= MANY and fast_bfloat16(rows_N.device.type)


def to_device(inputs: Mapping[str, Mapping[str, Tensor]], device: torch.device) -> Inputs:
    """Prepared inputs on another device."""
    return {
        name: {key: value.to(device) for key, value in own.items()} for name, own in inputs.items()
    }
