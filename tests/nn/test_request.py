"""Requests as vectors, and the states that they turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from quintet.data.requests import QUERY_WORDS, query_tokens
from quintet.nn.experts.base import EXPERTS
from quintet.nn.request import RequestEncoder, usable_fields

from .worlds import model_of, tables

SHAPE = replace(model_of(tables()).shape, devices=["phone", "web"], queries=True, timed=True)
HOUR, DAY = 3_600_000_000, 86_400_000_000


def encoder(**settings: object) -> RequestEncoder:
    fields = ["scenario", "time", "device", "query"]
    made = RequestEncoder(4, SHAPE, fields, **({"withheld": 0.0} | settings))
    torch.manual_seed(0)
    with torch.no_grad():
        for table in made.tables.values():
            table.weight[1:] = torch.randn_like(table.weight[1:])
    return made.eval()


def test_what_tells_nothing_apart_is_not_read() -> None:
    every = ["scenario", "time", "device", "query"]
    assert usable_fields(SHAPE, every) == every
    bare = replace(SHAPE, scenarios=["all"], devices=["web"], queries=False, timed=False)
    assert usable_fields(bare, every) == []
    assert model_of(tables(scenarios=["all"])).turn is None


def test_an_unknown_request_adds_nothing() -> None:
    made = encoder()
    assert made(made.told(None, 3)).abs().sum() == 0
    unknown = {"scenario": torch.tensor([-1]), "query": torch.full((1, QUERY_WORDS), -1)}
    assert made(made.told(unknown, 1)).abs().sum() == 0


def test_hours_and_weekdays_are_those_of_the_clock() -> None:
    made = encoder()
    # the first of January 1970 was a Thursday: five days later, 7 o'clock, is a Tuesday
    time = torch.tensor([5 * DAY + 7 * HOUR, 12 * DAY + 7 * HOUR + 1, 5 * DAY + 8 * HOUR])
    told = made.told({"time": time}, 3)
    vector = made({"time": told["time"]})
    torch.testing.assert_close(vector[0], vector[1])
    assert not torch.equal(vector[0], vector[2])
    expected = made.tables["hour"].weight[1 + 7] + made.tables["weekday"].weight[1 + 1]
    torch.testing.assert_close(vector[0], expected)


def test_queries_are_bags_of_words_in_any_script() -> None:
    one, other, chinese, none = query_tokens(["Red LAMP", "lamp red", "红灯", None])
    assert sorted(one) == sorted(other)
    assert (chinese >= 0).sum() == 2  # each character is a word
    assert (none == -1).all()
    many = query_tokens([" ".join(f"w{n}" for n in range(50))])
    assert (many >= 0).sum() == QUERY_WORDS


def test_in_training_some_requests_are_withheld() -> None:
    made = encoder(withheld=0.5).train()
    told = made.told({"scenario": torch.zeros(400, dtype=torch.long)}, 400)["scenario"]
    assert 100 < (told == -1).sum() < 300
    assert (made.eval().told({"scenario": torch.zeros(4)}, 4)["scenario"] == 0).all()


@pytest.mark.parametrize("experts", EXPERTS.names())
def test_a_model_trains_with_every_kind_and_every_field(experts: str) -> None:
    data = tables()
    rng = np.random.default_rng(0)
    words = query_tokens(
        [["lamp", "soap", "chair"][n] for n in rng.integers(0, 3, len(data.events))]
    )
    context = {"query": words, "device": rng.integers(-1, 2, len(data.events))}
    data = replace(
        data,
        events=replace(data.events, context=context),
        devices=["phone", "web"],
    )
    every = ("scenario", "time", "device", "query")
    model = model_of(data, experts=experts, context=every)
    assert model.turn is not None
    assert model.turn.request.fields == ["scenario", "time", "device", "query"]
