from __future__ import annotations

import math
import sys

import pytest
from pydantic import Field, PositiveFloat, PositiveInt

from quintet.config import Config, tunable
from quintet.errors import ConfigError, MissingExtraError
from quintet.memory.base import MEMORIES
from quintet.train.rating_models import RATING_BASELINES
from quintet.train.search import search, space_of

pytest.importorskip("optuna")


class Settings(Config):
    k: PositiveInt = tunable(8, low=2, high=64, log=True)
    rate: float = tunable(0.5, low=0.0, high=1.0)
    half_life: PositiveFloat | None = tunable(None, low=1.0, high=10.0, log=True)
    kind: str | None = tunable("a", choices=["a", None, "b"])
    sizes: list[int] = tunable([1], choices=[[1], [2, 3]])
    fixed: int = Field(3)


SPACE = space_of(Settings)


def near_seven_tenths(values):
    return -((values["rate"] - 0.7) ** 2)


def test_a_space_tells_whole_numbers_options_and_defaults() -> None:
    assert set(SPACE) == {"k", "rate", "half_life", "kind", "sizes"}
    assert [SPACE[n]["integer"] for n in ("k", "rate", "half_life")] == [True, False, False]
    assert [SPACE[n]["optional"] for n in ("k", "half_life", "kind")] == [False, True, True]
    assert SPACE["half_life"]["default"] is None
    assert (SPACE["k"]["low"], SPACE["k"]["high"], SPACE["k"]["log"]) == (2, 64, True)


def test_the_defaults_are_tried_first() -> None:
    result = search(SPACE, near_seven_tenths, trials=3, seed=5)
    assert result.history[0].values == {
        "k": 8,
        "rate": 0.5,
        "half_life": None,
        "kind": "a",
        "sizes": [1],
    }
    assert result.history[0].score == pytest.approx(-0.04)
    assert len(result.history) == 3


@pytest.mark.parametrize("part", [*MEMORIES.parts.values(), *RATING_BASELINES.values()])
def test_every_declared_default_lies_in_its_range(part) -> None:
    space = space_of(part.Config)
    result = search(space, lambda values: 0.0, trials=1, seed=0)
    default = part.Config()
    assert result.best_values == {name: getattr(default, name) for name in space}


def test_values_keep_their_kind_and_range() -> None:
    result = search(SPACE, near_seven_tenths, trials=40, seed=0)
    for tried in result.history:
        Settings(**tried.values)
        assert type(tried.values["k"]) is int
        assert 2 <= tried.values["k"] <= 64
        assert 0 <= tried.values["rate"] <= 1
        assert tried.values["half_life"] is None or 1 <= tried.values["half_life"] <= 10
    seen = [tried.values for tried in result.history]
    assert {str(values["kind"]) for values in seen} == {"a", "None", "b"}
    assert any(values["half_life"] is not None for values in seen[1:])
    assert any(values["half_life"] is None for values in seen[1:])
    assert any(values["sizes"] == [2, 3] for values in seen)


def test_the_best_is_found_and_kept() -> None:
    result = search(SPACE, near_seven_tenths, trials=40, seed=0)
    assert result.best_values["rate"] == pytest.approx(0.7, abs=0.05)
    assert result.best_score == max(tried.score for tried in result.history)
    assert result.best_score == near_seven_tenths(result.best_values)


def test_the_seed_decides() -> None:
    first, again, other = (
        search(SPACE, near_seven_tenths, trials=12, seed=seed).history for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_of_equals_the_earliest_is_best() -> None:
    result = search(SPACE, lambda values: 1.0, trials=4, seed=0)
    assert result.best_values == result.history[0].values


def test_nothing_is_computed_twice() -> None:
    calls = []

    def score(values):
        calls.append(values["flag"])
        return float(values["flag"])

    space = {"flag": {"choices": [False, True], "default": False}}
    result = search(space, score, trials=10, seed=0)
    assert sorted(calls) == [False, True]
    assert len(result.history) == 10


def test_no_number_is_the_worst_score() -> None:
    result = search(
        {"x": {"low": 0.0, "high": 1.0, "default": 0.0}},
        lambda values: math.nan if values["x"] < 0.5 else values["x"],
        trials=20,
        seed=0,
    )
    assert result.history[0].score == -math.inf
    assert result.best_score >= 0.5


def test_a_space_without_defaults_is_searched_too() -> None:
    result = search(
        {"n": {"low": 1, "high": 9, "integer": True}}, lambda v: v["n"], trials=9, seed=0
    )
    assert type(result.best_values["n"]) is int


def test_without_ranges_the_defaults_alone_are_scored() -> None:
    result = search({}, lambda values: 2.0, trials=3, seed=0)
    assert (result.best_values, result.best_score) == ({}, 2.0)


def test_each_trial_is_told_and_nothing_printed(capfd) -> None:
    told = []
    result = search(
        SPACE,
        near_seven_tenths,
        trials=3,
        seed=0,
        on_trial=lambda n, tried: told.append((n, tried)),
    )
    assert told == list(enumerate(result.history))
    printed = capfd.readouterr()
    assert not printed.out
    assert not printed.err


@pytest.mark.parametrize(
    ("space", "trials", "message"),
    [
        (SPACE, 0, "trials=0"),
        ({"x": {"low": 0.0}}, 1, "x: give low and high"),
        ({"x": {"low": 0, "high": 1, "default": 3}}, 1, "x: default 3"),
        ({"x": {"choices": [1, 2], "default": 3}}, 1, "x: default 3"),
    ],
)
def test_what_cannot_be_searched_is_refused(space, trials, message) -> None:
    with pytest.raises(ConfigError, match=message):
        search(space, lambda values: 0.0, trials=trials, seed=0)


def test_without_the_library_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"quintet\[tune\]"):
        search(SPACE, near_seven_tenths, trials=1, seed=0)
