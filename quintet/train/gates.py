"""Gates and calibration, fitted on held-out targets that no count and no tower has seen."""

from __future__ import annotations

import numpy as np
import torch

from quintet.data.interactions import Interactions, Ints, Mask, seeded_hash
from quintet.data.split import Part, Split
from quintet.data.states import Moments
from quintet.nn.calibration import Calibration, fit_calibration
from quintet.nn.fusion import (
    Fusion,
    FusionConfig,
    Rivals,
    find_rivals,
    fit_fusion,
    item_buckets,
)
from quintet.nn.tasks.interaction import Interaction
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer, scenarios_of

#: the gates start here, and are held near it: what is known to carry a list, and what refines it
PRIOR_WEIGHTS = {
    "identity": 2.0,
    "transitions": 2.0,
    "ease": 2.0,
    "content": 2.0,
    "content_neighbours": 1.0,
    "repeat": 1.0,
}
OTHER_PRIOR_WEIGHT = 0.4
#: items without any event are no validation target, so nothing can be fitted for them: attributes
#: decide, the regularised regression before the towers, which know warm items by heart
NEW_ITEM_WEIGHTS = {"content_ridge": 1.0, "identity": 0.3, "content": 0.3}


def validation_targets(
    split: Split, calibration_share: float, most: int, seed: int, target_E: Mask | None = None
) -> tuple[Ints, Ints]:
    """Rows of validation events: (for stopping and gates, for calibration), by user.

    Where ``target_E`` [E] is given, only what it marks is a target.
    """
    valid = split.part == Part.VALID
    rows = np.flatnonzero(valid if target_E is None else valid & target_E)
    user = split.events.group()[rows]
    share = seeded_hash(user, seed) % 1000 < 1000 * calibration_share
    fuse, calibrate = rows[~share], rows[share]
    order = np.argsort(seeded_hash(fuse, seed + 1), kind="stable")
    return np.sort(fuse[order[:most]]), calibrate


def fitted_fusion(
    evidence: EvidenceBuilder,
    events: Interactions,
    rows: Ints,
    config: FusionConfig,
    *,
    mask_history: bool = True,
) -> Fusion:
    """Gates fitted on held-out targets; plain weights where there are none.

    Args:
        evidence: of the model.
        events: the whole log.
        rows: of the targets in it.
        config: settings of the gates.
        mask_history: whether items of the history are no rivals, as they will not be recommended.
    """
    weights = [PRIOR_WEIGHTS.get(name, OTHER_PRIOR_WEIGHT) for name in evidence.names]
    prior_K = torch.tensor(weights, device=evidence.device)
    fusion = Fusion(prior_K, config, _new_item_weights(evidence)).to(evidence.device)
    if len(rows):
        fit_fusion(fusion, _rivals(evidence, fusion, events, rows, mask_history))
    return fusion


def _rivals(
    evidence: EvidenceBuilder,
    fusion: Fusion,
    events: Interactions,
    rows: Ints,
    mask_history: bool = True,
) -> Rivals:
    histories, target = events.before(rows), torch.from_numpy(events.item[rows])
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I)).to(evidence.device)
    free = events.n_items - 1 - int(_distinct(histories).max(initial=0))
    parts = []
    for index, block in evidence.blocks(histories):
        masked_BI = torch.zeros(len(index), events.n_items, dtype=torch.bool)
        masked_BI[block.group(), block.item] = mask_history
        masked_BI[torch.arange(len(index)), target[index]] = False  # it may be a repeat
        parts.append(
            find_rivals(
                fusion,
                evidence.evidence(block),
                evidence.context(block),
                bucket_I,
                masked_BI.to(evidence.device),
                target[index].to(evidence.device),
                free=max(free, 1),
                seed=int(index[0]),
            )
        )
    return Rivals.joined(parts)


def _distinct(histories: Interactions) -> Ints:
    """[B] how many items each history holds; repeats leave no fewer rivals."""
    pair = np.unique(histories.group() * histories.n_items + histories.item)
    return np.bincount(pair // histories.n_items, minlength=histories.n_users)


def _new_item_weights(evidence: EvidenceBuilder) -> torch.Tensor | None:
    """[K] weights of items without training events; None where attributes say nothing."""
    weights = [NEW_ITEM_WEIGHTS.get(name, 0.0) for name in evidence.names]
    known = {"content_ridge", "content"} & set(evidence.names)
    return torch.tensor(weights, device=evidence.device) if known else None


def fitted_calibration(
    evidence: EvidenceBuilder, fusion: Fusion, split: Split, rows: Ints
) -> Calibration:
    """Calibration of the interaction task on held-out events of users kept apart for it.

    What follows within the horizon is looked up among events before the test only.
    """
    known_E = split.part != Part.TEST
    rows = (np.cumsum(known_E) - 1)[rows]
    events = split.events.select(known_E)
    shape = evidence.model.shape
    calibration = Calibration(shape.rules, shape.n_levels, len(shape.scenarios))
    calibration = calibration.to(evidence.device)
    if "interaction" not in evidence.model.tasks or len(rows) == 0:
        return calibration
    task = evidence.model.task("interaction")
    assert isinstance(task, Interaction)
    rows = rows[task.rules.targets(events)[rows]]
    moments = Moments.before(events, rows)
    scores = Scorer(evidence, fusion, calibration).pair_scores(moments, events.item[rows])
    fit_calibration(
        calibration,
        scores,
        torch.from_numpy(task.level(events)[rows]).to(evidence.device),
        torch.from_numpy(task.reached(events)[rows]).to(evidence.device),
        torch.from_numpy(scenarios_of(moments)).to(evidence.device),
    )
    return calibration
