"""Compiles the loops of a list when it is imported, for the process that workers are forked from.

What that process has compiled its workers have too: one that takes a dead one's place answers a
second and a half sooner. The loops run once over a catalogue of two items, of the number types of
any catalogue; Torch does no work here, since its threads do not survive a fork.
"""

from __future__ import annotations

import numpy as np

from quintet.compiled import can_compile
from quintet.data.interactions import Interactions
from quintet.memory.matrices import narrowed, summed
from quintet.memory.steps import followed
from quintet.nn.fusion import N_BUCKETS
from quintet.serve.evidence import compressed_entries
from quintet.serve.slate.draw import plackett_luce
from quintet.serve.top import top_k


def compile_loops() -> None:
    """Recall, add up, choose, account for and draw a list of one."""
    item = np.arange(2)
    bucket_I = np.zeros(2, np.int8)
    score_BI = np.zeros((1, 2), np.float32)
    history = Interactions.build(item[:1], item[:1], n_users=1, n_items=2)
    matrix = narrowed(summed(item[:1], item[1:], np.ones(1, np.float32), (2, 2)))
    recalled = compressed_entries(
        followed(history, np.ones(1, np.float32), matrix), np.zeros(1, np.float32)
    )
    recalled.add_to(score_BI, np.ones((1, N_BUCKETS), np.float32), bucket_I)
    best = top_k(score_BI, 1, item)
    recalled.at(best.items_BK, bucket_I, N_BUCKETS)
    plackett_luce(np.zeros((1, 2)), 1, np.ones(1), np.random.default_rng(0))


if can_compile():
    compile_loops()
