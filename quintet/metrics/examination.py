"""Position bias: what a place in the list adds, told apart from what the item is worth.

The position-based model (Craswell et al. 2008; Chuklin et al. 2015, section 3.4): a click happens
where a place is examined and the item attracts, ``P(click) = examined[place] · attracts[item]``.
Fitted by expectation maximisation (Chuklin et al. 2015, section 4.2.2). It can be told apart only
where items have stood at several places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import DataError, EmptyDataError

Values = NDArray[np.float64]

LARGEST = 1.0 - 1e-9


@dataclass(frozen=True)
class Examination:
    """A fitted position-based model.

    Attributes:
        examined_P: [P] chance that a place is examined, relative to the first.
        attracts_I: [I] chance that an item is clicked where it is examined, at the first place's
            scale; the overall rate for items never shown.
        rounds: of expectation maximisation.
    """

    examined_P: Values
    attracts_I: Values
    rounds: int

    def weights(self, position_N: ArrayLike) -> Values:
        """[N] inverse chances of examination: what a click at each place should count for."""
        weight: Values = 1.0 / self.examined_P[np.asarray(position_N, np.int64)]
        return weight


def fit_examination(
    item_N: ArrayLike,
    position_N: ArrayLike,
    clicked_N: ArrayLike,
    *,
    smoothing: float = 1.0,
    tolerance: float = 1e-6,
    most_rounds: int = 2000,
) -> Examination:
    """Fit the position-based model to logged impressions.

    Args:
        item_N: [N] item rows.
        position_N: [N] places, from 0 at the top.
        clicked_N: [N] whether each was clicked.
        smoothing: impressions at the overall rate that every item is given beforehand.
        tolerance: ends the fit when no place moves more.
        most_rounds: ends it anyway.

    Raises:
        EmptyDataError: no impression, or no click.
        DataError: lengths differ, a row is negative, or no item stood at two places, so that place
            and item cannot be told apart.
    """
    item, position = np.asarray(item_N, np.int64), np.asarray(position_N, np.int64)
    clicked = np.asarray(clicked_N, np.float64)
    _check(item, position, clicked)
    shown_IP = np.zeros((int(item.max()) + 1, int(position.max()) + 1))
    click_IP = np.zeros_like(shown_IP)
    np.add.at(shown_IP, (item, position), 1.0)
    np.add.at(click_IP, (item, position), clicked)
    if not ((shown_IP > 0).sum(1) > 1).any():
        raise DataError("no item stood at two places: show items at other places now and then")
    rate = float(clicked.mean())
    examined_P = np.linspace(1.0, 0.5, shown_IP.shape[1])
    attracts_I = np.full(len(shown_IP), rate)
    rounds = 0
    while rounds < most_rounds:
        rounds += 1
        before = examined_P / examined_P[0]
        both_IP = np.minimum(attracts_I[:, None] * examined_P, LARGEST)
        skipped_IP = (shown_IP - click_IP) / (1 - both_IP)
        # of the skipped: examined without attracting, and attracting without being examined
        seen_IP = click_IP + skipped_IP * examined_P * (1 - attracts_I[:, None])
        liked_IP = click_IP + skipped_IP * attracts_I[:, None] * (1 - examined_P)
        examined_P = seen_IP.sum(0) / np.maximum(shown_IP.sum(0), 1e-12)
        attracts_I = (liked_IP.sum(1) + smoothing * rate) / (shown_IP.sum(1) + smoothing)
        if np.abs(examined_P / examined_P[0] - before).max() < tolerance:
            break
    return Examination(examined_P / examined_P[0], attracts_I * examined_P[0], rounds)


def _check(item: NDArray[np.int64], position: NDArray[np.int64], clicked: Values) -> None:
    if not len(item):
        raise EmptyDataError("no impressions")
    if not len(item) == len(position) == len(clicked):
        raise DataError(
            f"one row an impression: {len(item)} items, {len(position)} places and "
            f"{len(clicked)} clicks were given"
        )
    if item.min() < 0 or position.min() < 0:
        raise DataError("items and places are rows from 0; a negative one was given")
    if not clicked.any():
        raise EmptyDataError(f"no click among {len(item)} impressions")
