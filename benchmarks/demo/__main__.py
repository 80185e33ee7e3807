"""``python -m benchmarks.demo``: the claims of the README, measured on MovieLens-100K.

Trains quintet on five orders of the simultaneous events, on a split by time, and without some of
the items; tunes every baseline with one stated budget; prints what came out and writes
``results.json``, ``report.html``, the lists (``predictions-seed*.tsv``) and a bundle.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

from rich.console import Console


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.demo")
    parser.add_argument("--out", type=Path, default=Path("reports/demo"))
    parser.add_argument("--workers", type=int, default=max(1, min(4, os.cpu_count() or 1)))
    parser.add_argument("--cold-draws", type=int, default=1, help="draws of left-out items")
    arguments = parser.parse_args()
    from benchmarks.demo import jobs, present

    console = Console(width=min(Console().width, 118) if Console().is_terminal else 110)
    started = time.perf_counter()
    arguments.out.mkdir(parents=True, exist_ok=True)
    audit = present.show_data(console)
    answers, seconds = jobs.run_all(console, arguments.out, arguments.workers, arguments.cold_draws)
    seconds["everything"] = time.perf_counter() - started
    memory = max(resource.getrusage(who).ru_maxrss for who in (0, -1)) / 1024
    more = f"python -m benchmarks.demo --cold-draws {arguments.cold_draws}"
    command = "make demo" if arguments.cold_draws == 1 else more
    present.show_and_write(console, arguments.out, answers, seconds, audit, memory, command)


if __name__ == "__main__":
    main()
