"""``python -m benchmarks.faults``: does the service survive what happens to services?

Real processes, real servers, real files. Every line says how many rounds were tried and survived
and what was lost; what the machine lacks prints ``not run``. The journal's faults run beside the
training of the two models that the others need; then one fault after the other has the machine to
itself.

::

    python -m benchmarks.faults              # all of it, in under 12 minutes on two cores
    python -m benchmarks.faults --long       # with the whole fuzz and a soak of five minutes
    python -m benchmarks.faults --only swaps,bodies  # some of them
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults import (
    answers,
    brokers,
    durability,
    ends,
    hostile,
    load,
    models,
    security,
    soak,
    swaps,
)
from benchmarks.faults.process import ENVIRONMENT
from benchmarks.faults.scene import Scene
from benchmarks.faults.servers import NatsServer, RedisServer
from benchmarks.faults.tally import Tally

Run = Callable[[Scene], Tally | list[Tally]]

#: of a running service, in the order in which they run
FAULTS: dict[str, Run] = {
    "restore": answers.restored,
    "erase": answers.erased,
    "redis-streams": partial(brokers.through, RedisServer, "Redis Streams"),
    "nats-jetstream": partial(brokers.through, NatsServer, "NATS JetStream"),
    "swaps": swaps.under_load,
    "bad-models": swaps.refused,
    "worker": ends.worker_killed,
    "sigterm": ends.sigterm,
    "slow-clients": load.slow_clients,
    "overload": load.overload,
    "store-gone": ends.store_gone,
    "broker-gone": brokers.away,
    "bodies": hostile.bodies,
    "giants": hostile.giants,
    "unicode": hostile.unicode_ids,
    "scopes": security.scopes,
    "traversal": security.traversal,
    "revoked": security.revoked,
    "logs": security.silent_logs,
    "poisoned": swaps.poisoned,
}
LONG: dict[str, Run] = {"soak": soak.soak}


def journal_faults(chance: random.Random, scale: float) -> Iterator[Tally]:
    """Those of the journal, which need no model."""
    many, few = max(2, round(50 * scale)), max(1, round(10 * scale))
    for run in durability.lines(chance, many, few):
        with TemporaryDirectory(prefix="quintet-faults-") as folder:
            yield run(Path(folder))


def service_faults(arguments: argparse.Namespace, chance: random.Random) -> Iterator[Tally]:
    """Those of a running service."""
    held = models.trained(arguments.models)
    wanted = FAULTS | (LONG if arguments.long else {})
    for name, run in wanted.items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        with TemporaryDirectory(prefix="quintet-faults-") as folder:
            scene = Scene(held, Path(folder), chance, arguments.long, arguments.scale)
            try:
                found = run(scene)
            except Exception as error:  # one that breaks off is not survived, and the rest runs
                traceback.print_exc()
                found = Tally(name)
                found.count(1, trouble=f"broke off: {type(error).__name__}")
        yield from found if isinstance(found, list) else [found]


def main() -> int:
    """Run the faults; the exit code says whether all that ran were survived."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.faults")
    parser.add_argument("--long", action="store_true", help="the whole fuzz, and the soak")
    parser.add_argument("--only", default="", help="of these, by commas: " + ", ".join(FAULTS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/faults"))
    parser.add_argument("--models", type=Path, help="bundles kept from one run to the next")
    arguments = parser.parse_args()
    started, chance = time.monotonic(), random.Random(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="quintet-models-") as folder:
        arguments.models = arguments.models or Path(folder)
        training = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.models", str(arguments.models)],
            env=ENVIRONMENT,
        )
        tallies = []
        if not arguments.only:
            tallies += [told(one) for one in journal_faults(chance, arguments.scale)]
        if training.wait():
            print("the models could not be trained", file=sys.stderr)
            return 1
        tallies += [told(one) for one in service_faults(arguments, chance)]
    seconds = time.monotonic() - started
    results = {
        "faults": [asdict(one) | {"passed": one.passed} for one in tallies],
        "seconds": round(seconds, 1),
        "load_average": os.getloadavg()[0],
        "command": " ".join(["python -m benchmarks.faults", *sys.argv[1:]]),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    fallen = [one.name for one in tallies if not one.passed and not one.not_run]
    print(f"{len(tallies)} faults in {seconds / 60:.1f} min; not survived: {fallen or 'none'}")
    return 1 if fallen else 0


def told(tally: Tally) -> Tally:
    """Print a line as soon as it is known."""
    print(tally.line(), flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main())
