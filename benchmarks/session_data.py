"""Anonymous sessions as a data set: training sessions, and prefixes with the item that followed.

The training file has one session a line, items in time order; the test file one target a line,
``item item ...``, tab, ``item``. One session may give several test lines; each is a target of its
own. Sessions have no people and no times: every line becomes a user, and lines stand in the order
of the file.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import EventLog
from quintet.data.interactions import seeded_hash
from quintet.data.split import Part, Split
from quintet.errors import DataError

HeldOut = Literal["newest", "random"]

#: events before the first target of a held-out session, as in the test files
SHORTEST_PREFIX = 2


def read_sessions(
    train_path: Path,
    test_path: Path,
    *,
    held_out: HeldOut = "newest",
    valid: float = 0.1,
    seed: int = 0,
) -> tuple[Encoded, Split]:
    """The two files as one data set and its split.

    Of a test line the prefix is history alone (never learned from) and its label the target. For
    validation a share of the training sessions is held out in one of two ways:

    - "newest": the last sessions of the file, in the manner of the test: their first two events
      are history alone, and every later one is a target. Right where the file is in time order
      and the test came after it; "train" then lacks the newest sessions until it is refitted.
    - "random": of sessions drawn by a seed the last event is a target, and what comes before it
      stays in training.

    Args:
        train_path: one session a line.
        test_path: one prefix and label a line.
        held_out: which sessions are for validation.
        valid: share of the training sessions of three events or more that is held out.
        seed: draws them, if they are drawn.

    Raises:
        DataError: a line of the test is not a prefix, a tab and one item, or a file has no lines.
    """
    sessions = [line.split() for _, line in _lines(train_path)]
    tests = [_prefix_and_label(test_path, number, line) for number, line in _lines(test_path)]
    users = [f"session {n}" for n in range(1, len(sessions) + 1)]
    users += [f"test {n}" for n in range(1, len(tests) + 1)]
    lengths = np.array([len(items) for items in chain(sessions, tests)])
    user_of_event = np.repeat(np.arange(len(users)), lengths)
    log = pa.table(
        {
            "user_id": pa.array(users).take(pa.array(user_of_event)),
            "item_id": pa.array(list(chain.from_iterable(chain(sessions, tests)))),
        }
    )
    encoded = encode(join(EventLog.read(log), name=train_path.stem))
    last = encoded.events.offsets[1:] - 1
    part = np.full(len(encoded.events), Part.TRAIN, np.int8)
    part[user_of_event >= len(sessions)] = Part.HISTORY
    part[last[len(sessions) :]] = Part.TEST
    long_enough = np.flatnonzero(lengths[: len(sessions)] > SHORTEST_PREFIX)
    n_held = round(valid * len(long_enough))
    if held_out == "newest":
        newest = np.isin(user_of_event, long_enough[len(long_enough) - n_held :])
        late = encoded.events.positions() >= SHORTEST_PREFIX
        part[newest] = np.where(late, Part.VALID, Part.HISTORY)[newest]
    else:
        drawn = long_enough[np.argsort(seeded_hash(long_enough, seed), kind="stable")]
        part[last[drawn[:n_held]]] = Part.VALID
    return encoded, Split(f"sessions, {held_out} held out", encoded.events, part)


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines with something on them, each with its number."""
    numbered = enumerate(path.read_text(encoding="utf8").splitlines(), 1)
    lines = [(number, line) for number, line in numbered if line.strip()]
    if not lines:
        raise DataError(f"{path}: no lines; give one session a line")
    return lines


def _prefix_and_label(path: Path, number: int, line: str) -> list[str]:
    """The items of the prefix and the label after them."""
    prefix, _, label = line.partition("\t")
    if not prefix.split() or len(label.split()) != 1:
        raise DataError(f"{path}:{number}: give `item item ...`, a tab and the item that followed")
    return [*prefix.split(), *label.split()]
