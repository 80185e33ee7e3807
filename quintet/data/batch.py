"""Batches of histories for the network: the one feature path from training to serving.

A batch holds windows of histories, padded on the right to the longest of them; batches are drawn
from windows of similar length, so that little of the work is padding. Everything is a gather by
index arrays: no Python runs over events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from quintet.data.interactions import Interactions, Ints, Mask
from quintet.data.states import Moments

#: upper edges, in seconds, of the buckets of "time since the event before"; 0 is "first or unknown"
GAP_EDGES_SECONDS = np.array([1, 10, 30, 60, 120, 600, 3600, 86_400, 7 * 86_400, 30 * 86_400])
N_GAPS = len(GAP_EDGES_SECONDS) + 2


@dataclass(frozen=True)
class SequenceBatch:
    """B windows of at most L events.

    Attributes:
        item_BL: [B, L] item rows; ``n_items`` where padded.
        behaviour_BL: [B, L] behaviour indices; 0 where padded.
        scenario_BL: [B, L] scenario indices; 0 where padded.
        value_BL: [B, L] ratings or amounts; NaN where missing or padded.
        gap_BL: [B, L] bucket of the time since the event before.
        time_BL: [B, L] microseconds since 1970; 0 where padded.
        length_B: [B] real events of each window.
        fresh_B: [B] true where the window starts with the user's first event.
        user_B: [B] user rows, -1 where unknown.
        event_BL: [B, L] row in the ``Interactions`` that the batch was cut from; 0 where padded.
    """

    item_BL: Tensor
    behaviour_BL: Tensor
    scenario_BL: Tensor
    value_BL: Tensor
    gap_BL: Tensor
    time_BL: Tensor
    length_B: Tensor
    fresh_B: Tensor
    user_B: Tensor
    event_BL: Tensor

    def to(self, device: torch.device | str) -> SequenceBatch:
        """The batch on another device."""
        return SequenceBatch(**{name: value.to(device) for name, value in vars(self).items()})

    @classmethod
    def joined(cls, parts: Sequence[SequenceBatch]) -> SequenceBatch:
        """Batches of the same width, one below the other."""
        return cls(
            **{name: torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])}
        )

    def without_last(self) -> SequenceBatch:
        """The batch less its last column, which only the state behind all events reads."""
        shorter = self.item_BL.shape[1] - 1
        cut = {
            name: value[:, :-1].contiguous()
            for name, value in vars(self).items()
            if name.endswith("_BL")
        }
        return replace(self, **cut, length_B=self.length_B.clamp(max=shorter))


@dataclass(frozen=True)
class Windows:
    """Spans of events, each within one history: ``start`` [W], ``stop`` [W], ``user`` [W]."""

    start: Ints
    stop: Ints
    user: Ints

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: Ints | Mask) -> Windows:
        """A subset of the windows."""
        return Windows(self.start[index], self.stop[index], self.user[index])


def newest_windows(moments: Moments, longest: int) -> Windows:
    """What was newest at each moment: its last ``longest`` known events (or none)."""
    start = np.maximum(moments.events.offsets[:-1][moments.history], moments.stop - longest)
    return Windows(start, moments.stop, moments.history)


def training_windows(
    events: Interactions, longest: int, rng: np.random.Generator | None
) -> Windows:
    """Cut every history into consecutive windows of ``longest`` events at a random offset.

    Each event stands in exactly one window, and no two epochs cut at the same places: this is the
    window augmentation of the training data. Without a generator all epochs cut alike, and the
    newest window is a whole one.
    """
    lengths = events.lengths
    active = np.flatnonzero(lengths > 0)
    n = lengths[active]
    drawn = 1 + (n - 1) % longest if rng is None else rng.integers(1, longest + 1, len(active))
    shift = np.where(n > longest, drawn, longest)
    # the first window takes `shift` events, the following ones `longest` each
    count = 1 + np.maximum(0, -(-(n - shift) // longest))
    owner = np.repeat(np.arange(len(active)), count)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    base = events.offsets[active][owner]
    end = base + n[owner]
    start = np.where(index == 0, base, base + shift[owner] + (index - 1) * longest)
    stop = np.minimum(base + shift[owner] + index * longest, end)
    return Windows(start, stop, active[owner])


def length_bucketed(
    windows: Windows, tokens_per_batch: int, rng: np.random.Generator | None
) -> Iterator[Ints]:
    """Window indices a batch: windows of similar length together, about ``tokens_per_batch`` each.

    With a generator the membership and the order of the batches are shuffled; without one they are
    in order of length.
    """
    lengths = np.maximum(windows.stop - windows.start, 1)
    noise = 0.0 if rng is None else rng.random(len(lengths)) * (1 + lengths * 0.1)
    order = np.argsort(lengths + noise, kind="stable")
    cumulated = np.cumsum(lengths[order])
    batch = (cumulated - lengths[order]) // tokens_per_batch
    groups = np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []
    turns = np.arange(len(groups)) if rng is None else rng.permutation(len(groups))
    for turn in turns:
        yield groups[turn].astype(np.int64)


def gap_buckets(events: Interactions) -> Ints:
    """[E] bucket of the time since the same user's event before; 0 at a user's first event."""
    if len(events) == 0:
        return np.zeros(0, np.int64)
    seconds = np.diff(events.time, prepend=events.time[:1]) / 1e6
    bucket = 1 + np.digitize(seconds, GAP_EDGES_SECONDS)
    bucket[events.offsets[:-1][events.lengths > 0]] = 0
    return bucket.astype(np.int64)


def collate(events: Interactions, windows: Windows, gaps: Ints | None = None) -> SequenceBatch:
    """Cut ``windows`` out of ``events`` into one padded batch."""
    gaps = gap_buckets(events) if gaps is None else gaps
    length = windows.stop - windows.start
    widest = int(max(length.max(initial=0), 1))
    index = windows.start[:, None] + np.arange(widest)[None, :]
    real = np.arange(widest)[None, :] < length[:, None]
    index = np.where(real, index, 0)

    def column(values: np.ndarray, padding: float) -> Tensor:
        if len(values) == 0:
            return torch.full(index.shape, padding, dtype=torch.from_numpy(values).dtype)
        return torch.from_numpy(np.where(real, values[index], values.dtype.type(padding)))

    return SequenceBatch(
        item_BL=column(events.item, events.n_items),
        behaviour_BL=column(events.behaviour, 0),
        scenario_BL=column(events.scenario, 0),
        value_BL=column(events.value, np.nan),
        gap_BL=column(gaps, 0),
        time_BL=column(events.time, 0),
        length_B=torch.from_numpy(length),
        fresh_B=torch.from_numpy(windows.start == events.offsets[:-1][windows.user]),
        user_B=torch.from_numpy(events.owners()[windows.user]),
        event_BL=torch.from_numpy(index),
    )
