"""What off-policy estimators refuse: wrong tables, and questions that a log cannot answer."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.errors import ConfigError, DataError, EmptyDataError
from quintet.metrics.off_policy import (
    BanditLog,
    doubly_robust,
    expected_reward,
    ips,
    item_position,
    snips,
    switch,
    switch_dr,
)
from quintet.metrics.off_policy_log import require_support

LOG = BanditLog([1.0, 0.0], [0.5, 0.25], [0.25, 0.5])


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (([1, 0], [0.5, 0.0], [0.5, 0.5]), r"\(0, 1\].*1 of 2 rows, the first at row 1"),
        (([1, 0], [0.5, 1.2], [0.5, 0.5]), r"\(0, 1\]"),
        (([1, 0], [0.5, np.nan], [0.5, 0.5]), "propensity must be finite.*row 1"),
        (([1, np.inf], [0.5, 0.5], [0.5, 0.5]), "reward must be finite"),
        (([1, 0], [0.5, 0.5], [0.5, -0.1]), r"lie in \[0, 1\]"),
        (([1, 0], [0.5], [0.5, 0.5]), r"propensity has shape \(1,\); expected \[2\]"),
        (([1, 0], [0.5, 0.5], [[0.5, 0.5]]), r"target has shape \(1, 2\)"),
        (([1, 0], [0.5, 0.5], [0.5, 0.5], ["a"]), "groups"),
    ],
)
def test_a_log_that_cannot_be_is_refused(rows: tuple, why: str) -> None:
    with pytest.raises(DataError, match=why):
        BanditLog(*rows)


def test_no_rows_and_no_clip() -> None:
    with pytest.raises(EmptyDataError, match="no rows"):
        BanditLog([], [], [])
    with pytest.raises(ConfigError, match="clip must be above 0"):
        BanditLog([1.0], [0.5], [0.5], clip=0)


@pytest.mark.parametrize(
    "ask", [ips, snips, lambda log: doubly_robust(log, [0, 0], [0, 0]),
            lambda log: item_position(log, [1, 2])]
)  # fmt: skip
def test_a_deterministic_log_has_no_support(ask) -> None:
    with pytest.raises(DataError, match="deterministic log has no support"):
        ask(BanditLog([1, 0], [1.0, 1.0], [0.5, 0.0]))
    with pytest.raises(DataError, match=r"with certainty.*1 of 2 rows, the first at row 1"):
        ask(BanditLog([1, 0], [0.5, 1.0], [0.5, 0.5]))
    with pytest.raises(DataError, match="choose none of the logged items"):
        ask(BanditLog([1, 0], [0.5, 0.5], [0.0, 0.0]))


def test_a_certain_choice_of_both_is_fine() -> None:
    assert ips(BanditLog([1, 0], [1.0, 0.5], [1.0, 0.5])).value == 0.5


def test_mass_without_support_is_named() -> None:
    require_support([[0.5, 0.5]], [[0.1, 0.9]])
    with pytest.raises(DataError, match=r"25.0% of .* propensity 0 \(1 of 2 rows.*row 1"):
        require_support([[0.5, 0.5], [0.5, 0.5]], [[0.1, 0.9], [1.0, 0.0]])
    with pytest.raises(DataError, match="shapes do not fit"):
        require_support([[0.5, 0.5]], [[1.0]])


def test_shapes_of_models_and_slates() -> None:
    with pytest.raises(DataError, match=r"predicted has shape \(1,\)"):
        doubly_robust(LOG, [0.1], [0.1, 0.2])
    with pytest.raises(DataError, match="expected must be finite"):
        doubly_robust(LOG, [0.1, 0.2], [0.1, np.nan])
    with pytest.raises(DataError, match="each row must sum to 1"):
        expected_reward([[0.5, 0.4]], [[0.1, 0.2]])
    with pytest.raises(DataError, match="shapes do not fit"):
        expected_reward([[0.5, 0.5]], [[0.1]])
    with pytest.raises(DataError, match=r"logging has shape \(1, 2\); expected \[2, A\]"):
        switch(LOG, [[0.5, 0.5]], [[0.5, 0.5]] * 2, [[0.1, 0.2]] * 2, 1.0)
    with pytest.raises(DataError, match="shapes do not fit: logging"):
        switch(LOG, [[0.5, 0.5]] * 2, [[0.5, 0.5]] * 2, [[0.1]] * 2, 1.0)
    with pytest.raises(DataError, match="predicted must be finite"):
        switch(LOG, [[0.5, 0.5]] * 2, [[0.5, 0.5]] * 2, [[0.1, np.nan]] * 2, 1.0)
    with pytest.raises(DataError, match="two items at one position"):
        item_position(LOG, [1, 1], ["s", "s"])
    with pytest.raises(DataError, match=r"positions \[2\]"):
        item_position(BanditLog([1, 0], [0.5, 0.5], [0.5, 0.0]), [1, 2])
    with pytest.raises(DataError, match="positions"):
        item_position(LOG, [1])


def test_settings_out_of_range() -> None:
    for threshold in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="threshold"):
            switch_dr(LOG, [0, 0], [0, 0], threshold)
    with pytest.raises(ConfigError, match="level"):
        ips(LOG, level=95)
    with pytest.raises(DataError, match="two groups"):
        ips(BanditLog([1, 0], [0.5, 0.5], [0.5, 0.5], ["u", "u"]))
