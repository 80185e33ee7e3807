"""How slates are put together: the settings of diversity, calibration, candidates and policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from quintet.config import Config, Share, tunable
from quintet.serve.slate.draw import DRAWS
from quintet.serve.slate.policy import PolicyConfig

Diversity = Literal["none", "max_sum", "mmr", "dpp"]
#: the most diverse that costs at most 2% of NDCG@10 (``benchmarks/diversity.py``)
STRENGTHS: dict[Diversity, float] = {"none": 0.0, "max_sum": 0.45, "mmr": 0.15, "dpp": 0.05}


class SlateConfig(Config):
    """How slates are put together.

    Attributes:
        diversity: "max_sum", "mmr", "dpp" or "none".
        strength: of the diversity, from 0 to 1; the kind's own of :data:`STRENGTHS` when absent.
        calibration: weight of the person's interests, from 0 to 1.
        interests: what a slate is calibrated to: the history's categories, or the predicted ones.
        generators: how many candidates each generator gives.
        policy: from the predicted strategy to places and temperature.
        marginals: whether a drawn slate's marginal propensities are computed.
        draws: slates drawn where marginals are estimated.
    """

    diversity: Diversity = "max_sum"
    strength: Share | None = tunable(None, low=0, high=1, description="of the diversity")
    calibration: Share = tunable(0.0, low=0, high=1, description="weight of the interests")
    interests: Literal["history", "predicted"] = "history"
    generators: dict[str, NonNegativeInt] = Field(default_factory=lambda: {"fused": 100})
    policy: PolicyConfig = PolicyConfig()
    marginals: bool = True
    draws: PositiveInt = DRAWS

    @model_validator(mode="after")
    def _weights(self) -> SlateConfig:
        if self.diversifying + self.calibration > 1:
            raise ValueError("strength + calibration is above 1: nothing is left for relevance")
        return self

    @property
    def diversifying(self) -> float:
        """Weight of the diversity."""
        own = STRENGTHS[self.diversity]
        return own if self.strength is None or self.diversity == "none" else self.strength
