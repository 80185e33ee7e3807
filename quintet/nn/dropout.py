"""Dropout whose random numbers cost little on a CPU.

Drawing one float a value takes a tenth of a training step here. A byte a value is enough for a rate
in steps of 1/256, and comes an order of magnitude faster from numpy's SFC64. Each call is seeded
from torch's generator, so that a run stays a function of its seed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """As ``nn.Dropout``, with the rate rounded to 1/256 on the CPU."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.cutoff = round(rate * 256)

    def forward(self, value: Tensor) -> Tensor:
        """The values, each zeroed with the rate's probability and the rest scaled up."""
        if not self.training or self.cutoff == 0:
            return value
        if value.device.type != "cpu":
            return F.dropout(value, self.rate)
        seed = int(torch.randint(1 << 62, ()))
        drawn = np.random.Generator(np.random.SFC64(seed)).bytes(value.numel())
        kept = np.frombuffer(drawn, np.uint8) >= self.cutoff
        scale = np.multiply(kept, np.float32(256 / (256 - self.cutoff)), dtype=np.float32)
        return value * torch.from_numpy(scale).view(value.shape).to(value.dtype)
