"""Rehearsal of new items: some are hidden from the training, so that their weights can be fitted.

An item without events is never a held-out target, so that validation says nothing of how far its
attributes should be trusted, nor where it belongs among items that people know. A few items are
therefore hidden from the towers altogether, and their events become the targets that the weights
of new items are fitted on. Counted memories and popularity are then counted with them: but for the
towers they are items like any other.
"""

from __future__ import annotations

import numpy as np

from quintet.config import Config, tunable
from quintet.data.interactions import Ints, Mask, seeded_hash
from quintet.data.split import Part, Split
from quintet.nn.fusion import Fusion
from quintet.serve.evidence import EvidenceBuilder
from quintet.train.gates import fit_new_weights, new_items_level
from quintet.train.prepare import TrainingTables


class RehearsalConfig(Config):
    """Settings of the rehearsal."""

    share: float = tunable(
        0.0, low=0.0, high=0.1, description="of the items that are hidden; 0: none"
    )
    least_items: int = 40
    most_items: int = 400
    least_targets: int = 20
    most_targets: int = 1500
    presence: float = tunable(
        0.4, low=0.0, high=2.0, description="of new items in lists, by their part of the catalogue"
    )


def rehearsed(tables: TrainingTables, config: RehearsalConfig, seed: int) -> Mask:
    """[I] the items that are hidden; none where there are too few, or nothing tells them apart."""
    count_I = tables.events.item_counts()
    met = np.flatnonzero(count_I)
    hidden_I = np.zeros(len(count_I), np.bool_)
    wanted = min(max(round(config.share * len(met)), config.least_items), config.most_items)
    items = tables.items
    described = items.categories or items.numbers or items.texts or items.images or items.vectors
    if config.share == 0 or not described or 20 * config.least_items > len(met):
        return hidden_I
    hidden_I[met[np.argsort(seeded_hash(met, seed), kind="stable")[:wanted]]] = True
    return hidden_I


def fit_new_items(
    fusion: Fusion,
    evidence: EvidenceBuilder,
    split: Split,
    hidden_I: Mask,
    known_rows: Ints,
    config: RehearsalConfig,
    seed: int,
    *,
    mask_history: bool = True,
) -> None:
    """Fit the weights of new items, in place, and where they belong among items that are known.

    The hidden items compete with one another for their own events. Fitted against known items too,
    the weights had to serve the level above all and told new items apart worse than one kind of
    evidence alone (docs/experiments.md); the level is now set by how often they enter lists.

    Args:
        fusion: with gates fitted for known items; those stay.
        evidence: of a model and of memories that never met the hidden items.
        split: of the whole log.
        hidden_I: [I] the hidden items.
        known_rows: held-out events that the gates were fitted on.
        config: settings of the rehearsal.
        seed: of what is drawn.
        mask_history: see :func:`~quintet.train.gates.fitted_fusion`.
    """
    if fusion.new_K is None or not hidden_I.any():
        return
    events = split.events
    rows = np.flatnonzero((split.part == Part.TRAIN) & hidden_I[events.item])
    histories = events.before(rows)
    told = np.bincount(histories.group(), ~hidden_I[histories.item], minlength=len(rows)) > 0
    rows = _drawn(rows[told], config, seed)
    fit_new_weights(evidence, fusion, events, rows, mask_history, config.least_targets)
    share = config.presence * float((evidence.count_I == 0).mean())
    known_rows = known_rows[evidence.count_I[events.item[known_rows]] > 0]
    level = new_items_level(evidence, fusion, events, known_rows, mask_history, share)
    fusion.new_bias.fill_(level)


def _drawn(rows: Ints, config: RehearsalConfig, seed: int) -> Ints:
    order = np.argsort(seeded_hash(rows, seed), kind="stable")
    return np.sort(rows[order[: config.most_targets]])
