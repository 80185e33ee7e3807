"""The whole delivered checkpoint: from the file to a saved bundle, all stages on one clock.

``python -m benchmarks.peers.quintet_whole FILE --items TSV --bundle FOLDER``

The clock runs from reading the file to the saved bundle; what follows only measures it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.peers.protocol import CUTOFF, Clock, Sequences, peak_memory_mb
from benchmarks.peers.protocol import Record as Lines
from benchmarks.peers.quintet_sasrec import encoded_share
from quintet.config import apply_overrides
from quintet.data.split import Part, leave_one_out
from quintet.train.evaluate import evaluate_ranking
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train


def main() -> None:
    """Train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument("--bundle", type=Path, required=True, help="where the checkpoint goes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="setting=value, as in train")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = Lines(options.out, Sequences([], [], []))
    lines.started("quintet", {"set": options.set, "threads": options.threads}, _versions())
    clock, started = Clock(), time.perf_counter()
    clock.start()
    stages: list[tuple[str, float]] = [("reading", 0.0)]
    encoded = encoded_share(Sequences.read(options.sequences), items=options.items)
    split = leave_one_out(encoded.events)
    config = TrainConfig.model_validate(apply_overrides({"seed": options.seed}, options.set))
    trained = train(
        encoded,
        split,
        config,
        on_stage=lambda name: stages.append((name, time.perf_counter() - started)),
    ).trained
    stages.append(("saving", time.perf_counter() - started))
    trained.save(options.bundle)
    whole = clock.stop()
    ends = [begin for _, begin in stages[1:]] + [whole["seconds"]]
    seconds = {name: end - begin for (name, begin), end in zip(stages, ends, strict=True)}
    lines.write(event="trained", **whole, stages=seconds, peak_memory_mb=peak_memory_mb())
    figures = {}
    for name, part in (("valid", Part.VALID), ("test", Part.TEST)):
        per_user = evaluate_ranking(trained.scorer, split, part=part, ks=(CUTOFF,)).per_user
        figures[name] = {
            metric: float(per_user[metric].mean()) for metric in (f"ndcg@{CUTOFF}", f"hr@{CUTOFF}")
        }
    lines.write(event="measured", **figures)


def _versions() -> dict[str, str]:
    versions: dict[str, str] = environment()["versions"]
    return versions


if __name__ == "__main__":
    main()
