"""Two views of a history share no event, and come from it alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quintet.data.batch import Windows, collate
from quintet.data.interactions import Interactions
from quintet.nn.views import LONGEST, MOST_HISTORIES, SHORTEST, two_views

N_ITEMS = 7


def log(*lengths: int) -> Interactions:
    """Histories of the given lengths; every event's value is its own row."""
    n = sum(lengths)
    rng = np.random.default_rng(0)
    return Interactions.build(
        np.repeat(np.arange(len(lengths)), lengths),
        rng.integers(N_ITEMS, size=n),
        n_users=len(lengths),
        n_items=N_ITEMS,
        value=np.arange(n, dtype=np.float32),
    )


def views_of(events: Interactions):
    windows = Windows(events.offsets[:-1], events.offsets[1:], np.arange(events.n_users))
    return two_views(collate(events, windows), N_ITEMS)


@pytest.mark.parametrize("length", [SHORTEST, 9, 17, 24, 25, 40])
def test_pieces_share_no_event_and_stay_in_their_half(length: int) -> None:
    events = log(3, length, length + 1)
    pieces = views_of(events)
    assert pieces is not None
    for row, (user, n) in enumerate([(1, length), (2, length + 1)]):
        first = int(events.offsets[user])
        shown = [{int(v) for v in piece.value_BL[row] if not torch.isnan(v)} for piece in pieces]
        assert shown[0] & shown[1] == set()
        size = min(n // 2, LONGEST)
        assert shown[0] == {first + n // 2 - k for k in range(1, size + 1)}
        assert shown[1] == {first + n - k for k in range(1, size + 1)}


def test_pieces_are_whole_batches_of_their_events() -> None:
    events = log(8, 30)
    pieces = views_of(events)
    assert pieces is not None
    for piece in pieces:
        assert piece.length_B.tolist() == [4, 12]
        assert piece.user_B.tolist() == [-1, -1], "the views must not know their user"
        for row, size in enumerate(piece.length_B.tolist()):
            index = piece.value_BL[row, :size].long()
            torch.testing.assert_close(piece.event_BL[row, :size], index)
            torch.testing.assert_close(
                piece.item_BL[row, :size], torch.from_numpy(events.item)[index]
            )
            assert (piece.item_BL[row, size:] == N_ITEMS).all()
            assert piece.value_BL[row, size:].isnan().all()
    # the first half of 8 starts at the first event; that of 30 is cut at 12
    assert pieces[0].fresh_B.tolist() == [True, False]
    assert pieces[1].fresh_B.tolist() == [False, False]


def test_short_histories_have_no_views() -> None:
    assert views_of(log(SHORTEST - 1, 3, 0)) is None
    assert views_of(log(SHORTEST, 3)) is None, "a contrast needs two"
    pieces = views_of(log(2, SHORTEST, 0, SHORTEST))
    assert pieces is not None
    assert len(pieces[0].length_B) == 2


def test_at_most_so_many_histories() -> None:
    pieces = views_of(log(*[SHORTEST] * (MOST_HISTORIES + 5)))
    assert pieces is not None
    assert len(pieces[0].length_B) == MOST_HISTORIES
