"""Where a training starts from when something was pre-trained: what is taken over, what may move.

The pre-trained encoder and tower become the content tower. Everything else (identity vectors,
tasks, memories, gates) belongs to the new data set and is learned there in every mode.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from quintet.data.features import FeatureTable
from quintet.errors import DataError
from quintet.nn.adapters import adapt, fold
from quintet.nn.content import ContentEncoder
from quintet.nn.modalities.base import MODALITIES
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.nn.tower import Tower
from quintet.train.pretrained import Pretrained

Moves = Literal["frozen", "adapter", "full"]
#: first weights of what an item is read by beside what was pre-trained, relative to usual ones
FAINT = 0.1


@dataclass(frozen=True)
class Start:
    """A pre-trained start, and how much of it training may change.

    Attributes:
        pretrained: encoder and tower.
        moves: ``frozen`` leaves both as they are, ``adapter`` learns low-rank changes of their
            matrices, ``full`` trains them.
        rank: of the low-rank changes.
    """

    pretrained: Pretrained
    moves: Moves
    rank: int = 8

    def encoder(self, table: FeatureTable, config: ModelConfig) -> ContentEncoder:
        """The pre-trained encoder of texts; unless it is frozen, with the other modalities.

        Categories, numbers and vectors mean something else in every catalogue: what was learned of
        them elsewhere is left behind.

        Args:
            table: attributes of the new catalogue.
            config: names modalities beside those that always are used, with settings of all.

        Raises:
            DataError: nothing that the encoder reads is in the table.
        """
        self.check(table)
        encoder = copy.deepcopy(self.pretrained.encoder)
        encoder.withheld = config.modality_dropout
        for name in set(encoder.modalities) - set(self.carried):
            del encoder.modalities[name]
        if self.moves == "frozen":
            return encoder
        usual = [name for name, part in MODALITIES.parts.items() if part.by_default]
        wanted = [*usual, *config.modalities]
        with torch.no_grad():
            for name in encoder.add(table, wanted, config.modality_settings):
                for parameter in encoder.modalities[name].parameters():
                    parameter.mul_(FAINT)
        return encoder

    def check(self, table: FeatureTable) -> None:
        """Refuse a catalogue that has nothing of what was pre-trained.

        Raises:
            DataError: nothing that the encoder reads is in the table.
        """
        if not any(MODALITIES.get(name).applies(table) for name in self.carried):
            raise DataError(
                f"the pre-trained encoder reads {', '.join(self.carried) or 'no text'}, and this "
                "catalogue has nothing of that; give a table of items with a text column"
            )

    @property
    def carried(self) -> list[str]:
        """The modalities that are taken over."""
        learned = self.pretrained.encoder.modalities
        return [name for name in learned if MODALITIES.get(name).transfers]

    def into(self, model: QuintetModel) -> None:
        """Take over the tower's weights and freeze what may not move, in place.

        Raises:
            DataError: the model has no content tower.
        """
        tower, encoder = _content(model)
        self._take_over(tower, model)
        model.content_bias.load_state_dict(self.pretrained.content_bias.state_dict())
        known = [encoder.modalities[name] for name in self.carried]
        for part in (tower.backbone, encoder.project, *known):
            if self.moves == "adapter":
                adapt(part, self.rank)
            elif self.moves == "frozen":
                part.requires_grad_(False)
        if self.moves == "frozen":
            tower.requires_grad_(False)

    def finish(self, model: QuintetModel) -> None:
        """Leave a model like any other behind: adapters folded in, everything free to move."""
        tower, encoder = _content(model)
        for part in (tower, encoder):
            fold(part)

    @torch.no_grad()
    def _take_over(self, tower: Tower, model: QuintetModel) -> None:
        """Weights by name; the rows of behaviours by the names of the behaviours."""
        own, learned = tower.state_dict(), self.pretrained.tower.state_dict()
        for name, weight in learned.items():
            if name == "embedder.behaviour.weight":
                self._behaviours(own[name], weight, model.shape.behaviours)
            elif not name.startswith(("embedder.scenario", "embedder.level", "embedder.edges")):
                own[name].copy_(weight)

    def _behaviours(self, own_BD: Tensor, learned_BD: Tensor, names: list[str]) -> None:
        for row, name in enumerate(names):
            if name in self.pretrained.behaviours:
                own_BD[row] = learned_BD[self.pretrained.behaviours.index(name)]


def _content(model: QuintetModel) -> tuple[Tower, ContentEncoder]:
    if "content" not in model.towers or model.item_encoder is None:
        raise DataError(
            "pre-training is carried by the content tower, and this model has none; "
            'keep "content" in model.towers and give the catalogue a text column'
        )
    tower: nn.Module = model.towers["content"]
    assert isinstance(tower, Tower)
    return tower, model.item_encoder
