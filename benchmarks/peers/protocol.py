"""What every side of the comparison shares: the file, the split, the metrics and the clock.

Runs under each peer's own interpreter, so it needs nothing but the standard library and numpy.

Shapes: B users at a time, I items of the catalogue, L events of a history.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
#: from histories (rows of items, oldest first) to [B, I] scores, higher is better
Score = Callable[[Sequence[Ints]], NDArray[np.float32]]

CUTOFF = 10
USERS_AT_ONCE = 256
#: where large temporaries come and go, glibc otherwise spends the time in the kernel (mmap, trim)
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


@dataclass(frozen=True)
class Sequences:
    """A file of sequences, ids as rows in order of first appearance.

    Attributes:
        users: id of each user.
        items: id of each item of the catalogue.
        events: by user, rows of items in time order.
        masked: whether lists leave out what their history holds.
    """

    masked: ClassVar[bool] = True
    users: list[str]
    items: list[str]
    events: list[Ints]

    @classmethod
    def read(cls, path: Path) -> Sequences:
        """Read ``user item item ...`` lines, one user a line, in time order."""
        users: list[str] = []
        rows: dict[str, int] = {}
        events: list[Ints] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            user, *items = line.split()
            users.append(user)
            events.append(np.array([rows.setdefault(item, len(rows)) for item in items], np.int64))
        return cls(users, list(rows), events)

    @property
    def train(self) -> list[Ints]:
        """By user, what is left when the last two events are held out; all of shorter ones."""
        return [own[:-2] if len(own) > 2 else own for own in self.events]

    def held_out(self, back: int) -> tuple[list[Ints], Ints]:
        """Histories and the target that follows each: ``back`` 2 is validation, 1 the test."""
        chosen = [own for own in self.events if len(own) > 2]
        return [own[:-back] for own in chosen], np.array([own[-back] for own in chosen], np.int64)

    def ranked(self, score: Score, back: int) -> dict[str, float]:
        """:func:`ranking` of those that :meth:`held_out` names."""
        return ranking(score, *self.held_out(back), masked=self.masked)


def ranking(
    score: Score, histories: Sequence[Ints], targets: Ints, seed: int = 0, masked: bool = True
) -> dict[str, float]:
    """HR@10 and NDCG@10 over the full catalogue, history masked or not, ties by a seeded order."""
    order_I: Ints | None = None
    barred = histories if masked else [np.empty(0, np.int64)] * len(histories)
    ranks = []
    for start in range(0, len(targets), USERS_AT_ONCE):
        rows = slice(start, start + USERS_AT_ONCE)
        scores_BI = dense(score(histories[rows]))
        if order_I is None:
            order_I = np.random.default_rng(seed).permutation(scores_BI.shape[1])
        ranks.append(target_ranks(scores_BI, barred[rows], targets[rows], order_I))
    rank_N = np.concatenate(ranks)
    hit_N = rank_N < CUTOFF
    return {
        f"ndcg@{CUTOFF}": float(np.where(hit_N, 1 / np.log2(rank_N + 2), 0).mean()),
        f"hr@{CUTOFF}": float(hit_N.mean()),
    }


def dense(scores_BI: Any) -> NDArray[np.float32]:
    """A copy that may be masked; sparse scores (scipy's) are spread out."""
    spread = scores_BI.toarray() if hasattr(scores_BI, "toarray") else scores_BI
    return np.array(spread, np.float32)


def target_ranks(
    scores_BI: NDArray[np.float32], histories: Sequence[Ints], target_B: Ints, order_I: Ints
) -> Ints:
    """[B] how many items stand before the target; histories are masked in place."""
    for row, history in zip(scores_BI, histories, strict=True):
        row[history] = -np.inf
    own_B1 = scores_BI[np.arange(len(target_B)), target_B][:, None]
    tied_BI = (scores_BI == own_B1) & (order_I < order_I[target_B][:, None])
    rank_B: Ints = ((scores_BI > own_B1) | tied_BI).sum(1)
    return rank_B


@dataclass
class Clock:
    """Wall and CPU time (user and system, all threads of the process) between start and stop."""

    wall: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        """From here on."""
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()

    def stop(self) -> dict[str, float]:
        """What passed, as a line tells it."""
        self.wall += time.perf_counter()
        self.cpu += time.process_time()
        return {"seconds": round(self.wall, 3), "cpu_seconds": round(self.cpu, 3)}


def peak_memory_mb() -> float:
    """Greatest resident memory of the process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


class Record:
    """A run's lines, one JSON object each, on disk as soon as they are known.

    A run in step waits for a line on its standard input before every epoch, so that whoever
    started several can let them take turns.

    Between :meth:`begin` and :meth:`end` stands the training epoch alone. Validation chooses where
    to stop; the test is measured at each new best so that a killed run leaves its figure, and
    chooses nothing.
    """

    def __init__(
        self, path: Path | None, data: Sequences, patience: int = 0, in_step: bool = False
    ) -> None:
        self.path = path
        self.data = data
        self.patience = patience
        self.in_step = in_step
        self.clock = Clock()
        self.epoch = 0
        self.best_epoch = 0
        self.best = -1.0
        self.last = 0.0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")

    def write(self, **line: Any) -> None:
        """Append a line."""
        text = json.dumps(line)
        print(text, flush=True)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    def started(self, peer: str, settings: dict[str, Any], versions: dict[str, str]) -> None:
        """Say what runs, and with which settings of the allocator."""
        own = {name: os.environ.get(name, "") for name in ALLOCATOR}
        self.write(
            event="start", peer=peer, settings=settings, versions=versions, allocator=own,
            n_users=len(self.data.users), n_items=len(self.data.items),
        )  # fmt: skip

    def begin(self) -> None:
        """The training epoch starts; in step, when it is told to."""
        if self.in_step and not sys.stdin.readline():
            raise SystemExit(0)
        self.clock.start()

    def end(self, score: Score | None, **more: Any) -> bool:
        """The training epoch is over; measure, write, and say whether to go on."""
        self.epoch += 1
        line: dict[str, Any] = {"event": "epoch", "epoch": self.epoch, **self.clock.stop(), **more}
        if score is not None:
            line["valid"] = self.data.ranked(score, 2)
            self.last = line["valid"][f"ndcg@{CUTOFF}"]
            if self.last > self.best:
                self.best, self.best_epoch = self.last, self.epoch
                line["test"] = self.data.ranked(score, 1)
        self.write(**line, peak_memory_mb=peak_memory_mb())
        stale = self.epoch - self.best_epoch
        return score is None or not self.patience or stale < self.patience
