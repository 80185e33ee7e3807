"""A simulated marketplace whose truth is known: for tests, demos and studies.

Independent of the model: it knows nothing of towers, memories or tasks. Ask :func:`generate` for a
:class:`Market`: a log, items, users, friendships, and the truth in tables of their own.
"""

from quintet.market.generate import Market, generate
from quintet.market.settings import STRATEGIES, MarketConfig
from quintet.market.truth import best_possible

__all__ = ["STRATEGIES", "Market", "MarketConfig", "best_possible", "generate"]
