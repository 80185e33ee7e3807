"""``python -m benchmarks.sessions_baselines TRAIN TEST``: counted memories on anonymous sessions.

The files are those of :mod:`benchmarks.session_data`. The full catalogue is ranked and nothing is
masked, because sessions come back to items that they know; targets that stand in their prefix and
those that do not are told apart. Each memory is tuned for NDCG@10 on validation targets alone.
``strict`` counts training events, ``refit`` the held-out sessions too at the same settings.
Leaves ``results.json`` in ``--out``.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
from rich.console import Console

from benchmarks.session_data import HeldOut, read_sessions, training_sessions
from quintet.data.interactions import Interactions, Ints, Mask, seeded_hash
from quintet.data.split import Part, Split
from quintet.memory.base import Memory
from quintet.metrics import bootstrap_mean, metrics_of_ranks
from quintet.train.baselines import TunedBaseline, target_ranks, tune_baseline
from quintet.train.measure import environment
from quintet.train.results import write_results

NAMES = ["last_item", "transitions", "session_neighbours", "stan", "item_cosine", "repeat"]
METRICS = ("ndcg@10", "hr@10", "hr@20", "mrr@20")


def main() -> None:
    """Tune, count, rank and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.sessions_baselines"
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--names", nargs="+", default=NAMES, help="memories")
    parser.add_argument("--trials", type=int, default=25, help="of every memory's search")
    parser.add_argument("--sample", type=int, default=3000, help="validation targets searched on")
    parser.add_argument("--held-out", choices=get_args(HeldOut), default="newest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/sessions"))
    arguments = parser.parse_args()
    console = Console()
    _, split = read_sessions(
        arguments.train, arguments.test, held_out=arguments.held_out, seed=arguments.seed
    )
    counted = {"strict": split.train, "refit": training_sessions(split)}
    histories, wanted = sampled(split, Part.VALID, arguments.sample, arguments.seed)
    results: dict[str, Any] = {
        "dataset": arguments.train.stem,
        "protocol": f"prefix to next item, full catalogue, nothing masked; {split.name}",
        "seeds": [arguments.seed],
        "command": f"python -m benchmarks.sessions_baselines {arguments.train.name} "
        f"{arguments.test.name} --held-out {arguments.held_out} --trials {arguments.trials} "
        f"--sample {arguments.sample} --seed {arguments.seed}",
        "versions": environment()["versions"],
        **{key: {} for key in ("models", "slices", "baselines", "seconds")},
    }
    for name in arguments.names:
        tuned = tune_baseline(
            name,
            split.train,
            histories,
            wanted,
            None,
            arguments.trials,
            arguments.seed,
            mask=False,
        )
        console.print(f"{name}: validation NDCG@10 {tuned.score:.4f}, {tuned.values}")
        note(results, tuned)
        for protocol, events in counted.items():
            label = f"{name}, {protocol}"
            tell(console, protocol, measured(tuned.memory(), split, events, results, label))
            for title, rows in results["slices"].items():
                tell(console, f"{protocol}, {title}", rows[label])
        write_results(arguments.out / "results.json", results)
    results["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_results(arguments.out / "results.json", results)
    console.print(f"figures: {arguments.out / 'results.json'}")


def tell(console: Console, title: str, figures: dict[str, Any]) -> None:
    """One line of figures."""
    shown = ", ".join(f"{metric} {figures[metric]['mean']:.4f}" for metric in METRICS)
    console.print(f"  {title}: {shown}")


def sampled(split: Split, part: Part, most: int, seed: int) -> tuple[Interactions, Ints]:
    """Histories and targets of a part, a seeded sample where there are more than ``most``."""
    targets = np.flatnonzero(split.part == part)
    drawn = np.sort(targets[np.argsort(seeded_hash(targets, seed), kind="stable")[:most]])
    return split.events.before(drawn), split.events.item[drawn]


def inside(histories: Interactions, wanted: Ints) -> Mask:
    """[B] whether each target stands in its own history."""
    same = histories.item == wanted[histories.group()]
    return np.bincount(histories.group()[same], minlength=len(wanted)) > 0


def note(results: dict[str, Any], tuned: TunedBaseline) -> None:
    """What the search of one memory found."""
    results["baselines"][tuned.name] = {
        "values": tuned.values,
        "validation ndcg@10": tuned.score,
        "trials": tuned.trials,
    }
    results["seconds"][f"tuning: {tuned.name}"] = round(tuned.seconds, 3)


def measured(
    memory: Memory, split: Split, events: Interactions, results: dict[str, Any], name: str
) -> dict[str, Any]:
    """Count ``events``, rank all test targets, and write the figures into ``results``."""
    started = time.perf_counter()
    memory.fit(events)
    results["seconds"][f"counting: {name}"] = round(time.perf_counter() - started, 3)
    started = time.perf_counter()
    histories, wanted = sampled(split, Part.TEST, len(split.test), 0)
    values = metrics_of_ranks(target_ranks(memory, histories, wanted, mask=False), (10, 20))
    results["seconds"][f"ranking: {name}"] = round(time.perf_counter() - started, 3)
    known = inside(histories, wanted)
    figures: dict[str, Any] = {metric: vars(bootstrap_mean(values[metric])) for metric in METRICS}
    results["models"][name] = figures
    for title, members in (("in its prefix", known), ("not in its prefix", ~known)):
        of_slice = {metric: vars(bootstrap_mean(values[metric][members])) for metric in METRICS}
        label = f"target {title} ({members.sum():,} targets)"
        results["slices"].setdefault(label, {})[name] = of_slice
    return figures


if __name__ == "__main__":
    main()
