"""What every backbone owes the towers: shape, causality, indifference to padding and company."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from quintet.config import build, search_space
from quintet.errors import ConfigError
from quintet.nn.backbones.base import BACKBONES, Backbone
from quintet.nn.backbones.hstu import time_buckets

WIDTH, LONGEST, B, L = 8, 12, 5, 12
MINUTE = 60_000_000
FAMILIES = ("llama", "qwen3", "gpt2", "bert")
NEEDS_HF = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs quintet[hf]"
)
#: by what a test calls it: the backbone and its settings
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, {}) for name in BACKBONES.names() if name != "hugging_face"
} | {family: ("hugging_face", {"family": family}) for family in FAMILIES}
BOTH_WAYS = {"bidirectional", "bert"}


def _marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=NEEDS_HF if name in FAMILIES else ()) for name in names]


every = pytest.mark.parametrize("name", _marked(KINDS))
causal = pytest.mark.parametrize("name", _marked(name for name in KINDS if name not in BOTH_WAYS))


def backbone(name: str) -> Backbone:
    torch.manual_seed(0)
    part, settings = KINDS[name]
    cls = BACKBONES.get(part)
    return cls(WIDTH, LONGEST, build(cls.Config, settings))


def times(tokens_BLD: Tensor, seed: int = 9) -> Tensor:
    """Some minutes between events, from a moment of its own for each sequence."""
    B, L = tokens_BLD.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    gaps_BL = torch.randint(0, 3000, (B, LONGEST + 2), generator=generator)
    return (1_700_000_000_000_000 + MINUTE * gaps_BL.cumsum(1))[:, :L]


def states(network: Backbone, tokens_BLD: Tensor, length_B: Tensor) -> Tensor:
    out: Tensor = network(tokens_BLD, length_B, times(tokens_BLD))
    return out


def tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))


def lengths(*values: int) -> Tensor:
    return torch.tensor(values)


def test_all_backbones_are_found() -> None:
    named = {"bidirectional", "convolution", "gru", "hstu", "hugging_face", "transformer"}
    assert named <= set(BACKBONES.names())


@every
@pytest.mark.parametrize("width", [1, 3, L])
def test_states_have_the_shape_of_the_tokens(name: str, width: int) -> None:
    given = states(backbone(name), tokens(B, width), lengths(*[width] * B))
    assert given.shape == (B, width, WIDTH)
    assert given.isfinite().all()


@causal
@pytest.mark.parametrize("changed", [0, 1, 5, L - 1])
def test_the_future_never_leaks(name: str, changed: int) -> None:
    network = backbone(name).eval()
    before = tokens(B, L)
    after = before.clone()
    after[:, changed] = tokens(B, seed=2)
    full = lengths(*[L] * B)
    one, other = states(network, before, full), states(network, after, full)
    torch.testing.assert_close(one[:, :changed], other[:, :changed], rtol=0, atol=1e-6)
    assert (one[:, changed] - other[:, changed]).abs().amax(-1).min() > 1e-4


@causal
def test_every_earlier_event_reaches_the_state(name: str) -> None:
    network = backbone(name).eval()
    given = tokens(1, L).requires_grad_()
    last_D = states(network, given, lengths(L))[0, -1]
    # not the sum of squares: a normed state has the same one always
    (last_D * tokens(seed=4)).sum().backward()
    assert given.grad is not None
    reach = given.grad[0].abs().amax(-1)
    # a maximum passes one event alone, but the convolution's mean passes all of them
    assert (reach > 1e-7).all()


@every
def test_padding_never_changes_a_state(name: str) -> None:
    network = backbone(name).eval()
    given = tokens(1, 6)
    alone = states(network, given, lengths(6))
    for filler in (torch.zeros(1, 4, WIDTH), 100 * tokens(1, 4, seed=3)):
        padded = states(network, torch.cat([given, filler], 1), lengths(6))
        torch.testing.assert_close(padded[:, :6], alone, rtol=0, atol=1e-5)


@every
def test_alone_equals_in_a_batch(name: str) -> None:
    network = backbone(name).eval()
    given, length = tokens(B, L), lengths(1, 4, 12, 7, 9)
    when = times(given)
    together = network(given, length, when)
    for row, n in enumerate(length.tolist()):
        alone = network(given[row : row + 1, :n], length[row : row + 1], when[row : row + 1, :n])
        torch.testing.assert_close(together[row, :n], alone[0], rtol=0, atol=1e-5)


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    network = backbone(name)
    # a place for the mask token is there for those that look both ways
    length = LONGEST + (not network.causal)
    given = states(network, tokens(B, length), lengths(*[length] * B))
    (given * tokens(B, length, seed=4)).sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every
def test_the_order_of_events_matters(name: str) -> None:
    network = backbone(name).eval()
    given = tokens(1, L)
    swapped = given[:, [1, 0, *range(2, L)]]
    one, other = states(network, given, lengths(L)), states(network, swapped, lengths(L))
    assert not torch.allclose(one[:, 1], other[:, 1], atol=1e-4)


@every
def test_dropout_acts_in_training_alone(name: str) -> None:
    network = backbone(name).eval()
    given, full = tokens(B, L), lengths(*[L] * B)
    one, other = states(network, given, full), states(network, given, full)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    network.train()
    assert not torch.equal(states(network, given, full), states(network, given, full))


@every
def test_settings_are_declared_with_their_ranges(name: str) -> None:
    part = BACKBONES.get(KINDS[name][0])
    assert "dropout" in part.Config.model_fields  # which is set by how often items are met
    assert search_space(part.Config)
    with pytest.raises(ConfigError, match="valid here"):
        build(part.Config, {"no_such_setting": 1}, "backbone_settings")


# ---------------------------------------------------------------- looking both ways, and time


@every
def test_who_looks_both_ways_says_so(name: str) -> None:
    network = backbone(name).eval()
    assert network.causal == (name not in BOTH_WAYS)
    given, full = tokens(1, L), lengths(L)
    changed = given.clone()
    changed[:, -1] = tokens(1, seed=2)
    moved = (states(network, given, full) - states(network, changed, full))[0].abs().amax(-1)
    assert (moved[:-1] > 1e-6).all() == (name in BOTH_WAYS)


def test_hstu_reads_how_long_ago_an_event_was() -> None:
    network = backbone("hstu").eval()
    given, full = tokens(1, L), lengths(L)
    when = times(given)
    later = when.clone()
    later[:, 6:] += 1000 * 24 * 60 * MINUTE
    one, other = network(given, full, when), network(given, full, later)
    torch.testing.assert_close(one[:, :6], other[:, :6], rtol=0, atol=0)
    assert (one[:, 6:] - other[:, 6:]).abs().amax(-1).min() > 1e-5
    shifted = network(given, full, when + 5 * MINUTE)
    torch.testing.assert_close(one, shifted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (1, 0), (1.36, 1), (3600, 27), (86_400 * 365 * 30, 68)]
)
def test_time_buckets_grow_with_the_logarithm(seconds: float, bucket: int) -> None:
    # ln(3600) / .301 = 27.2; ln(946,080,000) / .301 = 68.7
    assert time_buckets(torch.tensor(int(seconds * 1e6))).item() == bucket
