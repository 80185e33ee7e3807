"""What every backbone owes the towers: shape, causality, indifference to padding and company."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quintet.config import build, search_space
from quintet.errors import ConfigError
from quintet.nn.backbones.base import BACKBONES, Backbone

WIDTH, LONGEST, B, L = 8, 12, 5, 12
CAUSAL = [name for name, part in BACKBONES.parts.items() if part.causal]
every = pytest.mark.parametrize("name", BACKBONES.names())
causal = pytest.mark.parametrize("name", CAUSAL)


def backbone(name: str) -> Backbone:
    torch.manual_seed(0)
    return BACKBONES.get(name)(WIDTH, LONGEST)


def tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))


def lengths(*values: int) -> Tensor:
    return torch.tensor(values)


def test_both_backbones_are_found() -> None:
    assert {"transformer", "convolution"} <= set(BACKBONES.names())


@every
@pytest.mark.parametrize("width", [1, 3, L])
def test_states_have_the_shape_of_the_tokens(name: str, width: int) -> None:
    states = backbone(name)(tokens(B, width), lengths(*[width] * B))
    assert states.shape == (B, width, WIDTH)
    assert states.isfinite().all()


@causal
@pytest.mark.parametrize("changed", [0, 1, 5, L - 1])
def test_the_future_never_leaks(name: str, changed: int) -> None:
    network = backbone(name).eval()
    before = tokens(B, L)
    after = before.clone()
    after[:, changed] = tokens(B, seed=2)
    full = lengths(*[L] * B)
    one, other = network(before, full), network(after, full)
    torch.testing.assert_close(one[:, :changed], other[:, :changed], rtol=0, atol=1e-6)
    assert (one[:, changed] - other[:, changed]).abs().amax(-1).min() > 1e-4


@causal
def test_every_earlier_event_reaches_the_state(name: str) -> None:
    network = backbone(name).eval()
    given = tokens(1, L).requires_grad_()
    network(given, lengths(L))[0, -1].square().sum().backward()
    assert given.grad is not None
    reach = given.grad[0].abs().amax(-1)
    # a maximum passes one event alone, but the convolution's mean passes all of them
    assert (reach > 1e-7).all()


@every
def test_padding_never_changes_a_state(name: str) -> None:
    network = backbone(name).eval()
    given = tokens(1, 6)
    alone = network(given, lengths(6))
    for filler in (torch.zeros(1, 4, WIDTH), 100 * tokens(1, 4, seed=3)):
        padded = network(torch.cat([given, filler], 1), lengths(6))
        torch.testing.assert_close(padded[:, :6], alone, rtol=0, atol=1e-5)


@every
def test_alone_equals_in_a_batch(name: str) -> None:
    network = backbone(name).eval()
    given, length = tokens(B, L), lengths(1, 4, 12, 7, 9)
    together = network(given, length)
    for row, n in enumerate(length.tolist()):
        alone = network(given[row : row + 1, :n], length[row : row + 1])
        torch.testing.assert_close(together[row, :n], alone[0], rtol=0, atol=1e-5)


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    network = backbone(name)
    states = network(tokens(B, LONGEST), lengths(*[LONGEST] * B))
    (states * tokens(B, LONGEST, seed=4)).sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every
def test_the_order_of_events_matters(name: str) -> None:
    network = backbone(name).eval()
    given = tokens(1, L)
    swapped = given[:, [1, 0, *range(2, L)]]
    one, other = network(given, lengths(L)), network(swapped, lengths(L))
    assert not torch.allclose(one[:, 1], other[:, 1], atol=1e-4)


@every
def test_dropout_acts_in_training_alone(name: str) -> None:
    network = backbone(name).eval()
    given, full = tokens(B, L), lengths(*[L] * B)
    torch.testing.assert_close(network(given, full), network(given, full), rtol=0, atol=0)
    network.train()
    assert not torch.equal(network(given, full), network(given, full))


@every
def test_settings_are_declared_with_their_ranges(name: str) -> None:
    part = BACKBONES.get(name)
    assert search_space(part.Config)
    with pytest.raises(ConfigError, match="valid here"):
        build(part.Config, {"no_such_setting": 1}, "backbone_settings")
