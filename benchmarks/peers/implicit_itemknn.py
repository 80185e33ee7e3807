"""Item neighbours of implicit 0.7 (BM25, 200 neighbours) by the same protocol.

``python -m benchmarks.peers.implicit_itemknn FILE --out LINES``; needs the extra ``baselines``.
Counted on training events alone; a user's scores are the sum of the neighbours of its history.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.peers.options import arguments, parse
from benchmarks.peers.protocol import Clock, Ints, Record, Sequences

NEIGHBOURS = 200


def main() -> None:
    """Count, then measure."""
    options = parse(arguments(__doc__, batch=0))
    data = Sequences.read(options.sequences)
    record = Record(options.out, data, in_step=options.in_step)
    versions = {name: importlib.metadata.version(name) for name in ("implicit", "numpy", "scipy")}
    record.started("implicit ItemKNN", {"K": NEIGHBOURS, "weighting": "BM25"}, versions)
    record.begin()
    similar_II = similarities(data, options.threads)

    def score(histories: Sequence[Ints]) -> Any:
        return histories_of(histories, len(data.items)) @ similar_II

    record.end(score)
    scoring = Clock()
    scoring.start()
    data.ranked(score, 1)
    record.write(event="ranked", **scoring.stop(), users=len(data.held_out(1)[1]))


def similarities(data: Sequences, threads: int) -> Any:
    """[I, I] weights of the nearest items, from training events."""
    from implicit.nearest_neighbours import BM25Recommender

    model = BM25Recommender(K=NEIGHBOURS, num_threads=threads)
    model.fit(histories_of(data.train, len(data.items)).astype(np.float64), show_progress=False)
    return model.similarity.tocsr().astype(np.float32)


def histories_of(histories: Sequence[Ints], n_items: int) -> Any:
    """[B, I] one where an item stands in a history."""
    user = np.repeat(np.arange(len(histories)), [len(own) for own in histories])
    ones = np.ones(len(user), np.float32)
    matrix = sparse.csr_matrix((ones, (user, np.concatenate(histories))), (len(histories), n_items))
    matrix.data[:] = 1
    return matrix


if __name__ == "__main__":
    main()
