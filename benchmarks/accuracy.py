"""``python -m benchmarks.accuracy FILE``: next-item accuracy on a file of sequences.

The file has one user a line, ``user item item ...`` in time order; ``--items`` may name a table
with ``item_id`` and any columns beside it. Leave-one-out, full catalogue, history masked, strict:
trained on train events alone. Leaves ``results.json`` and ``predictions-seed*.tsv`` (user, tab, 20
items best first) in ``--out``.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from quintet.config import apply_overrides
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import Catalogue, EventLog
from quintet.data.split import Split, leave_one_out
from quintet.errors import DataError
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.train.baselines import build_memory, rank_lists
from quintet.train.evaluate import RankingResult, evaluate_lists, evaluate_ranking
from quintet.train.measure import environment, write_predictions
from quintet.train.pipeline import TrainConfig, train
from quintet.train.progress import progress_bar
from quintet.train.results import write_results


def main() -> None:
    """Train, rank and write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.accuracy")
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("reports/accuracy"))
    parser.add_argument("--set", action="append", default=[], help="setting=value, as in train")
    arguments = parser.parse_args()
    console = Console()
    started = time.perf_counter()
    encoded = read(arguments.sequences, arguments.items)
    split = leave_one_out(encoded.events)
    runs: dict[str, list[RankingResult]] = {"quintet": [], "transitions": [_memory(split)]}
    for seed in range(arguments.seeds):
        settings = apply_overrides({"seed": seed}, arguments.set)
        with progress_bar(console.is_terminal) as (on_step, on_stage):
            config = TrainConfig.model_validate(settings)
            trained = train(encoded, split, config, on_step=on_step, on_stage=on_stage).trained
        runs["quintet"].append(evaluate_ranking(trained.scorer, split))
        path = arguments.out / f"predictions-seed{seed}.tsv"
        write_predictions(path, encoded, split, runs["quintet"][-1], 20)
    results = summary(runs, arguments, time.perf_counter() - started)
    write_results(arguments.out / "results.json", results)
    for name, own in results["models"].items():
        shown = ", ".join(f"{m} {own[m]['mean']:.4f}" for m in ("ndcg@10", "hr@10", "ndcg@20"))
        console.print(f"{name}: {shown}")
    console.print(f"figures: {arguments.out / 'results.json'}")


def read(sequences: Path, items: Path | None) -> Encoded:
    """The file as a data set; its order is all that is known of time.

    Raises:
        DataError: a line names a user without items.
    """
    users: list[str] = []
    met: list[str] = []
    for number, line in enumerate(sequences.read_text(encoding="utf8").splitlines(), 1):
        user, *own = line.split()
        if not own:
            raise DataError(f"{sequences}:{number}: a user without items; give `user item ...`")
        users.extend([user] * len(own))
        met.extend(own)
    log = EventLog.read(pa.table({"user_id": users, "item_id": met}))
    catalogue = Catalogue.read(items) if items is not None else None
    return encode(join(log, catalogue, name=sequences.stem))


def _memory(split: Split) -> RankingResult:
    memory = build_memory("transitions", {}).fit(split.train)
    return evaluate_lists(lambda histories, k: rank_lists(memory, histories, k), split)


def summary(runs: dict[str, list[RankingResult]], arguments: Any, seconds: float) -> dict[str, Any]:
    """Figures over users, each user averaged over the seeds first."""
    per_user = {
        name: {
            metric: np.mean([run.per_user[metric] for run in own], axis=0)
            for metric in own[0].per_user
        }
        for name, own in runs.items()
    }
    pair = paired_bootstrap(per_user["quintet"]["ndcg@10"], per_user["transitions"]["ndcg@10"])
    return {
        "dataset": arguments.sequences.stem,
        "protocol": "leave-one-out, strict, full catalogue, history masked",
        "seeds": list(range(arguments.seeds)),
        "models": {
            name: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            | runs[name][0].beyond
            for name, own in per_user.items()
        },
        "paired": {"transitions": {"ndcg@10": vars(pair)}},
        "seconds": {"everything": seconds},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "command": "python -m benchmarks.accuracy " + str(arguments.sequences.name),
        "versions": environment()["versions"],
        "settings": arguments.set,
    }


if __name__ == "__main__":
    main()
