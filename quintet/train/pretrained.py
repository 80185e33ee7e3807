"""What pre-training leaves behind: a content encoder and a tower that read any like catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from quintet.bundle import Arrays, BundleFiles, read_bundle, write_bundle
from quintet.config import build
from quintet.errors import BundleError, CorruptBundleError
from quintet.nn.content import ContentEncoder
from quintet.nn.model import ModelConfig, make_tower
from quintet.nn.tower import Tower
from quintet.serve.trained import PRETRAINED, Trained

WEIGHTS = ("encoder", "tower", "content_bias")


@dataclass(eq=False)
class Pretrained:
    """The parts of a network that know no item by its row.

    Attributes:
        encoder: from an item's attributes to its vector.
        tower: from content vectors of a history to its state.
        content_bias: from a content vector to the item's bias.
        config: width, window and backbone.
        behaviours: names of the behaviours that the tower was taught.
        run: how it was made: JSON-able.
    """

    encoder: ContentEncoder
    tower: Tower
    content_bias: nn.Linear
    config: ModelConfig
    behaviours: list[str]
    run: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> Path:
        """Write it, whole or not at all, in the files of a bundle.

        Raises:
            BundleError: something that is no bundle stands at ``folder``.
        """
        arrays, modalities = self.encoder.statistics()
        weights: Arrays = {
            f"{part}.{name}": value.detach().cpu().numpy()
            for part in WEIGHTS
            for name, value in getattr(self, part).state_dict().items()
        }
        run = {
            "kind": PRETRAINED,
            "model": self.config.model_dump(mode="json"),
            "modalities": modalities,
            "behaviours": self.behaviours,
            "run": self.run,
        }
        files = BundleFiles({"weights": weights, "features": dict(arrays)}, {}, run, self._card())
        return write_bundle(folder, files)

    def _card(self) -> str:
        domains = self.run.get("domains", {})
        lines = [
            "# quintet pre-training",
            "",
            f"Made by quintet {self.run.get('version', '?')} on {self.run.get('created', '?')}. It "
            "answers nothing yet: fine-tune it with `quintet finetune`.",
            "",
            *(f"- {name}: {events:,} events" for name, events in domains.items()),
            f"- objectives: {', '.join(self.run.get('objectives', []))}",
            f"- reads of an item: {', '.join(self.encoder.modalities)}",
            "",
        ]
        return "\n".join(lines)

    @classmethod
    def load(cls, folder: str | Path) -> Pretrained:
        """What ``quintet pretrain`` wrote, or the content tower of a trained bundle.

        Raises:
            BundleError: there is no bundle, it is damaged, or it holds no content tower.
        """
        files = read_bundle(folder)
        if files.run.get("kind") != PRETRAINED:
            return cls.of(Trained.load(folder))
        try:
            return cls._from_files(files)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CorruptBundleError(
                f"{folder}: its files do not fit together ({error})"
            ) from error

    @classmethod
    def _from_files(cls, files: BundleFiles) -> Pretrained:
        run = files.run
        config = build(ModelConfig, run["model"], "run.json: model")
        encoder = ContentEncoder.restored(files.arrays["features"], run["modalities"], config.width)
        assert encoder is not None
        made = cls.untrained(encoder, config, run["behaviours"])
        for part in WEIGHTS:
            prefix = f"{part}."
            own = {
                name[len(prefix) :]: torch.from_numpy(np.array(value))
                for name, value in files.arrays["weights"].items()
                if name.startswith(prefix)
            }
            getattr(made, part).load_state_dict(own)
        made.run = run["run"]
        return made

    @classmethod
    def untrained(
        cls, encoder: ContentEncoder, config: ModelConfig, behaviours: Sequence[str]
    ) -> Pretrained:
        """The same parts with first weights; values and scenarios are no part of what transfers."""
        tower = make_tower(config, "content", n_behaviours=len(behaviours))
        bias = nn.Linear(config.width, 1, bias=False)
        return cls(encoder, tower, bias, config, list(behaviours))

    @classmethod
    def of(cls, trained: Trained) -> Pretrained:
        """The content tower of a model that was trained on one data set.

        Raises:
            BundleError: it has none, so that nothing of it could read another catalogue.
        """
        model = trained.model
        if model.item_encoder is None or "content" not in model.towers:
            raise BundleError(
                "this bundle has no content tower, and its item vectors mean nothing elsewhere; "
                "train one whose catalogue has text, or run quintet pretrain"
            )
        tower = model.towers["content"]
        assert isinstance(tower, Tower)
        run: Mapping[str, Any] = {
            "domains": {trained.run.get("dataset", "?"): len(trained.events)},
            "objectives": ["training"],
        }
        return cls(
            model.item_encoder,
            tower,
            model.content_bias,
            model.config,
            model.shape.behaviours,
            dict(run),
        )
