"""Sequence- and time-aware session neighbours (STAN).

Garg, Gupta, Malhotra, Vig and Shroff, "Sequence and time aware neighborhood for session-based
recommendations", SIGIR 2019.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from quintet.config import tunable
from quintet.data.interactions import Floats, Interactions
from quintet.memory.matrices import age
from quintet.memory.sessions import Doubles, NearSessions, Pairs, history_lengths


class Stan(NearSessions):
    """STAN, its three factors as in equations 1 to 4 of the paper.

    1. An event of the history counts ``exp(-age / age_scale)``, and the similarity is the sum over
       shared items, divided by ``sqrt(length(h) * items(n))``.
    2. It is multiplied by ``exp(-newer / session_scale)``, with ``newer`` the share of training
       sessions that are more recent than n. The paper counts days; the share needs no unit, and a
       log without times has it too. The time of the history itself would multiply all alike.
    3. A neighbour adds its similarity times ``exp(-|d| / gap_scale)`` to each of its items, d
       events behind the newest shared item. Items before it (d < 0) are multiplied by
       ``backward``, which is 1 in the paper.
    """

    name = "stan"

    class Config(NearSessions.Config):
        """Settings of :class:`Stan`."""

        age_scale: PositiveFloat = tunable(
            2.0, low=0.2, high=20.0, log=True, description="of the decay by age (lambda 1)"
        )
        session_scale: PositiveFloat | None = tunable(
            None, low=0.05, high=10.0, log=True, description="of the decay by recency (lambda 2)"
        )
        gap_scale: PositiveFloat = tunable(
            2.0, low=0.2, high=20.0, log=True, description="of the decay by distance (lambda 3)"
        )
        backward: Annotated[float, Field(ge=0, le=1)] = tunable(
            1.0, low=0.0, high=1.0, description="weight of items before the shared one"
        )

    config: Config

    def _event_weights(self, histories: Interactions) -> Floats:
        return np.exp(-age(histories) / self.config.age_scale).astype(np.float32)

    def _similarity(self, pairs: Pairs, histories: Interactions) -> Doubles:
        length = history_lengths(histories, self.config.last)[pairs.history]
        items = np.diff(self._taken.indptr)[pairs.session]
        similarity: Doubles = pairs.overlap / np.sqrt(length * items)
        if self.config.session_scale is None:
            return similarity
        n_sessions = self._taken.shape[0]
        newer = (n_sessions - 1 - pairs.session) / n_sessions
        similarity *= np.exp(-newer / self.config.session_scale)
        return similarity

    def _weight(self, pairs: Pairs, histories: Interactions) -> Doubles:
        return self._similarity(pairs, histories)

    def _near(self, steps: Doubles) -> Doubles:
        near: Doubles = np.exp(-np.abs(steps) / self.config.gap_scale)
        near[steps < 0] *= self.config.backward
        return near
