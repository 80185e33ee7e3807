"""``python -m benchmarks.off_policy``: other policies judged from logs, and experiments read right.

On simulated worlds whose truth is known: how often 95 % intervals hold it, and what an A/A and a
true +5 % look like. With ``--data FOLDER`` also on real logs, wherever below it (or in it) lie
``bts/*.csv`` with ``random/*.csv`` (the Open Bandit Dataset's format: the Thompson log estimates
what uniform choice earns, next to uniform choice's own log), or ``train.ascii``, ``test.ascii``
and ``propensities.ascii`` (Coat's format: weighted against naive fit, on randomly chosen items).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.policies import open_bandit, ratings
from benchmarks.policies.bandit import coverage
from benchmarks.policies.plot import draw
from benchmarks.policies.traffic import found_at
from quintet.metrics import Interval
from quintet.metrics.off_policy import PolicyValue
from quintet.train.measure import environment
from quintet.train.results import write_results

AA_USERS, POWER_USERS, LIFT = 4000, (10_000, 20_000, 40_000, 80_000), 0.05
RESAMPLES = 500


def main() -> None:
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.off_policy")
    parser.add_argument("--data", type=Path, help="folder of logs; without it, simulations alone")
    parser.add_argument("--out", type=Path, default=Path("reports/off_policy"))
    parser.add_argument("--runs", type=int, default=500, help="simulated logs and A/A experiments")
    parser.add_argument("--power-runs", type=int, default=200, help="experiments of each size")
    parser.add_argument("--rounds", type=int, default=1000, help="of a simulated log")
    arguments = parser.parse_args()
    console, seconds = Console(width=110), {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        answer = work()
        seconds[stage] = time.perf_counter() - started
        return answer

    folders = folders_of(arguments.data)
    bandits = timed(
        "open bandit", lambda: [open_bandit.measure(f) for f in folders if open_bandit.is_one(f)]
    )
    rated = timed("ratings", lambda: [ratings.measure(f) for f in folders if ratings.is_one(f)])
    for found in bandits:
        show_bandit(console, found)
    for found in rated:
        show_ratings(console, found)
    if not bandits or not rated:
        missing = " and ".join(
            name for name, own in (("Open Bandit", bandits), ("Coat", rated)) if not own
        )
        console.print(f"not run: no log of {missing}'s format was given (--data FOLDER)\n")
    simulated = timed("bandit", lambda: coverage(arguments.runs, arguments.rounds, RESAMPLES))
    show_coverage(console, simulated, arguments.runs, arguments.rounds)
    trials = timed("experiments", lambda: measure_trials(arguments.runs, arguments.power_runs))
    show_trials(console, trials)
    results = summary(bandits, rated, simulated, trials, seconds, arguments)
    write_results(arguments.out / "results.json", results)
    draw(arguments.out / "off_policy.svg", bandits, rated, simulated, trials)
    console.print(f"figures: {arguments.out / 'results.json'}, {arguments.out / 'off_policy.svg'}")


def folders_of(data: Path | None) -> list[Path]:
    """The folder and those right below it, in order of name."""
    if data is None:
        return []
    return [data, *sorted(path for path in data.iterdir() if path.is_dir())]


def measure_trials(runs: int, power_runs: int) -> list[dict[str, Any]]:
    """The A/A, then +5 % at growing sizes."""
    return [
        found_at(AA_USERS, 0.0, runs),
        *(found_at(users, LIFT, power_runs, start=100_000) for users in POWER_USERS),
    ]


def show_bandit(console: Console, found: dict[str, Any]) -> None:
    """Each estimate next to what the target's own log says."""
    truth: PolicyValue = found["truth"]
    title = f"{found['name']}: clicks a row under uniform choice, from Thompson sampling's log"
    table = new_table(
        title, "estimator", "value", "normal 95%", "bootstrap 95%", "less its own log", "n_eff"
    )
    for name, value in found["estimates"].items():
        low, high = gap(value, truth)
        table.add_row(
            name,
            f"{value.value:.5f}",
            f"{value.low:.5f} to {value.high:.5f}",
            f"{value.bootstrap_low:.5f} to {value.bootstrap_high:.5f}",
            f"{low:+.5f} to {high:+.5f}",
            "-" if name == "direct method" else f"{value.effective_n:.0f} of {value.n}",
        )
    table.add_section()
    for name, value in (("uniform's own log", truth), ("Thompson's own log", found["logged"])):
        table.add_row(
            name, f"{value.value:.5f}", f"{value.low:.5f} to {value.high:.5f}",
            f"{value.bootstrap_low:.5f} to {value.bootstrap_high:.5f}", "", str(value.n),
        )  # fmt: skip
    console.print(table)
    slate, own = found["slate"]["estimate"], found["slate"]["truth"]
    console.print(
        f"a slate of one item at each place (item-position, self-normalised): {slate.value:.4f} "
        f"({slate.low:.4f} to {slate.high:.4f}); uniform's own log {own.value:.4f} "
        f"({own.low:.4f} to {own.high:.4f})"
    )
    console.print(f"mean weight {slate.mean_weight:.3f}, greatest {slate.max_weight:.0f}\n")


def gap(estimate: PolicyValue, truth: PolicyValue) -> tuple[float, float]:
    """95 % interval of estimate less truth: the logs are independent."""
    half = np.hypot(estimate.high - estimate.value, truth.high - truth.value)
    middle = estimate.value - truth.value
    return float(middle - half), float(middle + half)


def show_ratings(console: Console, found: dict[str, Any]) -> None:
    """Errors on ratings of randomly drawn items."""
    title = f"{found['name']}: ratings of random items, from {found['ratings']} self-selected ones"
    table = new_table(title, "test ratings", "error", "naive", "weighted", "weighted less naive")
    for name, errors in found["errors"].items():
        for metric in ("mse", "mae"):
            own = errors[metric]
            means = (f"{own[model].mean:.3f}" for model in ("naive", "weighted"))
            which = f"{name} ({errors['ratings']})"
            table.add_row(which, metric.upper(), *means, span(own["difference"]))
    console.print(table)
    console.print(
        f"chosen on train: {found['chosen']}; effective ratings {found['effective_n']:.0f}\n"
    )


def span(interval: Interval) -> str:
    """Mean and ends, signed."""
    return f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def show_coverage(
    console: Console, simulated: dict[str, dict[str, float]], runs: int, rounds: int
) -> None:
    """Bias, error and coverage of each estimator."""
    truth = next(iter(simulated.values()))["truth"]
    title = f"simulated bandit, truth {truth:.4f}: {runs} logs of {rounds} rounds"
    table = new_table(title, "estimator", "bias", "RMSE", "normal covers", "bootstrap covers")
    for name, own in simulated.items():
        table.add_row(
            name, f"{own['bias']:+.4f}", f"{own['rmse']:.4f}", f"{own['normal']:.1%}",
            f"{own['bootstrap']:.1%}",
        )  # fmt: skip
    console.print(table)


def show_trials(console: Console, trials: list[dict[str, Any]]) -> None:
    """How often a difference is called, by size and way of reading."""
    names = list(trials[0]["found"])
    kinds = [f"+{trial['lift']:.0%}" if trial["lift"] else "A/A" for trial in trials]
    heads = [f"{kind}, {t['users']:,}" for kind, t in zip(kinds, trials, strict=True)]
    table = new_table("experiments: share called different at 5 %, by users", "read as", *heads)
    for name in names:
        table.add_row(name, *(f"{trial['found'][name]:.1%}" for trial in trials))
    table.add_row("always valid: share of users used", *(f"{t['stopped at']:.0%}" for t in trials))
    console.print(table)


def new_table(title: str, *heads: str) -> Table:
    """A table whose first column is text."""
    table = Table(title=title, title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    return table


def summary(
    bandits: list[dict[str, Any]],
    rated: list[dict[str, Any]],
    simulated: dict[str, dict[str, float]],
    trials: list[dict[str, Any]],
    seconds: dict[str, float],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Everything as ``results.json`` holds it."""
    models: dict[str, dict[str, Any]] = {}
    for found in bandits:
        own = {**found["estimates"], "uniform's own log": found["truth"]}
        for name, value in own.items():
            figure = {"mean": value.value, "low": value.low, "high": value.high, "n": value.n}
            models.setdefault(name, {})[f"{found['name']} clicks"] = figure
    for found in rated:
        for name in ("naive", "weighted"):
            for metric in ("mse", "mae"):
                figure = vars(found["errors"]["all test ratings"][metric][name])
                models.setdefault(name, {})[f"{found['name']} {metric}"] = figure
    names = [found["name"] for found in (*bandits, *rated)]
    return {
        "dataset": ", ".join(["simulated", *names]),
        "protocol": "normal intervals; models cross-fitted; settings chosen on the training log",
        "seeds": list(range(arguments.runs)),
        "models": models,
        "open_bandit": [_plain(found) for found in bandits],
        "ratings": [_plain(found) for found in rated],
        "coverage": {"runs": arguments.runs, "rounds": arguments.rounds, "of": simulated},
        "experiments": trials,
        "seconds": seconds,
        "command": "python -m benchmarks.off_policy" + (" --data FOLDER" if names else ""),
        **environment(),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return vars(value) if isinstance(value, PolicyValue | Interval) else value


if __name__ == "__main__":
    main()
