"""What every kind of experts must keep, whatever it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quintet.nn.experts.base import EXPERTS, Experts

every = pytest.mark.parametrize("name", EXPERTS.names())
D, S, N = 8, 3, 12
READERS = ["interaction", "profile"]


def made(name: str, moved: bool = True) -> Experts:
    part = EXPERTS.get(name)
    experts = part(D, READERS, S, part.Config(hidden=4, dropout=0.0)).eval()
    if moved:
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in experts.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return experts


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(N, D), torch.randn(N, D), torch.arange(N) % (S + 1) - 1


def test_three_kinds_are_found() -> None:
    assert EXPERTS.names() == ["mmoe", "ple", "shared_bottom"]


@every
def test_it_starts_at_the_state_plus_the_request(name: str) -> None:
    state_ND, request_ND, scenario_N = inputs()
    for answer in made(name, moved=False)(state_ND, request_ND, scenario_N).values():
        torch.testing.assert_close(answer, state_ND + request_ND)


@every
def test_every_reader_gets_a_state_of_its_own_row(name: str) -> None:
    state_ND, request_ND, scenario_N = inputs()
    experts = made(name)
    whole = experts(state_ND, request_ND, scenario_N)
    assert list(whole) == READERS
    for reader, answer in whole.items():
        assert answer.shape == (N, D)
        assert answer.isfinite().all()
        for row in range(N):
            alone = experts(*(part[row : row + 1] for part in (state_ND, request_ND, scenario_N)))
            torch.testing.assert_close(alone[reader][0], answer[row])


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    experts = made(name)
    answers = experts(*inputs())
    torch.stack(list(answers.values())).square().sum().backward()
    for parameter_name, parameter in experts.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every
def test_nothing_asked_is_no_error(name: str) -> None:
    none = torch.zeros(0, D)
    answers = made(name)(none, none, torch.zeros(0, dtype=torch.long))
    assert all(answer.shape == (0, D) for answer in answers.values())


def test_gates_make_readers_differ_and_a_shared_bottom_does_not() -> None:
    for name in EXPERTS.names():
        one, other = made(name)(*inputs()).values()
        assert torch.equal(one, other) == (name == "shared_bottom"), name


def test_a_scenarios_own_expert_moves_that_scenario_alone() -> None:
    state_ND, request_ND, scenario_N = inputs()
    experts = made("ple")
    before = experts(state_ND, request_ND, scenario_N)["profile"]
    with torch.no_grad():
        experts.local[1][-1].bias.add_(1.0)
    moved_N = (experts(state_ND, request_ND, scenario_N)["profile"] - before).abs().sum(1) > 1e-6
    assert moved_N.tolist() == (scenario_N == 1).tolist()
