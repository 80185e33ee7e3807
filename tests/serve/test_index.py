"""The best of a large catalogue: exact where it looks, and hardly ever elsewhere."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from quintet.errors import ConfigError, MissingExtraError
from quintet.nn.fusion import Fusion
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.grown import grown, prepared
from quintet.serve.index import InvertedFile, Retriever
from quintet.serve.top import top_k
from quintet.serve.trained import Trained

faiss = pytest.importorskip("faiss")
K = 10


def clustered(n: int, width: int = 16, clusters: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(clusters, width))
    near = rng.normal(scale=0.4, size=(n, width))
    length = rng.uniform(0.3, 2.0, size=(n, 1))  # popular items have longer vectors
    return ((centre[rng.integers(0, clusters, n)] + near) * length).astype(np.float32)


def recall(file: InvertedFile, items: np.ndarray, queries: np.ndarray) -> float:
    exact = top_k(queries @ items.T, K, np.arange(len(items))).items_BK
    found = file.search(queries, K)
    return float(
        np.mean([len(np.intersect1d(*pair)) / K for pair in zip(exact, found, strict=True)])
    )


def test_tuning_reaches_the_recall_on_queries_it_has_not_seen() -> None:
    items, queries = clustered(5000), clustered(400, seed=1)
    file = InvertedFile(items)
    reached = file.tune(queries[:200], K, recall=0.97)
    assert reached >= 0.97
    assert file.index.nprobe < file.lists / 2
    assert recall(file, items, queries[200:]) >= 0.95


def test_all_lists_give_the_exact_answer() -> None:
    items, queries = clustered(800), clustered(50, seed=1)
    file = InvertedFile(items, lists=20)
    file.index.nprobe = 20
    assert recall(file, items, queries) == 1.0


def test_few_items_give_few_answers() -> None:
    found = InvertedFile(clustered(5), lists=1).search(clustered(3, seed=1), 8)
    assert (np.sort(found, axis=1)[:, 3:] == np.arange(5)).all()
    assert (np.sort(found, axis=1)[:, :3] == -1).all()


def with_sparse_memories(trained) -> Trained:
    """The model without memories that score every item; new items by content, met ones apart."""
    evidence = trained.scorer.evidence
    sparse = {
        name: memory
        for name, memory in trained.memories.items()
        if name in ("transitions", "item_cosine", "last_item", "trend")
    }
    left = EvidenceBuilder(
        trained.model, sparse, evidence.item_inputs, evidence.user_inputs, trained.count_I
    )
    ones_K = torch.ones(len(left.names))
    towers_K = torch.tensor([float(name in left.towers) for name in left.names])
    fusion = Fusion(ones_K, new_K=ones_K, towers_K=towers_K)
    with torch.no_grad():
        fusion.again_K.fill_(0.3)
        fusion.again_bias.fill_(1.5)
    return replace(trained, memories=sparse, fusion=fusion)


@pytest.fixture(scope="module")
def trained(recommender) -> Trained:
    return with_sparse_memories(recommender.trained)


@pytest.fixture(scope="module")
def histories(trained):
    return trained.events.users(np.arange(20))


@pytest.fixture(scope="module")
def retriever(trained, histories) -> Retriever:
    made = Retriever.build(trained.scorer, histories, K)
    made.file.index.nprobe = made.file.lists
    return made


@pytest.mark.parametrize("mask", [True, False])
def test_with_all_lists_it_ranks_as_the_scorer(trained, retriever, histories, mask) -> None:
    some_I = np.arange(len(trained.items)) % 7 != 0
    for allowed_I in (None, some_I):
        expected = trained.scorer.rank(histories, K, mask_history=mask, allowed_I=allowed_I)
        got = retriever.rank(histories, K, mask_history=mask, allowed_I=allowed_I)
        np.testing.assert_allclose(got.scores_BK, expected.scores_BK, atol=1e-4)
        assert (got.items_BK == expected.items_BK).mean() > 0.98


def test_what_a_memory_recalls_is_found_though_no_list_is_looked_into(
    trained, retriever, histories, monkeypatch
) -> None:
    monkeypatch.setattr(retriever.file, "search", lambda query, k: np.full((len(query), k), -1))
    recalled = trained.scorer.fused.recall(histories)
    known_MBI = recalled.entries.toarray().reshape(-1, histories.n_users, len(trained.items))
    assert known_MBI.any()
    best = retriever.rank(histories, K, mask_history=False).items_BK
    for row, items in enumerate(best):
        known = set(np.flatnonzero(known_MBI[:, row].any(0)).tolist())
        known |= set(histories.users([row]).item.tolist())
        assert set(items[items >= 0].tolist()) <= known
        assert (items >= 0).sum() == min(K, len(known))


def test_items_that_came_since_are_scored_for_everybody(trained, retriever, histories) -> None:
    new, _ = grown(trained, prepared(trained), {"fresh": {"title": "a tea cup"}, "i1": {}})
    more = retriever.grown(new.scorer, new.items.rows(["i1"]))
    assert more.always.tolist() == sorted([*new.items.rows(["i1"]).tolist(), len(trained.items)])
    asked = replace(histories, n_items=len(new.items))
    expected, got = new.scorer.rank(asked, 30), more.rank(asked, 30)
    np.testing.assert_allclose(got.scores_BK, expected.scores_BK, atol=1e-4)


def test_memories_that_score_every_item_are_refused(recommender, histories) -> None:
    assert not Retriever.usable(recommender.scorer, histories)
    with pytest.raises(ConfigError, match="recall few items"):
        Retriever.build(recommender.scorer, histories, K)


def test_without_the_library_the_install_line_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="quintet\\[ann\\]"):
        InvertedFile(clustered(10))
