"""What became of an event: the behaviours that followed it, and the level of its rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quintet.data.interactions import MICROSECONDS_PER_DAY, Floats, Interactions, Ints


def implied(behaviours: Sequence[str], implies: Mapping[str, Sequence[str]]) -> Floats:
    """[B, B] 1 where behaviour a (row) implies behaviour b, itself and chains included."""
    index = {name: row for row, name in enumerate(behaviours)}
    closure_BB = np.eye(len(behaviours), dtype=np.float32)
    for name, others in implies.items():
        for other in others:
            if name in index and other in index:
                closure_BB[index[name], index[other]] = 1
    for _ in behaviours:
        closure_BB = ((closure_BB @ closure_BB) > 0).astype(np.float32)
    return closure_BB


def reached(events: Interactions, closure_BB: Floats, horizon_days: float) -> Floats:
    """[E, B] whether the user shows the behaviour on the item at the event or within the horizon.

    Where the log has no times, the whole later history counts.
    """
    n_behaviours = len(closure_BB)
    pair = events.group() * np.int64(events.n_items) + events.item
    order = np.lexsort((np.arange(len(events)), events.time, pair))
    pair, time = pair[order], events.time[order]
    shows_EB = closure_BB[events.behaviour[order]] > 0
    horizon = int(horizon_days * MICROSECONDS_PER_DAY)
    result = np.zeros((len(events), n_behaviours), np.float32)
    none = len(events)
    for column in range(n_behaviours):
        at = np.where(shows_EB[:, column], np.arange(none), none)
        following = np.minimum.accumulate(at[::-1])[::-1]
        safe = np.minimum(following, max(none - 1, 0))
        hit = (following < none) & (pair[safe] == pair) & (time[safe] <= time + horizon)
        result[order, column] = hit
    return result


def level_index(events: Interactions, edges: Floats) -> Ints:
    """[E] index of the rating's level between the edges; -1 where there is no value."""
    level = np.searchsorted(edges, events.value, side="right").astype(np.int64)
    return np.where(np.isnan(events.value), -1, level)


def one_hot(index: Ints, n: int) -> Floats:
    """[E, n] one-hot rows; all zeros where the index is -1."""
    table = np.concatenate([np.eye(n, dtype=np.float32), np.zeros((1, n), np.float32)])
    return table[index]


def item_histogram(item: Ints, value_EC: Floats, n_items: int) -> Floats:
    """[I, C] sums of the rows of each item."""
    columns = [np.bincount(item, weights=column, minlength=n_items) for column in value_EC.T]
    return (
        np.stack(columns, 1).astype(np.float32) if columns else np.zeros((n_items, 0), np.float32)
    )
