"""Dropout whose random numbers cost little on a CPU.

Drawing one float a value takes a tenth of a training step here. A byte a value is enough for a rate
in steps of 1/256, and comes an order of magnitude faster from numpy's SFC64, eight at a time. Each
call is seeded from torch's generator, so that a run stays a function of its seed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
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
        draw = np.random.Generator(np.random.SFC64(seed)).integers
        words = draw(1 << 64, size=-(-value.numel() // 8), dtype=np.uint64)
        kept = words.view(np.uint8)[: value.numel()] >= self.cutoff
        return value * self._scale(kept, value.dtype).view(value.shape)

    def _scale(self, kept: NDArray[np.bool_], dtype: torch.dtype) -> Tensor:
        """What to multiply by: 0, or the inverse of the share that is kept."""
        factor = 256 / (256 - self.cutoff)
        if dtype == torch.bfloat16:  # numpy knows no such type: its bits, as integers
            bits = torch.tensor(factor, dtype=dtype).view(torch.int16).item()
            scale = torch.from_numpy(np.multiply(kept, np.int16(bits), dtype=np.int16))
            return scale.view(dtype)
        return torch.from_numpy(np.multiply(kept, np.float32(factor), dtype=np.float32)).to(dtype)
