"""What a fault is given: models, an empty folder, chance, and how long it may be."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.models import Models
from benchmarks.faults.tally import Tally


@dataclass(frozen=True)
class Scene:
    """Of one fault.

    Attributes:
        models: trained before; never changed.
        folder: empty, removed afterwards.
        chance: seeded.
        long: whether to run the full fuzz and the soak.
        scale: share of the rounds; tests run a few.
    """

    models: Models
    folder: Path
    chance: random.Random
    long: bool = False
    scale: float = 1.0

    def rounds(self, n: int) -> int:
        """``n``, or as many as a short run does."""
        return max(1, round(n * self.scale))


Fault = Callable[[Scene], Tally]
