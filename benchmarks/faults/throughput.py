"""``python -m benchmarks.faults.throughput``: what a durable acknowledgement costs, by load.

Threads append one event after the other; group commit shares flushes between them. The bare flush
of the same disk stands beside it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from quintet.store import Event, Journal, open_store
from quintet.store.disk import open_file, sync, write_at


def bare_flush(folder: Path, times: int = 50) -> float:
    """Median seconds of a small write and its flush, without a journal."""
    handle = open_file(folder / "bare")
    spent = []
    for number in range(times):
        started = time.perf_counter()
        write_at(handle, bytes(300), number * 300)
        sync(handle)
        spent.append(time.perf_counter() - started)
    os.close(handle)
    return float(np.median(spent))


def measure(
    journal: Journal, threads: int, seconds: float, batch: int
) -> tuple[float, list[float]]:
    """Events a second, and the seconds of each call."""
    numbers, spent = itertools.count(journal.last_offset * 1000), list[float]()
    until = time.perf_counter() + seconds

    def write() -> None:
        while time.perf_counter() < until:
            events = [event(next(numbers)) for _ in range(batch)]
            started = time.perf_counter()
            journal.append(events)
            spent.append(time.perf_counter() - started)

    workers = [threading.Thread(target=write) for _ in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(spent) * batch / (time.perf_counter() - started), spent


def event(number: int) -> Event:
    """An event of one of 1,000 users."""
    return Event(
        event_id=f"e{number}",
        user_id=f"user-{number % 1000}",
        item_id=f"item-{number % 977}",
        timestamp=number,
        behaviour="view",
        scenario="shop",
    )


def main() -> None:
    """Print one line a load."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.faults.throughput"
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--url", default="", help="of an empty store; a new SQLite one by default")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="quintet-throughput-") as folder:
        print(f"bare flush p50 {bare_flush(Path(folder)) * 1e3:.2f} ms")
        with open_store(arguments.url or Path(folder) / "journal") as journal:
            measure(journal, 4, 0.5, 50)  # keys of the users, first pages
            for threads, batch in ((1, 1), (8, 1), (32, 1), (4, 100)):
                rate, spent = measure(journal, threads, arguments.seconds, batch)
                middle, late = np.quantile(spent, [0.5, 0.99]) * 1e3
                print(
                    f"{threads} threads, {batch} a call: {rate:,.0f} events/s, "
                    f"p50 {middle:.1f} ms, p99 {late:.1f} ms"
                )


if __name__ == "__main__":
    main()
