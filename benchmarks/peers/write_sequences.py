"""``python -m benchmarks.peers.write_sequences DATASET FILE``: what the peers' scripts read.

Writes a data set of the accuracy benchmark, events of one moment in the same order as there, as one
user a line, ``user item item ...``, so that peers learn from and are measured on the same events.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.accuracy.data import FOLDER, Asked, read
from quintet.data.encode import Encoded
from quintet.files import atomic_path


def main() -> None:
    """Read and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="ml-100k, a name, or a file of sequences")
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", type=Path, default=Asked.folder, help=f"of names ({FOLDER})")
    options = parser.parse_args()
    encoded, _ = read(Asked(options.dataset, folder=options.data))
    with atomic_path(options.file) as path:
        path.write_text("".join(f"{line}\n" for line in lines(encoded)), encoding="utf-8")


def lines(encoded: Encoded) -> list[str]:
    """A line for every user with events; ids must hold no space."""
    events = encoded.events
    items = encoded.items.ids(events.item)
    users = encoded.users.ids(range(events.n_users))
    spans = zip(events.offsets[:-1], events.offsets[1:], strict=True)
    return [
        " ".join([str(user), *map(str, items[start:stop])])
        for user, (start, stop) in zip(users, spans, strict=True)
        if stop > start
    ]


if __name__ == "__main__":
    main()
