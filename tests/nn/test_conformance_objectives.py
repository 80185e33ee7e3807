"""What every pre-training objective owes: a finite loss of histories that can be learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from quintet.data.batch import SequenceBatch, Windows, collate
from quintet.nn.items import ItemVectors
from quintet.nn.model import ModelConfig, make_tower
from quintet.nn.objectives.alignment import some
from quintet.nn.objectives.base import OBJECTIVES, Objective, PretrainStep
from quintet.nn.objectives.masked import drawn

from .worlds import N_ITEMS, log

D = 8
EVENTS = log()
every = pytest.mark.parametrize("name", OBJECTIVES.names())


def backbone_of(name: str) -> str:
    return "bidirectional" if OBJECTIVES.get(name).needs_both_ways else "transformer"


def batch_of(users: list[int]) -> SequenceBatch:
    rows = np.array(users)
    return collate(EVENTS, Windows(EVENTS.offsets[rows], EVENTS.offsets[rows + 1], rows))


def step_of(backbone: str = "transformer", users: list[int] | None = None) -> PretrainStep:
    """A step over drawn vectors; tower and vectors are leaves of the graph."""
    torch.manual_seed(0)
    settings = {"layers": 1, "dropout": 0.0}
    config = ModelConfig(width=D, longest=16, backbone=backbone, backbone_settings=settings)
    batch = batch_of([1, 2, 3, 5, 6, 7] if users is None else users)
    real_BL = torch.arange(batch.item_BL.shape[1])[None, :] < batch.length_B[:, None]
    return PretrainStep(
        batch=batch,
        positions_BL=real_BL,
        tower=make_tower(config, "content", n_behaviours=2, n_scenarios=2),
        items=ItemVectors(
            torch.randn(N_ITEMS, D, requires_grad=True), torch.zeros(N_ITEMS, requires_grad=True)
        ),
        identity_ID=torch.randn(N_ITEMS, D, requires_grad=True),
        warm_I=torch.from_numpy(EVENTS.item_counts() > 0),
        low_precision=False,
    )


def made(name: str) -> Objective:
    torch.manual_seed(0)
    return OBJECTIVES.get(name)(D).eval()


def loss_of(objective: Objective, step: PretrainStep) -> Tensor:
    torch.manual_seed(0)  # what is hidden or sampled
    return objective.loss(step)


def test_the_objectives_are_found() -> None:
    assert OBJECTIVES.names() == ["alignment", "causal", "contrast", "masked"]


@every
def test_the_loss_is_a_finite_number_that_moves_tower_and_content(name: str) -> None:
    step = step_of(backbone_of(name))
    loss = loss_of(made(name), step)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    moved = [p.grad for p in step.tower.backbone.parameters() if p.grad is not None]
    assert any(float(grad.abs().sum()) > 0 for grad in moved)
    assert step.items.vector_ID.grad is not None
    assert float(step.items.vector_ID.grad.abs().sum()) > 0


@every
def test_a_few_steps_lower_the_loss(name: str) -> None:
    step, objective = step_of(backbone_of(name)), made(name)
    assert step.identity_ID is not None
    learned = [*step.tower.parameters(), *objective.parameters()]
    learned += [step.items.vector_ID, step.items.bias_I, step.identity_ID]
    optimizer = torch.optim.Adam(learned, lr=0.02)
    first = float(loss_of(objective, step).detach())
    for _ in range(25):
        optimizer.zero_grad()
        loss_of(objective, step).backward()
        optimizer.step()
    assert float(loss_of(objective, step).detach()) < 0.9 * first


@every
def test_the_same_draw_gives_the_same_loss(name: str) -> None:
    one, two = (loss_of(made(name), step_of(backbone_of(name))) for _ in range(2))
    assert float(one.detach()) == float(two.detach())


@every
def test_padding_says_nothing(name: str) -> None:
    """What stands behind a history's end changes no loss."""
    step = step_of(backbone_of(name))
    real_BL = step.positions_BL
    noise = torch.where(real_BL, step.batch.gap_BL, torch.full_like(step.batch.gap_BL, 3))
    other = replace(step, batch=replace(step.batch, gap_BL=noise))
    objective = made(name)
    assert float(loss_of(objective, step).detach()) == pytest.approx(
        float(loss_of(objective, other).detach()), rel=1e-5
    )


@every
def test_a_batch_of_one_short_history_is_no_accident(name: str) -> None:
    shortest = int(np.flatnonzero(EVENTS.lengths == EVENTS.lengths[EVENTS.lengths > 0].min())[0])
    loss = loss_of(made(name), step_of(backbone_of(name), [shortest]))
    assert torch.isfinite(loss)


def test_what_comes_next_says_nothing_to_the_causal_states() -> None:
    step = step_of()
    state_ND, target_N = step.states(step.positions_BL)
    changed = step.batch.item_BL.clone()
    changed[:, 4:] = 0
    other_ND, _ = replace(step, batch=replace(step.batch, item_BL=changed)).states(
        step.positions_BL
    )
    row_N, seen_N = step.positions_BL.nonzero(as_tuple=True)
    early_N = seen_N <= 4
    torch.testing.assert_close(state_ND[early_N], other_ND[early_N])
    assert torch.equal(target_N, step.batch.item_BL[row_N, seen_N])


def test_a_hidden_event_is_foretold_from_both_sides() -> None:
    """The state of a hidden place depends on what stands behind it, and not on what it hides."""
    step = step_of("bidirectional", [1])
    token_1LD, time_1L = step.tower.tokens(step.batch, step.read_by(), None)
    hidden = token_1LD.detach().clone()
    hidden[0, 5] = step.tower.mask_D
    state = step.tower.backbone(hidden, step.batch.length_B + 1, time_1L)[0, 5]
    later = hidden.clone()
    later[0, 9, 0] += 1.0
    assert not torch.allclose(
        state, step.tower.backbone(later, step.batch.length_B + 1, time_1L)[0, 5]
    )


def test_some_event_of_every_window_is_hidden() -> None:
    length_B = torch.tensor([1, 2, 7, 7])
    hidden_BL = drawn(length_B, 7, 0.0)
    assert hidden_BL.sum(1).tolist() == [1, 1, 1, 1]
    place_BL = torch.arange(7).expand(4, 7)
    assert bool((place_BL[drawn(length_B, 7, 0.9)] >= 0).all())
    assert not bool((drawn(length_B, 7, 1.0) & (place_BL >= length_B[:, None])).any())


def test_a_sample_of_the_positions_is_among_them() -> None:
    positions_BL = torch.tensor([[True, False, True], [True, True, False]])
    kept = some(positions_BL, 3)
    assert int(kept.sum()) == 3
    assert not bool((kept & ~positions_BL).any())
    assert torch.equal(some(positions_BL, 9), positions_BL)
