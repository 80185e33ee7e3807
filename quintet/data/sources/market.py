"""The simulated marketplace as a data set; its truth is asked for apart (:func:`simulate`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.data.schema import Behaviour, ColumnType, DataSchema, Scenario
from quintet.data.sources.base import Source
from quintet.market.settings import MarketConfig
from quintet.market.vocabulary import SCENARIO_KINDS

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset
    from quintet.market import Market

ITEM_TYPES: dict[str, ColumnType] = {
    "title": "text",
    "kind": "category",
    "category": "category",
    "subcategory": "category",
    "brand": "category",
    "price": "number",
    "consumable": "category",
    "language": "category",
    "released": "number",
}
USER_TYPES: dict[str, ColumnType] = {"age": "number", "gender": "category", "language": "category"}
BEHAVIOURS = (
    Behaviour(name="view", polarity=1.0, weight=1.0),
    Behaviour(name="like", polarity=1.0, weight=2.0, implies=["view"]),
    Behaviour(name="cart", polarity=1.0, weight=3.0, implies=["view"]),
    Behaviour(name="buy", polarity=1.0, weight=5.0, implies=["view", "cart"], value="price"),
    Behaviour(name="rating", polarity=1.0, weight=2.0, implies=["view"]),
)


class MarketSource(Source):
    """Goods, videos, articles and people in six scenarios, made from a seed."""

    name = "market"
    summary = "a simulated marketplace whose truth is known; made from a seed, needs no network"

    class Config(MarketConfig):
        """Settings of the marketplace."""

    def simulate(self) -> Market:
        """The marketplace with its truth, as Arrow tables."""
        from quintet.market import generate

        config = MarketConfig(**{name: getattr(self.config, name) for name in self._settings()})
        return generate(config)

    @staticmethod
    def _settings() -> Any:
        return MarketConfig.model_fields

    def load(self) -> Dataset:
        """What a platform would have logged: no truth in it."""
        return as_dataset(self.simulate())


def as_dataset(market: Market) -> Dataset:
    """The log, items, users and friendships of a market; never its truth."""
    from quintet.data.dataset import join
    from quintet.data.frames import Catalogue, EventLog, Relations, Users

    return join(
        [EventLog.read(market.log, name="market")],
        items=Catalogue.read(market.items, name="items"),
        users=Users.read(market.users, name="users"),
        relations=Relations.read(market.relations, name="friends"),
        schema=schema_of(market.config),
        name="market",
    )


def schema_of(config: MarketConfig) -> DataSchema:
    """Behaviours, scenarios and column types of a market with these settings."""
    shown = (Behaviour(name="impression", polarity=0.0, weight=0.0),) if config.exposures else ()
    pictures: dict[str, ColumnType] = {"image": "image"} if config.image_folder is not None else {}
    return DataSchema(
        behaviours=[*shown, *BEHAVIOURS],
        scenarios=[
            Scenario(name=name, offers={"kind": list(SCENARIO_KINDS[name])})
            for name in config.scenarios
        ],
        items={**ITEM_TYPES, **pictures},
        users=USER_TYPES,
    )
