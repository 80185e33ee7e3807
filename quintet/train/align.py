"""A first content encoder: from attributes to the vectors that items earned in histories.

The content tower starts where its items already stand near those they were met with, as the
identity tower does; both then learn from their own losses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quintet.data.interactions import Floats
from quintet.nn.content import ContentEncoder, Inputs

STEPS = 200
ITEMS_A_STEP = 2048
LEARNING_RATE = 2e-3
SCALE = 0.3


def align_content(
    encoder: ContentEncoder, inputs: Inputs, start_ID: Floats, count_I: Floats
) -> float:
    """Regress items' first identity vectors on their attributes; returns the last loss.

    Args:
        encoder: changed in place.
        inputs: prepared attributes of the catalogue.
        start_ID: [I, D] co-occurrence vectors; rows of zeros teach nothing.
        count_I: [I] training events; an item counts by their square root.
    """
    target_ID = torch.from_numpy(start_ID / max(float(start_ID.std()), 1e-12))
    known_I = torch.from_numpy(count_I > 0) & (target_ID.abs().sum(1) > 0)
    weight_J = torch.from_numpy(count_I).float()[known_I].sqrt()
    weight_J1 = (weight_J / weight_J.mean())[:, None]
    own = {
        name: {key: tensor[known_I] for key, tensor in tensors.items()}
        for name, tensors in inputs.items()
    }
    target_JD = target_ID[known_I]
    optimizer = torch.optim.Adam(encoder.parameters(), lr=LEARNING_RATE)
    encoder.train()
    loss = torch.zeros(())
    for _ in range(STEPS):
        drawn_N = torch.randint(len(target_JD), (min(ITEMS_A_STEP, len(target_JD)),))
        batch = {
            name: {key: tensor[drawn_N] for key, tensor in tensors.items()}
            for name, tensors in own.items()
        }
        optimizer.zero_grad()
        error_ND: Tensor = encoder(batch) - target_JD[drawn_N]
        loss = (error_ND.square() * weight_J1[drawn_N]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        encoder.project.weight.mul_(SCALE)
        encoder.project.bias.mul_(SCALE)
    return float(loss.detach())
