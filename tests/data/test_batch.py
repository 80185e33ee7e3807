"""Batches of histories: every event once, no window across users, padding where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.batch import (
    N_GAPS,
    Windows,
    collate,
    gap_buckets,
    length_bucketed,
    newest_windows,
    training_windows,
)
from quintet.data.interactions import Interactions
from quintet.data.states import Moments

from .logs import logs, random_log

SECOND = 1_000_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(windows: Windows) -> list[int]:
    """The event rows of all windows, in order."""
    return [r for a, b in zip(windows.start, windows.stop, strict=True) for r in range(a, b)]


@settings(max_examples=100, deadline=None)
@given(events=logs(), longest=st.integers(1, 12), seed=st.integers(0, 1000))
def test_every_event_stands_in_exactly_one_window(
    events: Interactions, longest: int, seed: int
) -> None:
    windows = training_windows(events, longest, rng(seed))
    assert sorted(rows(windows)) == list(range(len(events)))
    length = windows.stop - windows.start
    assert ((length >= 1) & (length <= longest)).all()


@settings(max_examples=100, deadline=None)
@given(events=logs(), longest=st.integers(1, 12), seed=st.integers(0, 1000))
def test_windows_never_cross_users(events: Interactions, longest: int, seed: int) -> None:
    windows = training_windows(events, longest, rng(seed))
    assert (windows.start >= events.offsets[:-1][windows.user]).all()
    assert (windows.stop <= events.offsets[1:][windows.user]).all()


def test_epochs_cut_at_different_places() -> None:
    events = random_log(n_users=5, n_events=400)
    generator = rng()
    cuts = {tuple(training_windows(events, 10, generator).start) for _ in range(5)}
    assert len(cuts) == 5
    short = events.tail(10)  # what fits one window is never cut
    assert len(training_windows(short, 10, generator)) == short.n_users
    # without a generator the newest window of each history is a whole one
    fixed = training_windows(events, 10, None)
    newest = np.flatnonzero(np.isin(fixed.stop, events.offsets[1:][events.lengths > 10]))
    assert (fixed.stop - fixed.start)[newest].tolist() == [10] * len(newest)
    assert (fixed.stop - fixed.start).sum() == len(events)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), max_size=40),
    tokens=st.integers(1, 80),
    seed=st.one_of(st.none(), st.integers(0, 100)),
)
def test_batches_cover_every_window_once(lengths: list[int], tokens: int, seed: int | None) -> None:
    length = np.array(lengths, np.int64)
    windows = Windows(np.zeros_like(length), length, np.arange(len(length)))
    batches = list(length_bucketed(windows, tokens, None if seed is None else rng(seed)))
    assert sorted(w for batch in batches for w in batch) == list(range(len(lengths)))
    widest = max(lengths, default=0)
    for batch in batches:
        assert len(batch) > 0
        assert np.maximum(length[batch], 1).sum() < tokens + max(widest, 1)


def test_batches_hold_windows_of_similar_length_in_shuffled_order() -> None:
    length = rng().integers(1, 50, 2000)
    windows = Windows(np.zeros_like(length), length, np.arange(len(length)))
    batches = list(length_bucketed(windows, 500, rng(1)))
    padded = sum(len(b) * length[b].max() for b in batches)
    assert padded < 1.2 * length.sum()
    means = [length[b].mean() for b in batches]
    assert np.abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5
    other = [set(b) for b in length_bucketed(windows, 500, rng(2))]
    assert set(batches[0]) not in other
    plain = [length[b].mean() for b in length_bucketed(windows, 500, None)]
    assert plain == sorted(plain)


def by_hand() -> Interactions:
    """User 0: three events at 0 s, 5 s and 2 days; user 1: none; user 2: one, at 9 s."""
    return Interactions.build(
        np.array([0, 0, 0, 2]),
        np.array([3, 1, 3, 2]),
        n_users=3,
        n_items=4,
        time=np.array([0, 5, 2 * 86_400, 9]) * SECOND,
        behaviour=np.array([0, 1, 2, 1]),
        scenario=np.array([1, 0, 1, 1]),
        value=np.array([5, np.nan, 2, 4], np.float32),
    )


def test_collate_by_hand() -> None:
    events = by_hand()
    windows = Windows(np.array([0, 1, 3, 3]), np.array([2, 3, 3, 4]), np.array([0, 0, 1, 2]))
    batch = collate(events, windows)
    assert batch.item_BL.tolist() == [[3, 1], [1, 3], [4, 4], [2, 4]]  # 4 items: 4 is padding
    assert batch.behaviour_BL.tolist() == [[0, 1], [1, 2], [0, 0], [1, 0]]
    assert batch.scenario_BL.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    nan = float("nan")
    expected = torch.tensor([[5, nan], [nan, 2], [nan, nan], [4, nan]])
    torch.testing.assert_close(batch.value_BL, expected, equal_nan=True)
    # 5 s lie between 1 and 10 (bucket 2); two days between one and seven (bucket 9)
    assert batch.gap_BL.tolist() == [[0, 2], [2, 9], [0, 0], [0, 0]]
    assert batch.length_B.tolist() == [2, 2, 0, 1]
    assert batch.fresh_B.tolist() == [True, False, True, True]
    assert batch.user_B.tolist() == [0, 0, 1, 2]
    assert batch.event_BL.tolist() == [[0, 1], [1, 2], [0, 0], [3, 0]]


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 1), (0.5, 1), (1, 2), (9.9, 2), (10, 3), (3600, 8), (86_399, 8), (86_400, 9), (1e9, 11)],
)
def test_gap_buckets(seconds: float, bucket: int) -> None:
    events = Interactions.build(
        np.array([0, 0, 1]),
        np.array([0, 0, 0]),
        n_users=2,
        n_items=1,
        time=np.array([7, 7 + int(seconds * SECOND), 0]),
    )
    assert gap_buckets(events).tolist() == [0, bucket, 0]
    assert bucket < N_GAPS


def test_no_events_at_all() -> None:
    nobody = Interactions.build(np.zeros(0, np.int64), np.zeros(0, np.int64), n_users=2, n_items=3)
    assert gap_buckets(nobody).tolist() == []
    assert len(training_windows(nobody, 5, rng())) == 0
    batch = collate(nobody, newest_windows(Moments.newest(nobody), 5))
    assert batch.item_BL.tolist() == [[3], [3]]
    assert batch.length_B.tolist() == [0, 0]
    assert batch.fresh_B.tolist() == [True, True]


@settings(max_examples=50, deadline=None)
@given(events=logs(min_events=1), longest=st.integers(1, 6))
def test_the_moment_before_an_event_is_the_newest_of_the_shorter_log(
    events: Interactions, longest: int
) -> None:
    """Asked within a longer log or of the history alone, the batch is the same."""
    index = np.arange(len(events))
    within = collate(events, newest_windows(Moments.before(events, index), longest))
    histories = events.before(index)
    alone = collate(histories, newest_windows(Moments.newest(histories), longest))
    for name in ("item_BL", "behaviour_BL", "scenario_BL", "gap_BL", "length_B", "fresh_B"):
        assert torch.equal(getattr(within, name), getattr(alone, name)), name
    assert torch.equal(within.user_B, alone.user_B)
    torch.testing.assert_close(within.value_BL, alone.value_BL, equal_nan=True)


def test_without_last_drops_the_last_column_alone() -> None:
    batch = collate(by_hand(), Windows(np.array([0, 3]), np.array([3, 4]), np.array([0, 2])))
    shorter = batch.without_last()
    assert shorter.item_BL.tolist() == [[3, 1], [2, 4]]
    assert shorter.length_B.tolist() == [2, 1]
    assert torch.equal(shorter.fresh_B, batch.fresh_B)
    assert batch.item_BL.shape == (2, 3)


def test_to_moves_every_tensor() -> None:
    batch = collate(by_hand(), Windows(np.array([0]), np.array([3]), np.array([0]))).to("meta")
    assert {tensor.device.type for tensor in vars(batch).values()} == {"meta"}
