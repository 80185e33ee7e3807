"""Two views of one history: pieces of its first and its second half, which share no event."""

from __future__ import annotations

import torch
from torch import Tensor

from quintet.data.batch import SequenceBatch

SHORTEST = 8
LONGEST = 12
MOST_HISTORIES = 16


def two_views(
    batch: SequenceBatch, padding: int, most: int = MOST_HISTORIES, shortest: int = SHORTEST
) -> tuple[SequenceBatch, SequenceBatch] | None:
    """A piece of each half of the histories that are long enough; None when fewer than two are.

    Args:
        batch: windows of histories.
        padding: the item row that stands for "no event".
        most: how many histories are cut.
        shortest: events of a history that is long enough.
    """
    rows = (batch.length_B >= shortest).nonzero().squeeze(1)[:most]
    if len(rows) < 2:
        return None
    half_M = batch.length_B[rows] // 2
    size_M = half_M.clamp(max=LONGEST)
    last_M = batch.length_B[rows]
    return (
        _piece(batch, rows, half_M - size_M, size_M, padding),
        _piece(batch, rows, last_M - size_M, size_M, padding),
    )


def _piece(
    batch: SequenceBatch, rows: Tensor, start_M: Tensor, size_M: Tensor, padding: int
) -> SequenceBatch:
    widest = int(size_M.max())
    offset = torch.arange(widest, device=rows.device)
    column_ML = (start_M[:, None] + offset).clamp(max=batch.item_BL.shape[1] - 1)
    real_ML = offset < size_M[:, None]

    def cut(values: Tensor, fill: float) -> Tensor:
        picked = values[rows[:, None], column_ML]
        return torch.where(real_ML, picked, torch.full_like(picked, fill))

    return SequenceBatch(
        item_BL=cut(batch.item_BL, padding),
        behaviour_BL=cut(batch.behaviour_BL, 0),
        scenario_BL=cut(batch.scenario_BL, 0),
        value_BL=cut(batch.value_BL, float("nan")),
        gap_BL=cut(batch.gap_BL, 0),
        time_BL=cut(batch.time_BL, 0),
        length_B=size_M,
        fresh_B=batch.fresh_B[rows] & (start_M == 0),
        user_B=torch.full_like(batch.user_B[rows], -1),
        event_BL=cut(batch.event_BL, 0),
    )
