"""Self-supervised pre-training on one or several unlabelled logs at once.

Every domain keeps its own catalogue, so that an item competes with its own kind alone; the content
encoder and the tower are shared, and are all that is kept. What bridges the domains is what their
items have in common: words.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quintet.allocator import reusing_memory
from quintet.config import Config, build
from quintet.data.batch import Windows, collate, gap_buckets, length_bucketed, training_windows
from quintet.data.encode import Encoded
from quintet.data.feature_encoder import FeatureEncoder
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions, seeded_hash
from quintet.errors import ConfigError, DataError
from quintet.nn.content import ContentEncoder, Inputs, to_device
from quintet.nn.device import pick_device
from quintet.nn.items import ItemVectors
from quintet.nn.modalities.base import MODALITIES
from quintet.nn.model import ModelConfig
from quintet.nn.objectives.base import OBJECTIVES, Objective, PretrainStep
from quintet.train.loop import LoopConfig, OnStep, deterministic, learning_rate, passes
from quintet.train.pipeline import attribute_types, attributes, version
from quintet.train.prepare import some_positions
from quintet.train.pretrained import Pretrained

#: users of a domain whose histories are kept out to measure the objectives, at most
MOST_HELD_OUT = 1000
HELD_OUT_SHARE = 0.05
LARGE_CATALOGUE = 4096
#: what is learned where nothing is said, with settings
DEFAULT_OBJECTIVES: dict[str, dict[str, Any]] = {"causal": {}, "contrast": {}, "alignment": {}}


class PretrainConfig(Config):
    """Settings of pre-training.

    Of ``model`` the width, the window and the backbone count; what an item is read by is
    ``modalities``: those that read texts and need no package where nothing is said.
    """

    model: ModelConfig = ModelConfig()
    modalities: tuple[str, ...] = ()
    objectives: dict[str, dict[str, Any]] = DEFAULT_OBJECTIVES
    loop: LoopConfig = LoopConfig()
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Domain:
    """One log ready for pre-training.

    Attributes:
        name: of the data set.
        learned: histories that are learned from.
        held_out: histories of users that are only measured.
        items: attributes of the catalogue.
    """

    name: str
    learned: Interactions
    held_out: Interactions
    items: FeatureTable


def pretrain(
    datasets: Sequence[Encoded],
    config: PretrainConfig | None = None,
    *,
    on_step: OnStep | None = None,
) -> Pretrained:
    """Pre-train a content encoder and a tower.

    All events of the logs count, whatever their behaviour; ratings and scenarios are not read,
    because their scales and names differ from one log to the next.

    Args:
        datasets: unlabelled logs with catalogues that have a text column.
        config: settings.
        on_step: called after every step with (step, all steps, loss).

    Raises:
        DataError: there is no data set, or a catalogue has no text.
        ConfigError: a setting is unknown, or an objective asks for what the backbone cannot give.
    """
    config = config if config is not None else PretrainConfig()
    if not datasets:
        raise DataError("pre-training needs at least one data set")
    started = time.perf_counter()
    behaviours = sorted({name for encoded in datasets for name in encoded.behaviours})
    domains = [_domain(encoded, behaviours) for encoded in datasets]
    torch.manual_seed(config.seed)
    encoder = shared_encoder(domains, config)
    made = Pretrained.untrained(encoder, config.model, behaviours)
    network = PretrainNetwork(made, domains, config)
    with deterministic(torch.device(config.device)), reusing_memory():
        curves = network.run(on_step)
    made.run = {
        "domains": {domain.name: len(domain.learned) for domain in domains},
        "objectives": list(network.objectives),
        "version": version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "curves": curves,
        "seconds": time.perf_counter() - started,
    }
    return made


def _domain(encoded: Encoded, behaviours: Sequence[str]) -> Domain:
    table = attributes(encoded.item_table, "item_id")
    features = FeatureEncoder().fit(table, attribute_types(table, encoded.schema.items))
    items = features.transform(table)
    if not any(any(column) for column in items.texts.values()):
        raise DataError(
            f"data set {encoded.name!r}: its catalogue has no text, which is what one domain has "
            "in common with another; give a table of items with a title"
        )
    shared = np.array([behaviours.index(name) for name in encoded.behaviours], np.int64)
    events = replace(
        encoded.events,
        behaviour=shared[encoded.events.behaviour],
        scenario=np.zeros_like(encoded.events.scenario),
        value=np.full_like(encoded.events.value, np.nan),
    )
    users = np.arange(events.n_users)
    n_held = min(MOST_HELD_OUT, round(HELD_OUT_SHARE * events.n_users))
    held = np.argsort(seeded_hash(users, 0), kind="stable")[:n_held]
    learned = np.setdiff1d(users, held)
    return Domain(encoded.name, events.users(learned), events.users(held), items)


def shared_encoder(domains: Sequence[Domain], config: PretrainConfig) -> ContentEncoder:
    """One encoder for all catalogues, its statistics taken over all of them.

    Raises:
        ConfigError: a modality is unknown, or does not read texts.
    """
    transferring = [name for name, part in MODALITIES.parts.items() if part.transfers]
    for name in config.modalities:
        if not MODALITIES.get(name).transfers:
            raise ConfigError(
                f"modality {name!r} does not mean the same in every catalogue; "
                f"choose among: {', '.join(transferring)}"
            )
    usual = [name for name in transferring if MODALITIES.get(name).by_default]
    encoder = ContentEncoder(config.model.width)
    encoder.add(stacked_texts([d.items for d in domains]), config.modalities or usual)
    return encoder


def stacked_texts(tables: Sequence[FeatureTable]) -> FeatureTable:
    """The texts of several catalogues, one below the other; "" where one lacks a column.

    Columns keep their order, as the first that says something is read by encoders of sentences.
    """
    names = list(dict.fromkeys(name for table in tables for name in table.texts))
    texts = {
        name: [text for table in tables for text in table.texts.get(name, [""] * table.n_rows)]
        for name in names
    }
    return FeatureTable(sum(table.n_rows for table in tables), texts=texts)


class PretrainNetwork(nn.Module):
    """The shared parts, the objectives, what belongs to one domain, and the loop over them."""

    def __init__(self, made: Pretrained, domains: Sequence[Domain], config: PretrainConfig) -> None:
        super().__init__()
        self.config = config
        self.domains = list(domains)
        self.encoder, self.tower, self.content_bias = made.encoder, made.tower, made.content_bias
        width = config.model.width
        self.objectives = nn.ModuleDict(
            {name: _objective(name, own, width) for name, own in config.objectives.items()}
        )
        for name in self.objectives:
            if self._objective(name).needs_both_ways and self.tower.backbone.causal:
                raise ConfigError(
                    f"objective {name!r} reads what stands behind an event, and backbone "
                    f"{config.model.backbone!r} only looks back; use --backbone bidirectional"
                )
        wants_identity = any(self._objective(name).needs_identity for name in self.objectives)
        sizes = [domain.items.n_rows for domain in domains] if wants_identity else []
        self.identities = nn.ParameterList(
            nn.Parameter(torch.randn(size, width) * width**-0.5) for size in sizes
        )
        self.device = pick_device(config.device)
        self.to(self.device)
        self.inputs = [to_device(self.encoder.prepare(d.items), self.device) for d in domains]

    def _objective(self, name: str) -> Objective:
        part = self.objectives[name]
        assert isinstance(part, Objective)
        return part

    # ------------------------------------------------------------------ the loop

    def run(self, on_step: OnStep | None) -> dict[str, list[list[float]]]:
        """Train; returns the losses on held-out users by epoch. The best weights stay."""
        loop = self.config.loop
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=loop.learning_rate,
            weight_decay=loop.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        steps_each = max(1, sum(1 for _ in self._batches(0)))
        epochs = passes(loop, steps_each)
        total = epochs * steps_each
        curves: dict[str, list[list[float]]] = {}
        best, best_loss, stale, step = self.state_dict(), float("inf"), 0, 0
        for epoch in range(1, epochs + 1):
            self.train()
            for place, windows in self._batches(epoch - 1):
                torch.manual_seed((self.config.seed * 1_000_003 + step) % (1 << 62))
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(loop, step, total)
                loss = self._total(self._losses(place, self.domains[place].learned, windows))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self.parameters(), loop.clip)
                optimizer.step()
                step += 1
                if on_step is not None:
                    on_step(step, total, float(loss.detach()))
            if epoch % loop.validate_every and epoch < epochs:
                continue
            held_out = self._measure()
            for name, value in held_out.items():
                curves.setdefault(f"held-out {name}", []).append([epoch, value])
            weighted = sum(self._objective(n).config.weight * v for n, v in held_out.items())
            stale = 0 if weighted < best_loss else stale + 1
            if weighted < best_loss:
                best_loss = weighted
                best = {name: value.detach().clone() for name, value in self.state_dict().items()}
            if stale >= loop.patience:
                break
        self.load_state_dict(best)
        self.eval()
        return curves

    def _batches(self, epoch: int) -> Iterator[tuple[int, Windows]]:
        """Batches of all domains in a drawn order: (which domain, its windows)."""
        rng = np.random.default_rng([self.config.seed, epoch])
        batches = []
        for place, domain in enumerate(self.domains):
            windows = training_windows(domain.learned, self.config.model.longest + 1, rng)
            for index in length_bucketed(windows, self.config.loop.tokens_per_batch, rng):
                batches.append((place, windows.take(index)))
        for turn in rng.permutation(len(batches)):
            yield batches[turn]

    def _losses(self, place: int, events: Interactions, windows: Windows) -> dict[str, Tensor]:
        """Every objective's loss on windows of one domain."""
        batch = collate(events, windows, gap_buckets(events))
        positions_BL = torch.arange(batch.item_BL.shape[1])[None, :] < batch.length_B[:, None]
        positions_BL[:, 0] &= batch.fresh_B
        states = self.tower.backbone.states_a_window
        if states is not None:
            positions_BL = some_positions(positions_BL, states)
        content_ID = self.encoder(self._inputs(place))
        count_I = self.domains[place].learned.item_counts()
        offered = PretrainStep(
            batch=batch.to(self.device),
            positions_BL=positions_BL.to(self.device),
            tower=self.tower,
            items=ItemVectors(content_ID, self.content_bias(content_ID).squeeze(1)),
            identity_ID=self.identities[place] if len(self.identities) else None,
            warm_I=torch.from_numpy(count_I > 0).to(self.device),
            low_precision=self._low_precision(place),
        )
        return {name: self._objective(name).loss(offered) for name in self.objectives}

    def _inputs(self, place: int) -> Inputs:
        return self.inputs[place]

    def _low_precision(self, place: int) -> bool:
        asked = self.config.loop.low_precision
        return self.domains[place].items.n_rows >= LARGE_CATALOGUE if asked is None else asked

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        weighted = [self._objective(name).config.weight * loss for name, loss in losses.items()]
        return torch.stack(weighted).sum()

    @torch.no_grad()
    def _measure(self) -> dict[str, float]:
        """By objective, the mean loss on held-out users; of every domain alike."""
        self.eval()
        torch.manual_seed(self.config.seed)
        found: dict[str, list[float]] = {name: [] for name in self.objectives}
        for place, domain in enumerate(self.domains):
            rng = np.random.default_rng(self.config.seed)
            windows = training_windows(domain.held_out, self.config.model.longest + 1, rng)
            parts = [
                self._losses(place, domain.held_out, windows.take(index))
                for index in length_bucketed(windows, self.config.loop.tokens_per_batch, None)
            ]
            for name, values in found.items():
                values.extend(float(part[name]) / len(parts) for part in parts)
        return {name: sum(values) / len(self.domains) for name, values in found.items()}


def _objective(name: str, settings: dict[str, Any], width: int) -> Objective:
    part = OBJECTIVES.get(name)
    return part(width, build(part.Config, settings, f"objectives.{name}"))
