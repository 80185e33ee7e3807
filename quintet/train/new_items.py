"""Rehearsal of new items: some are hidden from the training, so that their weights can be fitted.

An item without events is never a held-out target, so that validation says nothing of how far its
attributes should be trusted, nor where it belongs among items that people know. A few items are
therefore hidden from the towers altogether, and their events become the targets that the weights
of new items are fitted on. Counted memories and popularity are then counted with them: but for the
towers they are items like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quintet.config import Config, tunable
from quintet.data.interactions import Interactions, Ints, Mask, seeded_hash
from quintet.data.split import Part, Split
from quintet.nn.fusion import Fusion, item_buckets
from quintet.serve.evidence import EvidenceBuilder
from quintet.train.prepare import TrainingTables

#: rivals that items known to the towers send against a target: the highest, and a sample
HIGHEST, SAMPLED = 100, 200
#: a penalty of this times the squared distance from the first weights
HOLD = 1e-3


class RehearsalConfig(Config):
    """Settings of the rehearsal."""

    share: float = tunable(
        0.0, low=0.0, high=0.1, description="of the items that are hidden; 0: none"
    )
    least_items: int = 40
    most_items: int = 400
    most_targets: int = 1500


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
) -> None:
    """Fit the weights of new items, in place, against items that are known.

    The loss is that of the next item, over hidden and known targets in the proportion in which they
    occur: hidden items must be found, and must not crowd out what people know.

    Args:
        fusion: with gates fitted for known items; those stay.
        evidence: of a model and of memories that never met the hidden items.
        split: of the whole log.
        hidden_I: [I] the hidden items.
        known_rows: held-out events that the gates were fitted on.
        config: settings of the rehearsal.
        seed: of what is drawn.
    """
    if fusion.new_K is None or not hidden_I.any():
        return
    events = split.events
    trained_E = split.part == Part.TRAIN
    share = float(hidden_I[events.item[trained_E]].mean())
    hidden_rows = _drawn(np.flatnonzero(trained_E & hidden_I[events.item]), config, seed)
    known_rows = _drawn(known_rows[~hidden_I[events.item[known_rows]]], config, seed)
    parts = [
        _contest(fusion, evidence, events, hidden_I, rows) for rows in (hidden_rows, known_rows)
    ]
    first_K = fusion.new_K.cpu()
    weight_K = first_K.clone().requires_grad_()
    bias = fusion.new_bias.cpu().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight_K, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        losses = [part.loss(weight_K, bias) for part in parts]
        loss = share * losses[0] + (1 - share) * losses[1]
        loss = loss + share * HOLD * (weight_K - first_K).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        fusion.new_K.copy_(weight_K)
        fusion.new_bias.copy_(bias)


def _drawn(rows: Ints, config: RehearsalConfig, seed: int) -> Ints:
    order = np.argsort(seeded_hash(rows, seed), kind="stable")
    return np.sort(rows[order[: config.most_targets]])


@dataclass(frozen=True)
class _Contest:
    """N targets among H hidden items and C known rivals, of which the scores are settled.

    Attributes:
        evidence_NHK: of the hidden items.
        known_NC: scores of the target, if it is known, and of the known rivals, corrected for the
            sample; -inf where there is none.
        target_N: place of the target among the hidden items, then the known ones.
    """

    evidence_NHK: Tensor
    known_NC: Tensor
    target_N: Tensor

    def loss(self, weight_K: Tensor, bias: Tensor) -> Tensor:
        """Cross-entropy of the targets."""
        new_NH = self.evidence_NHK @ weight_K + bias
        return F.cross_entropy(torch.cat([new_NH, self.known_NC], dim=1), self.target_N)


@torch.no_grad()
def _contest(
    fusion: Fusion, evidence: EvidenceBuilder, events: Interactions, hidden_I: Mask, rows: Ints
) -> _Contest:
    """Who competes with the targets; histories are read without the hidden items."""
    histories, target = events.before(rows), torch.from_numpy(events.item[rows])
    histories = histories.select(~hidden_I[histories.item])
    told = histories.lengths > 0
    histories, target = histories.users(np.flatnonzero(told)), target[torch.from_numpy(told)]
    hidden = torch.from_numpy(np.flatnonzero(hidden_I))
    place_I = torch.full((events.n_items,), -1)
    place_I[hidden] = torch.arange(len(hidden))
    bucket_I = item_buckets(torch.from_numpy(evidence.count_I)).to(evidence.device)
    parts = []
    for index, block in evidence.blocks(histories, apart=True):
        evidence_BIK = evidence.evidence(block)
        # from here on where targets and samples are, whatever device the model is on
        score_BI = fusion(evidence_BIK, evidence.context(block), bucket_I).cpu()
        target_B = target[index]
        score_BI[:, torch.from_numpy(evidence.count_I == 0)] = float("-inf")
        own_B = score_BI.gather(1, target_B[:, None])[:, 0]
        score_BI[block.group(), block.item] = float("-inf")
        score_BI.scatter_(1, target_B[:, None], float("-inf"))
        rival_BC = _rivals(score_BI, seed=int(index[0]))
        at_B = place_I[target_B]
        known_BC = torch.cat([own_B[:, None], rival_BC], dim=1)
        parts.append(
            (
                evidence_BIK[:, hidden].cpu(),
                known_BC,
                torch.where(at_B >= 0, at_B, torch.full_like(at_B, len(hidden))),
            )
        )
    evidence_NHK, known_NC, target_N = (torch.cat(own) for own in zip(*parts, strict=True))
    return _Contest(evidence_NHK, known_NC, target_N)


def _rivals(score_BI: Tensor, seed: int) -> Tensor:
    """[B, C] scores of the highest, and of a sample of the rest that stands for all of it."""
    top = min(HIGHEST, score_BI.shape[1])
    highest_BC, place_BC = score_BI.topk(top, dim=1)
    rest_BI = torch.isfinite(score_BI).scatter(1, place_BC, False)
    chance_BI = torch.rand(score_BI.shape, generator=torch.Generator().manual_seed(seed))
    drawn_BC = chance_BI.masked_fill(~rest_BI, -1.0).topk(min(SAMPLED, score_BI.shape[1])).indices
    picked_BC = score_BI.gather(1, drawn_BC).masked_fill(~rest_BI.gather(1, drawn_BC), -torch.inf)
    n_rest_B1 = rest_BI.sum(1, keepdim=True)
    correction_B1 = (n_rest_B1 / n_rest_B1.clamp(1, drawn_BC.shape[1])).log()
    return torch.cat([highest_BC, picked_BC + correction_B1], dim=1)
