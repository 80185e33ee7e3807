"""How fast, and how surely, the best of a large catalogue are found.

::

    python -m benchmarks.retrieval --items 100000 --items 1000000

A model over a simulated catalogue of clustered items: its network is not trained (a search is as
fast with any weights), its vectors are drawn around cluster centres with lengths that grow with
popularity, and its transitions are counted from sessions that mostly stay in one cluster. Retrieval
is timed from the history's side of the scores and its memories' rows to the top 100, one history
at a time; beside it stands exhaustive fused scoring, whose top 100 is the truth for the recall.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quintet.data.interactions import Interactions
from quintet.memory.transitions import Transitions
from quintet.nn.calibration import Calibration
from quintet.nn.fusion import Fusion
from quintet.nn.model import ModelConfig, QuintetModel
from quintet.nn.shape import DataShape
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.index import Retriever
from quintet.serve.scorer import Scorer

WIDTH = 64
DEPTH = 100
SAMPLE = 200
OFF = ("profile", "item", "interaction", "strategy")


def clustered(n_items: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Cluster, vector and popularity of every item."""
    n_clusters = max(20, round(n_items**0.5))
    centre = rng.normal(size=(n_clusters, WIDTH))
    cluster_I = rng.integers(0, n_clusters, n_items)
    popularity_I = rng.zipf(1.6, n_items).clip(max=10_000)
    near = rng.normal(scale=0.5, size=(n_items, WIDTH))
    length = 0.05 * (1 + 0.2 * np.log(popularity_I))[:, None]
    return cluster_I, ((centre[cluster_I] + near) * length).astype(np.float32), popularity_I


def sessions(cluster_I: Any, popularity_I: Any, n: int, rng: np.random.Generator) -> Interactions:
    """Histories of 12 events, nine in ten of them within one cluster."""
    order = np.argsort(cluster_I, kind="stable")
    bounds = np.searchsorted(cluster_I[order], np.arange(cluster_I.max() + 2))
    home_U = rng.integers(0, cluster_I.max() + 1, n)
    home_E = np.repeat(home_U, 12)
    size_E = bounds[home_E + 1] - bounds[home_E]
    # the head of a cluster is taken more often
    inside = order[bounds[home_E] + (size_E * rng.random(len(home_E)) ** 2).astype(np.int64)]
    share = np.cumsum(popularity_I / popularity_I.sum())
    outside = np.searchsorted(share, rng.random(len(home_E))).clip(max=len(cluster_I) - 1)
    item_E = np.where(rng.random(len(home_E)) < 0.9, inside, outside)
    user_E = np.repeat(np.arange(n), 12)
    return Interactions.build(user_E, item_E, n_users=n, n_items=len(cluster_I))


def scorer_of(n_items: int, rng: np.random.Generator) -> tuple[Scorer, Interactions]:
    """A scorer over a catalogue, and histories to ask it by."""
    cluster_I, vector_ID, popularity_I = clustered(n_items, rng)
    events = sessions(cluster_I, popularity_I, n_items // 4, rng)
    model = QuintetModel(
        DataShape(n_items, ["event"], ["all"], [], None, [], {}, []),
        ModelConfig(width=WIDTH, towers=("identity",), off=OFF),
        None,
        None,
    )
    model.embedding_ID.data = torch.from_numpy(vector_ID)
    transitions = Transitions(Transitions.Config(window=5)).fit(events)
    count_I = events.item_counts().astype(np.float32)
    evidence = EvidenceBuilder(model, {"transitions": transitions}, None, None, count_I)
    fusion = Fusion(torch.tensor([{"popularity": 0.2}.get(name, 1.0) for name in evidence.names]))
    return Scorer(evidence, fusion, Calibration(model.shape.rules, 0, 1)), events


def measure(n_items: int, asked: int, seed: int) -> dict[str, Any]:
    """Times, recall and cost of one catalogue."""
    rng = np.random.default_rng(seed)
    scorer, events = scorer_of(n_items, rng)
    users = rng.permutation(events.n_users)
    sample, others = events.users(users[:SAMPLE]), users[SAMPLE : SAMPLE + asked]
    before, started = memory_mb(), time.perf_counter()
    retriever = Retriever.build(scorer, sample, DEPTH)
    built = time.perf_counter() - started
    cost = memory_mb() - before
    hits, fast, slow = 0, [], []
    for user in others:
        history = events.users([user])
        sides = scorer.fused.sides(history)
        started = time.perf_counter()
        found = retriever.rank(history, DEPTH, sides=sides).items_BK[0]
        fast.append(time.perf_counter() - started)
        started = time.perf_counter()
        best = scorer.rank(history, DEPTH).items_BK[0]
        slow.append(time.perf_counter() - started)
        hits += len(np.intersect1d(found, best))
    return {
        "items": n_items,
        "asked": len(others),
        "recall_at_100": hits / (DEPTH * len(others)),
        "retrieval_ms": quantiles(fast),
        "exhaustive_ms": quantiles(slow),
        "lists": retriever.file.lists,
        "lists_looked_into": retriever.file.index.nprobe,
        "build_seconds": built,
        "index_mb": cost,
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return {"p50": float(p50), "p99": float(p99)}


def memory_mb() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Measure, and write results.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--items", type=int, action="append", help="of a catalogue")
    parser.add_argument("--asked", type=int, default=300, help="histories")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/retrieval"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    sizes = arguments.items or [100_000, 1_000_000]
    found = {
        "catalogues": [measure(size, arguments.asked, arguments.seed) for size in sizes],
        "command": " ".join(["python -m benchmarks.retrieval", *sys.argv[1:]]),
        "load_average": {"before": load_before, "after": os.getloadavg()[0]},
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
