"""Fused scores without dense evidence are the sums of dense evidence by the gates' weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nn.worlds import N_ITEMS, tables

from quintet.data.interactions import Interactions
from quintet.memory.base import MEMORIES
from quintet.nn.fusion import Fusion, item_buckets
from quintet.serve.evidence import EvidenceBuilder, compressed, compressed_entries
from quintet.serve.fused import FusedScores
from serve.test_evidence import EVENTS, builder_of

#: one that adds neighbours, one dense, one of inner products, one the same for all
NAMES = ("transitions", "last_item", "ease", "content_ridge", "content_neighbours", "trend")


def builder() -> EvidenceBuilder:
    plain, data = builder_of(), tables()
    memories = {name: MEMORIES.get(name)().fit(EVENTS, data.items) for name in NAMES}
    inputs = [
        None if encoder is None else encoder.prepare(table)
        for encoder, table in (
            (plain.model.item_encoder, data.items),
            (plain.model.user_encoder, data.users),
        )
    ]
    return EvidenceBuilder(plain.model, memories, inputs[0], inputs[1], plain.count_I)


def gates(evidence: EvidenceBuilder, new: bool, again: bool = False) -> Fusion:
    torch.manual_seed(1)
    K = len(evidence.names)
    towers_K = torch.tensor([float(name in evidence.towers) for name in evidence.names])
    new_K = torch.randn(K) if new else None
    fusion = Fusion(torch.randn(K), new_K=new_K, towers_K=towers_K if again else None)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn_like(parameter))
    return fusion


def met(histories: Interactions) -> torch.Tensor:
    """[B, I] 1 where the history holds the item."""
    met_BI = torch.zeros(histories.n_users, histories.n_items)
    met_BI[histories.group(), histories.item] = 1.0
    return met_BI


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("new", [True, False])
def test_it_is_the_weighted_sum_of_the_evidence(new: bool, again: bool) -> None:
    evidence = builder()
    # some items count as new, whatever the memories know of them
    count_I = np.where(np.arange(N_ITEMS) % 4 == 0, 0, evidence.count_I)
    bucket_I = item_buckets(torch.from_numpy(count_I))
    fusion = gates(evidence, new, again)
    with torch.no_grad():
        asked = (evidence.evidence(EVENTS), evidence.context(EVENTS), bucket_I, met(EVENTS))
        dense = fusion(*asked).numpy()
    got = FusedScores(evidence, fusion, bucket_I)(EVENTS)
    np.testing.assert_allclose(got, dense, rtol=1e-3, atol=1e-3)


def test_sparse_compression_is_the_dense_one(compiled_or_not) -> None:
    memory = MEMORIES.get("transitions")().fit(EVENTS)
    sparse = memory.sparse_score(EVENTS)
    assert sparse is not None
    for full in (None, 0.3):
        full_B = np.full(EVENTS.n_users, full or 0.0, np.float32)
        np.testing.assert_allclose(
            compressed_entries(sparse, full_B).toarray(),
            compressed(memory.score(EVENTS), full),
            atol=1e-6,
        )
