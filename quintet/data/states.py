"""What can be counted of a history at every one of its states, without looking ahead.

A user with n events has n + 1 states: before the first event, ..., after the last. State s of user
u is row ``offsets[u] + u + s``; with E events and U users there are S = E + U states. The same code
makes the features of training positions and of a request, so that they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.data.features import CategoryColumn
from quintet.data.interactions import Floats, Interactions, Ints, Mask, Request


@dataclass(frozen=True)
class Moments:
    """B points in histories at which something is asked, all of one log.

    Asking at the newest state of a history, or just before an event of a longer log, is the same
    question when what came before is the same.

    Attributes:
        events: the log.
        history: [B] index of the history that each moment belongs to.
        stop: [B] row of the first event that is not yet known.
        request: [B, ...] what else is known of what is asked, by name.
    """

    events: Interactions
    history: Ints
    stop: Ints
    request: Request | None = None

    @classmethod
    def newest(cls, histories: Interactions) -> Moments:
        """The newest state of every history."""
        rows = np.arange(histories.n_users)
        return cls(histories, rows, histories.offsets[1:], histories.request)

    @classmethod
    def before(cls, events: Interactions, rows: NDArray[np.integer]) -> Moments:
        """Just before the given events."""
        stop = np.asarray(rows, np.int64)
        return cls(events, events.group()[stop], stop, events.asked(stop))

    def __len__(self) -> int:
        return len(self.stop)

    @property
    def state(self) -> Ints:
        """[B] rows of the states."""
        return self.stop + self.history


def state_before(events: Interactions) -> Ints:
    """[E] row of the state just before each event."""
    return np.arange(len(events)) + events.group()


def last_state(events: Interactions) -> Ints:
    """[U] row of each user's newest state."""
    return events.offsets[1:] + np.arange(events.n_users)


def state_lengths(events: Interactions) -> Ints:
    """[S] events seen at each state."""
    length = np.zeros(len(events) + events.n_users, np.int64)
    length[state_before(events)] = events.positions()
    length[last_state(events)] = events.lengths
    return length


def decayed_sums(events: Interactions, value_EC: Floats, decay: float) -> Floats:
    """[S, C] sums of the values seen so far, each step back multiplied by ``decay``.

    ``sum(state s) = Σ_{e < s} decay^(s − 1 − e) value_e``. Runs over positions, all users abreast.
    """
    out_SC = np.zeros((len(events) + events.n_users, value_EC.shape[1]), np.float32)
    order = np.argsort(-events.lengths, kind="stable")
    lengths = events.lengths[order]
    first_event = events.offsets[:-1][order]
    first_state = first_event + order
    running = np.zeros((len(order), value_EC.shape[1]), np.float32)
    for position in range(int(lengths.max(initial=0))):
        active = int(np.searchsorted(-lengths, -position, side="left"))
        running[:active] *= decay
        running[:active] += value_EC[first_event[:active] + position]
        out_SC[first_state[:active] + position + 1] = running[:active]
    return out_SC


def interest_shares(events: Interactions, column: CategoryColumn) -> Floats:
    """[E, C] the categories of each event's item as shares that sum to 1 (0 where it has none)."""
    counts_IC = column.counts()
    share_IC: Floats = counts_IC / np.maximum(counts_IC.sum(1, keepdims=True), 1)
    return share_IC[events.item]


def next_window_shares(events: Interactions, share_EC: Floats, window: int) -> Floats:
    """[S, C] mean shares of the next ``window`` events after each state; 0 where none follow."""
    cumulated = np.zeros((len(events) + 1, share_EC.shape[1]), np.float64)
    np.cumsum(share_EC, axis=0, out=cumulated[1:])
    group_S = np.repeat(np.arange(events.n_users), events.lengths + 1)
    start = events.offsets[:-1][group_S] + state_lengths(events)
    stop = np.minimum(start + window, events.offsets[1:][group_S])
    total = cumulated[stop] - cumulated[start]
    shares: Floats = (total / np.maximum(total.sum(1, keepdims=True), 1e-9)).astype(np.float32)
    return shares


def repeat_share(events: Interactions, among_E: Mask | None = None) -> float:
    """Share of the events, or of those of ``among_E`` [E], whose user met their item before."""
    repeated_E = seen_before(events)
    if among_E is not None:
        repeated_E = repeated_E[among_E]
    return float(repeated_E.mean()) if len(repeated_E) else 0.0


def seen_before(events: Interactions) -> Mask:
    """[E] whether the user met the event's item before."""
    key = events.group() * np.int64(events.n_items) + events.item
    _, first = np.unique(key, return_index=True)
    repeated = np.ones(len(events), np.bool_)
    repeated[first] = False
    return repeated
