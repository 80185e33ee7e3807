"""``python -m benchmarks.faults.worker``: writes to a journal until it is killed.

Every acknowledged record is told on standard output at once, as ``a NUMBER``; a refused one as
``r NUMBER``, and it is tried again. What stands in the pipe outlives the process.
"""

from __future__ import annotations

import argparse
import itertools
import os
import threading
import time

from quintet.errors import StoreError
from quintet.store import Event, Exposure, Journal, Outcome, Record, open_store

USERS = 50


def record(number: int) -> Record:
    """The record of a number: every third is an exposure."""
    user = f"user-{number % USERS}"
    if number % 3:
        return Event(
            event_id=f"n{number}", user_id=user, item_id=f"item-{number % 97}", timestamp=number
        )
    items = tuple(f"item-{(number + place) % 97}" for place in range(10))
    return Exposure(
        request_id=f"n{number}",
        user_id=user,
        timestamp=number,
        model="m",
        items=items,
        propensities=tuple(1 / (place + 2) for place in range(10)),
    )


def write(journal: Journal, numbers: itertools.count[int]) -> None:
    """Append one record after the other."""
    for number in numbers:
        while True:
            try:
                (answer,) = journal.append([record(number)])
            except StoreError:
                os.write(1, b"r %d\n" % number)
                time.sleep(0.002)
                continue
            if answer.outcome is Outcome.CONFLICT:
                raise SystemExit(f"{number}: a conflict with itself")
            os.write(1, b"a %d\n" % number)
            break


def main() -> None:
    """Write with several threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--threads", type=int, default=8)
    arguments = parser.parse_args()
    journal = open_store(arguments.url)
    numbers = itertools.count(arguments.first)  # next() of it is one step for the interpreter
    threads = [
        threading.Thread(target=write, args=(journal, numbers)) for _ in range(arguments.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
