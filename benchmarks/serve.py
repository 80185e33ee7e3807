"""How fast recommendations come over HTTP, beside routes that do next to nothing.

::

    python -m benchmarks.serve --bundle bundle --seconds 10

Four routes of one server process, asked by another process over kept-alive connections, in turns
within one run so that they share whatever else the machine does:

1. ``recommend``: k = 10, another user each time (states may be kept, scores and lists are not),
   with request ids, reasons, propensities of a draw, and the exposure on disk before the answer;
2. ``dict``: a FastAPI route that serialises a dictionary of the same size;
3. ``ready``: a FastAPI route that returns bytes made before;
4. ``asgi``: the same bytes without a framework.

First at full load (requests a second), then at equal loads: every route is asked at the same rate,
shares of what ``recommend`` reached, and their times to answer stand beside each other; half is the
one that is told as ``equal_load``. Before that, the lists of 1,000 users are compared with what
evaluation would rank (``agreement``); after it, events are sent one by one and the answers that
reflect them are waited for (``event_to_answer``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUTES = ("recommend", "dict", "ready", "asgi")
PATHS = {name: f"/{name}" for name in ROUTES} | {"recommend": "/v1/recommend"}
MARKET = ["n_users=5200", "n_items=12000", "events_per_user=8"]
CLOSE = 1e-4
#: of what ``recommend`` reaches, at which all routes are asked alike
SHARES, HALF = (0.1, 0.25, 0.5, 0.75), 0.5
SHOWN = ("event_to_answer", "agreement", "users", "flush_ms", "ratios")
TINY: dict[str, Any] = {
    "model": {"width": 32},
    "loop": {"epochs": 1},
    "memories": {name: {} for name in ("transitions", "item_cosine", "last_item", "trend")},
}


def train(folder: Path) -> Path:
    """A bundle of a market with 12,000 items; one epoch, because speed does not ask for more."""
    import quintet

    model = quintet.Quintet(**TINY).fit(quintet.open_dataset("market", MARKET))
    return model.save(folder / "bundle")


# ---------------------------------------------------------------- the server's process


def server(bundle: str, state: str, port: Any, exploration: float) -> None:
    """Run the service with the three plain routes beside it; sends its port."""
    import uvicorn

    from quintet.web.server import Options, build_app, listeners, uvicorn_config

    options = Options(bundle, state, port=0, access_log=False, waiting=4096)
    app = build_app(options)
    sample = sampled(app, exploration)
    ready = json.dumps(sample).encode()

    @app.get("/dict")
    async def plain_dict() -> dict[str, Any]:
        return sample

    from starlette.responses import Response

    @app.get("/ready")
    async def plain_bytes() -> Response:
        return Response(ready, media_type="application/json")

    length = str(len(ready)).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", length)]

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/asgi":
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": ready})
        else:
            await app(scope, receive, send)

    config = uvicorn_config(options, app, whole)
    listening = config.bind_socket()
    listening.listen(1024)
    port.send((listening.getsockname()[1], len(ready)))
    uvicorn.Server(config).run(sockets=listeners(listening))


def sampled(app: Any, exploration: float) -> dict[str, Any]:
    """An answer of the service, for the plain routes to be as large as."""
    import httpx

    async def ask() -> dict[str, Any]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
            body = {"user_id": "u1", "k": 10, "exploration": exploration}
            found: dict[str, Any] = (await client.post("/v1/recommend", json=body)).json()
            return found

    return asyncio.run(ask())


# ---------------------------------------------------------------- the driver's process


class Driver:
    """Asks over ``connections`` kept-alive connections, with as little work as can be."""

    def __init__(self, port: int, users: list[str], connections: int, exploration: float) -> None:
        self.port = port
        self.connections = connections
        order = np.random.default_rng(0).permutation(len(users))
        self.bodies = [
            json.dumps({"user_id": users[row], "k": 10, "exploration": exploration}).encode()
            for row in order
        ]
        self.next = 0
        self.asked: set[int] = set()

    def request(self, route: str) -> bytes:
        """The bytes of the next request."""
        if route != "recommend":
            return f"GET {PATHS[route]} HTTP/1.1\r\nhost: b\r\n\r\n".encode()
        row = self.next % len(self.bodies)
        self.next += 1
        self.asked.add(row)
        body = self.bodies[row]
        head = f"POST {PATHS[route]} HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def one(
        self, route: str, until: float, gap: float, took: list[float], bad: list[int]
    ) -> None:
        """One connection: asks, reads, and asks again when it is time."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        planned = time.perf_counter() + gap * np.random.default_rng().random()
        while (now := time.perf_counter()) < until:
            if gap:
                await asyncio.sleep(max(0.0, planned - now))
            # from when it was due: a server that is late may not hide behind a driver that waits
            started = planned if gap else time.perf_counter()
            planned += gap
            writer.write(self.request(route))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            took.append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200") or b'"exposure":"failed"' in body:
                bad.append(1)
        writer.close()

    async def load(self, route: str, seconds: float, rate: float = 0.0) -> dict[str, float]:
        """Requests a second and times to answer; at full load, or at ``rate`` a second."""
        took: list[float] = []
        bad: list[int] = []
        gap = self.connections / rate if rate else 0.0
        started = time.perf_counter()
        until = started + seconds
        asks = (self.one(route, until, gap, took, bad) for _ in range(self.connections))
        await asyncio.gather(*asks)
        p50, p99 = np.quantile(took, [0.5, 0.99]) * 1000
        return {
            "requests_per_second": len(took) / (time.perf_counter() - started),
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "failed": float(len(bad)),
        }


def cpu_seconds(process: int) -> float:
    """What a process has used of the processors, all its threads together; Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def loaded(driver: Driver, route: str, seconds: float, process: int) -> dict[str, float]:
    """A round at full load, with the server's processor time for each request.

    That time says more than the rate where others use the machine too.
    """
    before = cpu_seconds(process)
    started = time.perf_counter()
    made = asyncio.run(driver.load(route, seconds))
    requests = made["requests_per_second"] * (time.perf_counter() - started)
    return made | {"cpu_us": (cpu_seconds(process) - before) / requests * 1e6}


def agreement_of(port: int, bundle: Path, n: int) -> dict[str, float]:
    """How many users' lists are those of evaluation: same items in the same order.

    Two neighbours may change places where their offline scores differ by less than ``CLOSE``.
    """
    from quintet.client import Client
    from quintet.serve.recommender import Recommender

    offline = Recommender.load(bundle)
    users = offline.trained.users.values.to_pylist()[:n]
    histories, masked = offline.histories(users), offline.masks(None)
    ranked = offline.scorer.rank(histories, 10, mask_history=masked)  # what evaluation reads
    counts = {"same": 0, "close": 0, "different": 0}
    with Client(f"http://127.0.0.1:{port}") as client:
        for row, user in enumerate(users):
            answer = client.recommend(user_id=user, k=10, exploration=0.0, reasons=False)
            shown = offline.trained.items.rows([one.item_id for one in answer.items])
            counts[compared(ranked.items_BK[row], ranked.scores_BK[row], shown)] += 1
    return {"users": len(users), **counts}


def compared(expected: Any, scores: Any, shown: Any) -> str:
    """Whether a list is the "same", "close" (near neighbours changed places) or "different"."""
    if np.array_equal(expected, shown):
        return "same"
    group = np.concatenate([[0], np.cumsum(np.abs(np.diff(scores)) >= CLOSE)])
    pairs = [sorted(zip(group.tolist(), i.tolist(), strict=True)) for i in (expected, shown)]
    return "close" if pairs[0] == pairs[1] else "different"


async def journey_of(port: int, users: list[str], items: list[str], n: int) -> dict[str, float]:
    """Milliseconds from sending an event to holding the answer that reflects it."""
    from quintet.client import AsyncClient

    took, reflected = [], 0
    async with AsyncClient(f"http://127.0.0.1:{port}") as client:
        for turn in range(n):
            started = time.perf_counter()
            told = await client.send({"user_id": users[turn], "item_id": items[turn]})
            answer = await client.recommend(user_id=users[turn], k=10, exclude_seen=True)
            took.append(time.perf_counter() - started)
            fresh = answer.delta_offset >= told.events[0].offset
            reflected += fresh and items[turn] not in [one.item_id for one in answer.items]
    return {
        "p50_ms": float(np.quantile(took, 0.5) * 1000),
        "p99_ms": float(np.quantile(took, 0.99) * 1000),
        "reflected_share": reflected / n,
    }


def measure(arguments: argparse.Namespace, bundle: Path, state: Path) -> dict[str, Any]:
    """All figures, from a fresh server."""
    import pyarrow.parquet as pq

    users = [str(one) for one in pq.read_table(bundle / "users.parquet")["__id"].to_pylist()]
    items = [str(one) for one in pq.read_table(bundle / "items.parquet")["__id"].to_pylist()]
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe()
    process = context.Process(
        target=server, args=(str(bundle), str(state), other, arguments.exploration)
    )
    process.start()
    other.close()  # or a server that could not start would be waited for without end
    try:
        port, size = mine.recv()
        agreement = agreement_of(port, bundle, arguments.compared)
        driver = Driver(port, users, arguments.connections, arguments.exploration)
        full: dict[str, list[dict[str, float]]] = {name: [] for name in ROUTES}
        asyncio.run(driver.load("recommend", arguments.seconds))  # people are read from disk once
        for _ in range(arguments.rounds):
            for name in ROUTES:
                assert process.pid is not None
                full[name].append(loaded(driver, name, arguments.seconds, process.pid))
        reached = float(np.median([one["requests_per_second"] for one in full["recommend"]]))
        equal = {share: equally(driver, share * reached, arguments) for share in SHARES}
        journey = asyncio.run(journey_of(port, users, items, arguments.events))
    finally:
        process.terminate()
        process.join(30)
    return {
        "users": len(driver.asked),
        "items": len(items),
        "answer_bytes": size,
        "full_load": {name: middle(rounds) for name, rounds in full.items()},
        "equal_load": {name: middle(rounds) for name, rounds in equal[HALF].items()},
        "equal_load_rate": HALF * reached,
        "by_load": [
            {"rate": share * reached, **{name: middle(rounds) for name, rounds in found.items()}}
            for share, found in equal.items()
        ],
        "event_to_answer": journey,
        "agreement": agreement,
        "flush_ms": flush_ms(state),
        "rounds": {"full_load": full, "equal_load": equal[HALF]},
    }


def equally(
    driver: Driver, rate: float, arguments: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Rounds of every route at one rate, in turns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ROUTES}
    for _ in range(arguments.rounds):
        for name in ROUTES:
            found[name].append(asyncio.run(driver.load(name, arguments.seconds, rate)))
    return found


def flush_ms(folder: Path) -> float:
    """What one flush to this disk takes: an event waits for one, and so does a list."""
    took = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return float(np.median(took) * 1000)


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Medians over the rounds; failures are added up."""
    made = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    return made | {"failed": sum(one["failed"] for one in rounds)}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """What the figures come down to."""
    full, equal = found["full_load"], found["equal_load"]
    made = {
        f"throughput_of_{name}": full["recommend"]["requests_per_second"]
        / full[name]["requests_per_second"]
        for name in ROUTES[1:]
    }
    made["cpu_over_dict"] = full["recommend"]["cpu_us"] / full["dict"]["cpu_us"]
    made["p99_over_dict"] = equal["recommend"]["p99_ms"] / equal["dict"]["p99_ms"]
    return made | {
        f"p99_over_dict_at_{one['rate']:.0f}": one["recommend"]["p99_ms"] / one["dict"]["p99_ms"]
        for one in found["by_load"]
    }


def plot(found: dict[str, Any], folder: Path) -> None:
    """Bars: requests a second; lines: times to answer by the rate that all were asked at."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    rates = [found["full_load"][name]["requests_per_second"] for name in ROUTES]
    left.bar(ROUTES, rates, color=["#4269d0", "#9c9c9c", "#b9b9b9", "#d5d5d5"])
    left.set_title("requests a second, full load")
    rates = [one["rate"] for one in found["by_load"]]
    for route, colour in (("recommend", "#4269d0"), ("dict", "#9c9c9c")):
        for quantile, style in (("p50_ms", "o--"), ("p99_ms", "o-")):
            values = [one[route][quantile] for one in found["by_load"]]
            label = f"{route}, {quantile.removesuffix('_ms')}"
            right.plot(rates, values, style, color=colour, label=label)
    right.set_yscale("log")
    right.set_xlabel("requests a second")
    right.set_title("milliseconds at equal load")
    right.legend()
    figure.savefig(folder / "load.png", dpi=120)


def main() -> None:
    """Measure, and write results.json and load.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--bundle", type=Path, help="of a model; a market is trained when absent")
    parser.add_argument("--out", type=Path, default=Path("reports/serve"))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--compared", type=int, default=1000, help="users whose lists are compared")
    parser.add_argument("--exploration", type=float, default=0.5, help="temperature of the draw")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = arguments.bundle or train(Path(scratch))
        load_before = os.getloadavg()[0]
        found = measure(arguments, bundle, Path(scratch) / "state")
    found |= {
        "ratios": ratios(found),
        "load_average": {"before": load_before, "after": os.getloadavg()[0]},
        "command": " ".join(["python -m benchmarks.serve", *sys.argv[1:]]),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    (arguments.out / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    plot(found, arguments.out)
    shown = {k: found[k] for k in ("full_load", "equal_load", *SHOWN)}
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
