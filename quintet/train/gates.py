"""Gates, fitted on held-out targets that no count and no tower has seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quintet.data.interactions import Interactions, Ints, Mask, seeded_hash
from quintet.data.split import Part, Split
from quintet.nn.fusion import (
    Fusion,
    FusionConfig,
    Rivals,
    find_rivals,
    fit_fusion,
    item_buckets,
    rivals_each,
)
from quintet.serve.evidence import EvidenceBuilder
from quintet.train.returns import settle_returns

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
#: items without any event are hardly ever a validation target, so nothing can be fitted for them:
#: attributes decide, the regularised regression before the towers, which know warm items by heart
NEW_ITEM_WEIGHTS = {"content_ridge": 1.0, "identity": 0.3, "content": 0.3}
#: unless so many are: then their weights are fitted, and held near the former by so much
NEW_TARGETS, HELD_NEAR = 100, 0.3

#: the level of new items is that at which they enter lists of this length as often as they should
LIST = 10
#: looked at on so many held-out targets
MOST_LEVELLED = 1000
#: one known item of so many pretends to be new where none is
PRETENDERS = 20
#: scores of the catalogue that are worth making for the gates, and targets that they have anyway
MOST_SCORES, LEAST_TARGETS = 600_000_000, 4000
#: targets that the share of new items in the catalogue counts for
HELD_BY = 20


def validation_targets(
    split: Split, calibration_share: float, most: int, seed: int, target_E: Mask | None = None
) -> tuple[Ints, Ints]:
    """Rows of validation events: (for stopping and gates, for calibration), by user.

    At most ``most`` are for the gates, and fewer where the catalogue is so large that scoring it
    for each would take long. Where ``target_E`` [E] is given, only what it marks is a target.
    """
    valid = split.part == Part.VALID
    rows = np.flatnonzero(valid if target_E is None else valid & target_E)
    user = split.events.group()[rows]
    share = seeded_hash(user, seed) % 1000 < 1000 * calibration_share
    fuse, calibrate = rows[~share], rows[share]
    order = np.argsort(seeded_hash(fuse, seed + 1), kind="stable")
    most = min(most, max(LEAST_TARGETS, MOST_SCORES // max(split.events.n_items, 1)))
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
    prior_K, towers_K = torch.tensor(weights), None
    if not mask_history:
        towers_K = torch.tensor([float(name in evidence.towers) for name in evidence.names])
    new_K = _new_item_weights(evidence)
    fusion = Fusion(prior_K, config, new_K, towers_K).to(evidence.device)
    if len(rows):
        fit_fusion(fusion, _rivals(evidence, fusion, events, rows, mask_history))
        settle_returns(evidence, fusion, events, rows)
        fit_new_weights(evidence, fusion, events, rows, mask_history, NEW_TARGETS)
        fusion.new_bias.fill_(new_items_level(evidence, fusion, events, rows, mask_history))
    return fusion


def fit_new_weights(
    evidence: EvidenceBuilder,
    fusion: Fusion,
    events: Interactions,
    rows: Ints,
    mask_history: bool,
    least: int,
) -> None:
    """Weights of new items, in place, by the loss of targets among new items alone.

    Histories are read without new items. With fewer than ``least`` such targets the weights stay.
    """
    rows = rows[evidence.count_I[events.item[rows]] == 0]
    if fusion.new_K is None or len(rows) < least:
        return
    first_K, new_I = fusion.new_K.clone(), evidence.count_I == 0
    for _ in range(2):  # those who rank highest by the first weights are others than by the last
        rivals = _rivals(evidence, fusion, events, rows, mask_history, among_I=new_I)
        fusion.new_K.copy_(_weights_among(rivals, first_K))


def _weights_among(rivals: Rivals, first_K: Tensor) -> Tensor:
    """[K] weights by the listwise loss of the targets, held near the first; none below 0."""
    weight_K = first_K.clone().requires_grad_()
    target_B = torch.zeros_like(rivals.bucket_BC[:, 0])
    optimizer = torch.optim.LBFGS([weight_K], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        score_BC = rivals.evidence_BCK @ weight_K + rivals.correction_BC
        held = HELD_NEAR / len(target_B) * (weight_K - first_K).square().sum()
        loss = F.cross_entropy(score_BC, target_B) + held
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight_K.detach().clamp(min=0.0)  # evidence against an item is chance, or its own fame


@torch.no_grad()
def new_items_level(
    evidence: EvidenceBuilder,
    fusion: Fusion,
    events: Interactions,
    rows: Ints,
    mask_history: bool,
    share: float | None = None,
) -> float:
    """What brings new items into lists as often as held-out targets are new, or by ``share``.

    Their scores come from other weights than those of known items, so that nothing else says where
    they belong among them: without it they crowded out what people know. The share among targets is
    held near that in the catalogue. Where no item is new, known ones that pretend to be stand for
    those to come.
    """
    if fusion.new_K is None:
        return 0.0
    new_I = torch.from_numpy(evidence.count_I == 0)
    if share is None:
        share = _share_of_new(new_I.numpy(), events.item[rows])
    if not new_I.any():
        new_I = torch.from_numpy(seeded_hash(np.arange(events.n_items), 0) % PRETENDERS == 0)
        share = float(new_I.double().mean())
    rows = rows[:: max(1, len(rows) // MOST_LEVELLED)]
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I)).clamp(min=1).to(evidence.device)
    margins = []
    for _, block in evidence.blocks(events.before(rows), apart=True):
        evidence_BIK = evidence.evidence(block)
        met = block.group(), block.item
        met_BI = torch.zeros(evidence_BIK.shape[:2], device=evidence.device)
        met_BI[met] = float(not mask_history)
        known_BI = fusion(evidence_BIK, evidence.context(block), bucket_I, met_BI)
        known_BI[:, new_I] = -torch.inf
        new_BI = evidence_BIK @ fusion.new_K
        if mask_history:
            known_BI[met] = new_BI[met] = -torch.inf
        margins.append(_entries(known_BI, new_BI[:, new_I.to(new_BI.device)]).flatten().cpu())
    if not margins:
        return 0.0
    margin_M = torch.cat(margins)
    # where too few known items are left, new ones stand without being lifted
    free = int((margin_M == -torch.inf).sum())
    margin_M = margin_M[margin_M.isfinite()].sort().values
    wanted = max(0, round(share * LIST * len(rows)) - free)
    return float(margin_M[min(wanted, len(margin_M) - 1)]) if len(margin_M) else 0.0


def _entries(known_BI: Tensor, new_BJ: Tensor) -> Tensor:
    """[B, ≤ LIST] what lifts the n-th best new item above the known one that it displaces."""
    length = min(LIST, new_BJ.shape[1], known_BI.shape[1])
    known_BL = known_BI.topk(min(LIST, known_BI.shape[1]), dim=1).values.flip(1)
    return known_BL[:, :length] - new_BJ.topk(length, dim=1).values


def _share_of_new(new_I: Mask, target_N: Ints) -> float:
    """How many targets are new items, held near their share of the catalogue."""
    hits = int(new_I[target_N].sum())
    return (hits + HELD_BY * float(new_I.mean())) / (len(target_N) + HELD_BY)


def _rivals(
    evidence: EvidenceBuilder,
    fusion: Fusion,
    events: Interactions,
    rows: Ints,
    mask_history: bool = True,
    among_I: Mask | None = None,
) -> Rivals:
    """Whom the targets compete with: with all items, or those of ``among_I`` [I] alone."""
    histories, target = events.before(rows), torch.from_numpy(events.item[rows])
    if among_I is not None:
        histories = histories.select(~among_I[histories.item])
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I)).to(evidence.device)
    barred_I = torch.from_numpy(np.zeros(events.n_items, bool) if among_I is None else ~among_I)
    free = int((~barred_I).sum()) - 1 - int(_distinct(histories).max(initial=0))
    parts = []
    for index, block in evidence.blocks(histories, apart=True):
        masked_BI = barred_I.repeat(len(index), 1)
        met_BI = torch.zeros_like(masked_BI)
        met_BI[block.group(), block.item] = True
        masked_BI |= met_BI & mask_history
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
                most=rivals_each(len(rows)),
                met_BI=None if mask_history else met_BI.to(evidence.device),
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
