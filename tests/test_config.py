"""Settings: refused when unknown, read from TOML, changed by overrides."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from quintet.config import Config, apply_overrides, build, read_toml, search_space, tunable
from quintet.errors import ConfigError


class Optimiser(Config):
    """Nested settings."""

    rate: float = tunable(0.001, low=1e-5, high=0.1, log=True, description="step size")
    steps: int = Field(10, ge=1)


class Train(Config):
    """Settings with a part."""

    epochs: int = 3
    loss: str = tunable("softmax", choices=["softmax", "bpr"])
    optimiser: Optimiser = Optimiser()


def test_defaults_and_nested_values() -> None:
    made = build(Train, {"optimiser": {"rate": 0.5}})
    assert (made.epochs, made.optimiser.rate, made.optimiser.steps) == (3, 0.5, 10)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Train().epochs = 4


def test_unknown_settings_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"run\.toml: unknown setting 'epoch'; valid here: epochs, loss, optimiser",
    ):
        build(Train, {"epoch": 4}, "run.toml")
    with pytest.raises(
        ConfigError, match=r"unknown setting 'optimiser\.lr'; valid here: rate, steps"
    ):
        build(Train, {"optimiser": {"lr": 1.0}})


def test_values_that_do_not_fit_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Train, {"epochs": "many", "optimiser": {"steps": 0}})
    first, second = str(caught.value).splitlines()
    assert first.startswith("config: epochs: ")
    assert "'many'" in first
    assert second.startswith("config: optimiser.steps: ")
    assert "(got 0)" in second


def test_search_space_holds_tunable_fields_alone() -> None:
    assert search_space(Train) == {
        "loss": {"low": None, "high": None, "log": False, "choices": ["softmax", "bpr"]}
    }
    assert search_space(Optimiser) == {
        "rate": {"low": 1e-5, "high": 0.1, "log": True, "choices": None}
    }
    assert Optimiser.model_fields["rate"].description == "step size"


def test_read_toml(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("\ufeffepochs = 5\n[optimiser]\nrate = 0.1\n", encoding="utf8")
    assert read_toml(path) == {"epochs": 5, "optimiser": {"rate": 0.1}}
    with pytest.raises(ConfigError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    path.write_text("epochs = = 5", encoding="utf8")
    with pytest.raises(ConfigError, match="not a TOML file"):
        read_toml(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not a TOML file"):
        read_toml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("'quoted'", "quoted"),
        ("bare words", "bare words"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_override_values(text: str, value: object) -> None:
    assert apply_overrides({}, [f"key={text}"]) == {"key": value}


def test_overrides_reach_into_nested_settings() -> None:
    values = {"epochs": 3, "optimiser": {"rate": 0.1, "steps": 7}}
    changed = apply_overrides(values, ["optimiser.rate=0.2", "model.width=8", "epochs=4"])
    assert changed == {"epochs": 4, "optimiser": {"rate": 0.2, "steps": 7}, "model": {"width": 8}}
    assert values == {"epochs": 3, "optimiser": {"rate": 0.1, "steps": 7}}


def test_a_later_override_wins() -> None:
    assert apply_overrides({}, ["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize("override", ["epochs", "=3", " =3"])
def test_overrides_need_a_key_and_a_value(override: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        apply_overrides({}, [override])


NAMES = st.text("abc", min_size=1, max_size=3)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers())), NAMES, NAMES, st.integers())
def test_an_override_changes_one_value(
    values: dict[str, dict[str, int]], outer: str, inner: str, number: int
) -> None:
    changed = apply_overrides(values, [f"{outer}.{inner}={number}"])
    assert changed[outer][inner] == number
    assert {key: part for key, part in changed.items() if key != outer} == {
        key: part for key, part in values.items() if key != outer
    }
