"""``python -m benchmarks.interplay``: do the five tasks help each other?

On MovieLens-100K every task is looked at, by the network alone
(:mod:`benchmarks.interplay.network`). There are too few people to tell whether ranking loses a
hundredth; for that, name a larger data set as for ``benchmarks.accuracy``: the whole model with all
five tasks is set beside the one that only ranks (:mod:`benchmarks.interplay.whole`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.accuracy.data import Asked, add_data_options
from benchmarks.interplay import network, whole

SMALL = "ml-100k"


def main() -> None:
    """Read the options and run what they ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.interplay",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", nargs="?", default=SMALL, help="a name, or a file of sequences")
    add_data_options(parser)
    parser.add_argument("--out", type=Path, default=Path("reports/interplay"))
    parser.add_argument("--workers", type=int, default=2, help="trainings side by side")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each variant")
    arguments = parser.parse_args()
    if arguments.dataset == SMALL:
        network.run(arguments.out, arguments.workers, arguments.seeds)
    else:
        asked = Asked(arguments.dataset, arguments.items, arguments.data)
        whole.run(asked, arguments.out, arguments.workers, arguments.seeds)


if __name__ == "__main__":
    main()
