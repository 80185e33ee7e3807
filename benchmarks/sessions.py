"""``python -m benchmarks.sessions [TRAIN TEST]``: what an anonymous session looks at next.

TRAIN has one session a line, ``item item ...`` in time order; TEST one target a line,
``item item ...``, tab, ``item``. Without them the two files of RetailRocket in ``--data`` are read.
The full catalogue is ranked and nothing is masked, because sessions come back to items that they
know; targets that stand in their own prefix and those that do not are told apart. The newest
sessions of TRAIN are held out for validation. *strict*: they are not learned from; *refit*: what
was chosen on them stays, and they are learned too. Quintet has the settings of the accuracy
benchmark; each baseline is the best of ``--trials`` settings on validation targets. Leaves
``results.json``, a plot, the lists and the bundles in ``--out``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.accuracy.__main__ import add_training_options, measure
from benchmarks.accuracy.data import FOLDER, SESSIONS, Asked
from benchmarks.session_data import read_sessions


def main() -> None:
    """Read the sessions, train, rank and write."""
    options = parser()
    arguments = options.parse_args()
    if arguments.train is not None and arguments.test is None:
        options.error("give TRAIN and TEST, or neither")
    folder = arguments.data / "retailrocket"
    train, test = (folder / name for name in SESSIONS)
    if arguments.train is not None:
        train, test = arguments.train, arguments.test
    measure(*read_sessions(train, test), arguments, options.prog)


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.sessions",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("train", type=Path, nargs="?", help="one session a line")
    parser.add_argument("test", type=Path, nargs="?", help="one prefix, tab and item a line")
    parser.add_argument(
        "--data", type=Path, default=Asked.folder, help=f"folder with retailrocket ({FOLDER})"
    )
    add_training_options(parser)
    parser.add_argument("--out", type=Path, default=Path("reports/sessions"))
    parser.set_defaults(protocol="refit", leave_out=[], tie_seed=None)
    return parser


if __name__ == "__main__":
    main()
