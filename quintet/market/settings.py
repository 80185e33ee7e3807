"""Settings of the simulated marketplace, and its vocabulary of behaviours and strategies."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from quintet.config import Config
from quintet.market.vocabulary import CATEGORIES, KINDS, SCENARIO_KINDS

Scenario = Literal["shop", "feed", "video", "news", "search", "people"]

STRATEGIES = ("deepen", "explore", "complement", "repurchase", "trending")
DEEPEN, EXPLORE, COMPLEMENT, REPURCHASE, TRENDING = range(5)
SLATE_SIZE = 6


class MarketConfig(Config):
    """What the marketplace looks like; the same settings give the same events, always."""

    n_users: int = Field(default=500, ge=2, description="people")
    n_items: int = Field(default=400, ge=len(CATEGORIES), description="items of all kinds together")
    days: int = Field(default=60, ge=2, le=1000, description="length of the log")
    events_per_user: float = Field(
        default=30.0, ge=1, description="mean number of items that a person looks at"
    )
    predictability: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="0: the next item is independent of history; 1: most ordered",
    )
    scenarios: tuple[Scenario, ...] = Field(
        default=("shop", "feed", "video", "news", "search", "people"), min_length=1
    )
    seed: int = Field(default=0, ge=0)
    exposures: bool = Field(
        default=False, description="the feed shows logged slates with positions and propensities"
    )
    start: date = Field(default=date(2025, 1, 6), description="first day of the log (UTC)")
    image_folder: Path | None = Field(
        default=None, description="draw a small PNG for each item into this folder"
    )

    @model_validator(mode="after")
    def _fits(self) -> MarketConfig:
        if len(set(self.scenarios)) < len(self.scenarios):
            raise ValueError("a scenario stands twice")
        if self.exposures and "feed" not in self.scenarios:
            raise ValueError("exposures need the scenario 'feed'")
        if self.n_items < len(self.kinds) * len(CATEGORIES):
            raise ValueError(
                f"n_items must be at least {len(self.kinds) * len(CATEGORIES)}: one item for each "
                f"of {len(CATEGORIES)} categories and {len(self.kinds)} kinds"
            )
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of item that the chosen scenarios offer."""
        offered = {kind for scenario in self.scenarios for kind in SCENARIO_KINDS[scenario]}
        return tuple(kind for kind in KINDS if kind in offered)
