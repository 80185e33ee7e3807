"""Slates: candidates, diversity, policy and hard rules, put together and accounted for."""

from quintet.serve.slate.policy import candidate_strategies, mixed_slate, places

__all__ = ["candidate_strategies", "mixed_slate", "places"]
