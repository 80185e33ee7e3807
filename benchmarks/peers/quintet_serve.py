"""Every known user encoded, scored with every evidence, masked and cut to 20, from a bundle.

``python -m benchmarks.peers.quintet_serve FOLDER``

Loading is told apart; the loops are compiled with it, as a service does before it answers. The
first pass is told as well as the median of the passes after it.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from benchmarks.peers.protocol import Clock, Record, Sequences, peak_memory_mb
from quintet.serve.trained import Trained

LISTED = 20


def main() -> None:
    """Load, rank all users, tell the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = Record(options.out, Sequences([], [], []))
    clock = Clock()
    clock.start()
    import_module("quintet.web.precompile")
    trained = Trained.load(options.bundle)
    scorer = trained.scorer
    users = trained.events.users(np.arange(trained.events.n_users))
    lines.write(event="loaded", **clock.stop())
    for _ in range(1 + options.repeats):
        clock.start()
        ranked = scorer.rank(users, LISTED)
        lines.write(
            event="ranked",
            **clock.stop(),
            users=len(ranked.items_BK),
            listed=LISTED,
            peak_memory_mb=peak_memory_mb(),
        )


if __name__ == "__main__":
    main()
