import tomllib

import pytest

from quintet.errors import ConfigError
from quintet.train.pipeline import TrainConfig
from quintet.train.tune import as_toml, overlaid, tuning_space


def test_few_settings_are_tuned_and_the_ranking_weight_is_the_unit():
    space = tuning_space(TrainConfig())
    assert set(space) == {
        "loop.learning_rate",
        "model.width",
        "model.backbone_settings.layers",
        "model.tasks.interaction.weight",
        "model.tasks.item.weight",
        "model.tasks.profile.weight",
        "model.tasks.strategy.weight",
    }


def test_tasks_that_are_off_are_not_tuned_and_only_fields_of_the_backbone_are():
    model = {"off": ("profile",), "backbone": "convolution", "backbone_settings": {"dropout": 0.4}}
    space = tuning_space(TrainConfig(model=model))
    assert "model.tasks.profile.weight" not in space
    assert "model.backbone_settings.layers" not in space
    # left open, dropout is chosen by the data: the first trial is that of the settings given
    assert space["model.backbone_settings.dropout"]["default"] == 0.4


def test_ranges_hold_the_settings_given():
    given = {"model": {"width": 16}, "loop": {"learning_rate": 0.05}}
    space = tuning_space(TrainConfig(**given))
    assert space["model.width"]["default"] == 16
    assert space["model.width"]["choices"] == [16, 32, 64, 128]
    assert space["loop.learning_rate"]["default"] == 0.05
    assert space["loop.learning_rate"]["high"] == 0.05
    assert space["loop.learning_rate"]["low"] == 3e-4


def test_chosen_values_lie_over_those_given_without_changing_them():
    given = {"loop": {"epochs": 3, "learning_rate": 1e-3}}
    best = overlaid(given, {"loop.learning_rate": 2e-3, "model.tasks.item.weight": 0.5})
    assert best == {
        "loop": {"epochs": 3, "learning_rate": 2e-3},
        "model": {"tasks": {"item": {"weight": 0.5}}},
    }
    assert given["loop"]["learning_rate"] == 1e-3


def test_toml_reads_back_as_what_was_written():
    values = {
        "seed": 3,
        "loop": {"learning_rate": 2.5e-5, "low_precision": True},
        "memories": {"last_item": {}, "ease": {"half_life": 5.0}},
        "model": {"off": ["profile"], "backbone": 'a "name"'},
    }
    text = as_toml(values, "two\nlines")
    assert text.startswith("# two\n# lines\n")
    assert tomllib.loads(text) == values


def test_toml_has_no_word_for_none():
    with pytest.raises(ConfigError, match=r"loop\.low_precision"):
        as_toml({"loop": {"low_precision": None}}, "")


def test_a_name_that_toml_would_not_take_bare_is_quoted():
    values = {"memories": {"ease@buy": {"l2": 3.0}, "transitions": {}}}
    assert tomllib.loads(as_toml(values, "")) == values
