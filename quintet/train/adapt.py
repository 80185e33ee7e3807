"""What differs from one data set to the next is read off the data, not set by a person."""

from __future__ import annotations

from quintet.data.interactions import Interactions
from quintet.nn.model import ModelConfig, TowerName

#: below so many training events an item, its own vector is learned from little
DENSE_FROM = 30.0
SPARSE_DROPOUT: dict[TowerName, float] = {"identity": 0.5, "content": 0.2}


def adapted(config: ModelConfig, events: Interactions) -> ModelConfig:
    """The settings with dropout chosen by how often items are met, where it was left open.

    Where items are rare the identity tower learns them by heart and needs much dropout; the content
    tower shares what it learns between items and needs little.
    """
    met = int((events.item_counts() > 0).sum())
    if "dropout" in config.backbone_settings or len(events) >= DENSE_FROM * max(met, 1):
        return config
    towers = {
        name: {"dropout": rate} | config.tower_settings.get(name, {})
        for name, rate in SPARSE_DROPOUT.items()
    }
    return config.model_copy(update={"tower_settings": towers})
