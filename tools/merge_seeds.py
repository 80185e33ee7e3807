"""One result file of several that differ in a seed or a draw alone.

    python tools/merge_seeds.py OUT.json A.json B.json C.json

Figures, gains and their bounds are means over the files (so the intervals are those of one
training, not of the mean); every file's own means stand among the slices. Commands are kept.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from quintet.files import write_json_atomic
from quintet.train.results import read_results

SHOWN = ("ndcg@10", "hr@10", "recall@20", "recall@20 among new items", "ndcg@10 of known items")
#: where a file was written says nothing to others
PLACE = re.compile(r" --out \S+")


def main(arguments: list[str]) -> int:
    """Write the merged file; gives the exit status."""
    out, *paths = arguments
    files = [json.loads(Path(path).read_text(encoding="utf8")) for path in paths]
    own = {
        f"file {number}": {
            row: {name: figures[name]["mean"] for name in SHOWN if name in figures}
            for row, figures in one["models"].items()
        }
        for number, one in enumerate(files)
    }
    merged = files[0] | {
        "seeds": sorted({seed for one in files for seed in one["seeds"]}),
        "models": mean_of([one["models"] for one in files]),
        "paired": mean_of([one["paired"] for one in files]),
        "seconds": mean_of([one["seconds"] for one in files]),
        "peak_memory_mb": max(one.get("peak_memory_mb", 0.0) for one in files),
        "slices": own,
        "command": " && ".join(PLACE.sub("", one["command"]) for one in files),
    }
    merged.pop("curves", None)
    write_json_atomic(Path(out), merged)
    read_results(out)  # refuses a file that is not of the format
    return 0


def mean_of(values: list[Any], name: str = "") -> Any:
    """The mean of numbers, key by key; of anything else the first."""
    first = values[0]
    if isinstance(first, dict):
        return {key: mean_of([one[key] for one in values], key) for key in first}
    if not isinstance(first, int | float):
        return first
    return round(fmean(values)) if name == "n" else fmean(values)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
