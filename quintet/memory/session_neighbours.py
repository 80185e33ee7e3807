"""Session-based nearest neighbours whose recent events count more (V-SKNN).

Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", User Modeling and
User-Adapted Interaction 28, 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from quintet.config import tunable
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.matrices import age
from quintet.memory.sessions import Doubles, NearSessions, Pairs, history_lengths

Decay: TypeAlias = Literal["linear", "harmonic", "quadratic", "logarithmic", "none"]

#: weight of an event from its age (0: the last one) and the length of its history
DECAYS: dict[Decay, Callable[[Ints, Ints], Doubles]] = {
    "linear": lambda age_N, length_N: np.maximum(length_N - age_N, 0) / length_N,
    "harmonic": lambda age_N, _: 1 / (age_N + 1),
    "quadratic": lambda age_N, _: 1 / (age_N + 1) ** 2,
    "logarithmic": lambda age_N, _: np.asarray(1 / np.log2(age_N + 2)),
    "none": lambda age_N, _: np.ones(len(age_N)),
}
CHOICES = list(DECAYS)


class SessionNeighbours(NearSessions):
    """V-SKNN: ``sim(h, n) = Σ decay(age)`` over the events of the history h whose item n holds.

    A neighbour n adds ``sim(h, n) * score_decay(age of the newest shared item)`` to each of its
    items. "linear" decays are ``(length - age) / length``, "harmonic" ``1 / (age + 1)``,
    "quadratic" its square, "logarithmic" ``1 / log2(age + 2)``.
    """

    name = "session_neighbours"

    class Config(NearSessions.Config):
        """Settings of :class:`SessionNeighbours`."""

        decay: Decay = tunable("linear", choices=CHOICES, description="of the similarity by age")
        score_decay: Decay = tunable(
            "linear", choices=CHOICES, description="of a neighbour by its newest shared item's age"
        )

    config: Config

    def _event_weights(self, histories: Interactions) -> Floats:
        length = history_lengths(histories, self.config.last)[histories.group()]
        return DECAYS[self.config.decay](age(histories), length).astype(np.float32)

    def _similarity(self, pairs: Pairs, histories: Interactions) -> Doubles:
        del histories
        return pairs.overlap

    def _weight(self, pairs: Pairs, histories: Interactions) -> Doubles:
        length = history_lengths(histories, self.config.last)[pairs.history]
        return pairs.overlap * DECAYS[self.config.score_decay](pairs.age, length)

    def _near(self, steps: Doubles) -> float:
        del steps
        return 1.0
