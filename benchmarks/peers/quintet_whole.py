"""The whole delivered checkpoint: from the file to a saved bundle, all stages on one clock.

``python -m benchmarks.peers.quintet_whole FILE --items TSV --bundle FOLDER``

The clock runs from reading the file to the saved bundle, with the settings of the accuracy
benchmark: trained strictly (``seconds``), then, with ``--bundle``, refitted on the validation
events too and saved (``seconds_with_refit``). What follows only measures it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import tomllib
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
from quintet.train.refit import refit, with_validation

CONFIG = Path(__file__).parents[1] / "config.toml"


def main() -> None:
    """Train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument("--bundle", type=Path, help="where the refitted checkpoint goes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", action="append", default=[], help="setting=value, as in train")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = Lines(options.out, Sequences([], [], []))
    lines.started("quintet", {"set": options.set, "threads": options.threads}, _versions())
    clock, to_strict, started = Clock(), Clock(), time.perf_counter()
    clock.start()
    to_strict.start()
    stages: list[tuple[str, float]] = [("reading", 0.0)]

    def on_stage(name: str) -> None:
        stages.append((name, time.perf_counter() - started))

    encoded = encoded_share(Sequences.read(options.sequences), items=options.items)
    split = leave_one_out(encoded.events)
    settings = tomllib.loads(options.config.read_text(encoding="utf8"))
    config = TrainConfig.model_validate(
        apply_overrides(settings | {"seed": options.seed}, options.set)
    )
    fitted = train(encoded, split, config, on_stage=on_stage)
    trained, strict = fitted.trained, to_strict.stop()
    if options.bundle:
        refitted = refit(fitted, encoded, split, config, "full", on_stage=on_stage).trained
        on_stage("saving")
        refitted.save(options.bundle)
    whole = clock.stop()
    ends = [begin for _, begin in stages[1:]] + [whole["seconds"]]
    seconds = {name: end - begin for (name, begin), end in zip(stages, ends, strict=True)}
    with_refit = {f"{name}_with_refit": value for name, value in whole.items()}
    lines.write(
        event="trained",
        **strict,
        **(with_refit if options.bundle else {}),
        stages=seconds,
        peak_memory_mb=peak_memory_mb(),
    )
    figures = {}
    for name, part in (("valid", Part.VALID), ("test", Part.TEST)):
        per_user = evaluate_ranking(trained.scorer, split, part=part, ks=(CUTOFF,)).per_user
        figures[name] = {
            metric: float(per_user[metric].mean()) for metric in (f"ndcg@{CUTOFF}", f"hr@{CUTOFF}")
        }
    if options.bundle:
        learned = evaluate_ranking(refitted.scorer, with_validation(split), ks=(CUTOFF,)).per_user
        figures["test_with_refit"] = {
            metric: float(learned[metric].mean()) for metric in (f"ndcg@{CUTOFF}", f"hr@{CUTOFF}")
        }
    lines.write(event="measured", **figures)


def _versions() -> dict[str, str]:
    versions: dict[str, str] = environment()["versions"]
    return versions


if __name__ == "__main__":
    # every stage is timed: no text has been encoded before
    with tempfile.TemporaryDirectory() as cache:
        os.environ["QUINTET_CACHE"] = cache
        main()
