"""The script of large catalogues, on a small one."""

from __future__ import annotations

import pytest

from benchmarks.retrieval import measure


def test_most_of_the_best_are_found() -> None:
    pytest.importorskip("faiss")
    found = measure(3000, asked=10, seed=0)
    assert found["recall_at_100"] > 0.9
    assert found["retrieval_ms"]["p50"] > 0
    assert found["lists_looked_into"] <= found["lists"]
