"""``python -m benchmarks.calibration [DATA]``: are the probabilities what they say?

On the market (the default): one model is trained on some users, calibrated on others and asked
about looks of the rest. For every behaviour in every scenario: calibration error over 15 bins of
equal mass, log loss, and beside them what the simulator's own probabilities score on the same
events: a figure below that is luck. Cells hold at least 500 events.

On any other data set (a name or a file, as ``quintet train`` takes them): the chance that a rating
reaches a threshold, given that there is one, after a split by time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.market_data import Simulated, at_most, by_user, simulate
from quintet.data.clean import clean
from quintet.data.encode import encode
from quintet.data.sources.base import open_dataset
from quintet.data.split import Part, Split, global_time
from quintet.data.states import Moments
from quintet.market import MarketConfig
from quintet.metrics import calibration_bins, calibration_error, log_loss
from quintet.nn.tasks.interaction import Interaction
from quintet.serve.scorer import Scorer
from quintet.train.evaluate_tasks import like_figures
from quintet.train.measure import environment
from quintet.train.measure_tasks import usual_like
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

FEWEST = 500
#: the behaviours whose truth the simulator tells; a look always is a view
TOLD = ("like", "cart", "buy", "rating")
GOALS = {"market": 0.02, "ratings": 0.03}


def main() -> None:
    """Train, ask, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.calibration")
    parser.add_argument("data", nargs="?", default="market", help="market, or a data set")
    parser.add_argument("--users", type=int, default=3000, help="of the market")
    parser.add_argument("--learn", type=int, default=600, help="users learned from")
    parser.add_argument("--validate", type=int, default=400, help="users that calibrate")
    parser.add_argument("--most", type=int, default=5000, help="looks asked about in a scenario")
    parser.add_argument("--like-at", type=float, help="threshold of a rating; the median if absent")
    parser.add_argument("--events", type=int, default=10_000, help="ratings asked about, at most")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/calibration"))
    arguments = parser.parse_args()
    started = time.perf_counter()
    config = TrainConfig.model_validate(
        {"loop": {"epochs": arguments.epochs}, "seed": arguments.seed, "calibration_share": 0.5}
    )
    ask = on_market if arguments.data == "market" else on_ratings
    cells = ask(arguments, config)
    goal = GOALS["market" if arguments.data == "market" else "ratings"]
    results = {
        "dataset": arguments.data,
        "protocol": ask.__doc__,
        "seeds": [arguments.seed],
        "goal": goal,
        "cells": cells,
        "met": sum(cell["calibration_error"] <= goal for cell in cells.values()),
        "of": len(cells),
        "seconds": {"everything": time.perf_counter() - started},
        "command": f"python -m benchmarks.calibration {' '.join(sys.argv[1:])}".strip(),
        "versions": environment()["versions"],
    }
    write_results(arguments.out / "results.json", results)
    draw_plot(cells, arguments.out / "reliability.svg")
    show(Console(width=110), cells, goal)


def on_market(arguments: argparse.Namespace, config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Users apart: learned from, calibrated on, asked; looks at least 30 days before the end."""
    market = MarketConfig(n_users=arguments.users, events_per_user=40, days=90, seed=arguments.seed)
    simulated = simulate(market, arguments.seed)
    split = by_user(simulated, arguments.learn, arguments.validate, 30, arguments.seed)
    fitted = train(simulated.encoded, split, config)
    rows = np.flatnonzero(split.part == Part.TEST)
    rows = at_most(rows, split.events.scenario[rows], arguments.most, arguments.seed)
    return market_cells(fitted.trained.scorer, simulated, split, rows)


def market_cells(
    scorer: Scorer, simulated: Simulated, split: Split, rows: np.ndarray
) -> dict[str, dict[str, Any]]:
    """A cell for each behaviour in each scenario that has enough looks."""
    events, task = split.events, scorer.evidence.model.task("interaction")
    assert isinstance(task, Interaction)
    reached_NB = task.reached(events)[rows]
    chance_NB = scorer.predict(Moments.before(events, rows), events.item[rows]).behaviour_NB
    names, cells = simulated.encoded.behaviours, {}
    for scenario, place in enumerate(simulated.encoded.scenarios):
        here = events.scenario[rows] == scenario
        if here.sum() < FEWEST:
            continue
        for behaviour in TOLD:
            column, true_N = names.index(behaviour), simulated.truth(f"p_{behaviour}", rows[here])
            cells[f"{behaviour} in {place}"] = cell(
                reached_NB[here, column], chance_NB[here, column]
            ) | {
                "true_calibration_error": calibration_error(reached_NB[here, column], true_N),
                "true_log_loss": log_loss(reached_NB[here, column], true_N),
            }
    return cells


def on_ratings(arguments: argparse.Namespace, config: TrainConfig) -> dict[str, dict[str, Any]]:
    """The newest tenth of the log by time, given that an event is rated."""
    encoded = encode(clean(open_dataset(arguments.data))[0], tie_seed=arguments.seed)
    split = global_time(encoded.events)
    scorer = train(encoded, split, config).trained.scorer
    rows = np.flatnonzero(split.part == Part.TEST)[: arguments.events]
    like_at = usual_like(scorer, split) if arguments.like_at is None else arguments.like_at
    likes = like_figures(scorer, split.events, rows, like_at)
    chance_N = np.clip(likes.probability_N, 0, 1)
    return {f"rates {like_at:g} or more, given rated": cell(likes.like_N, chance_N)}


def cell(label_N: np.ndarray, chance_N: np.ndarray) -> dict[str, Any]:
    """Figures of one cell, and the points of its diagram."""
    base = np.full(len(label_N), label_N.mean())
    return {
        "events": len(label_N),
        "rate": float(label_N.mean()),
        "calibration_error": calibration_error(label_N, chance_N),
        "log_loss": log_loss(label_N, chance_N),
        "rate_log_loss": log_loss(label_N, base),
        "points": [vars(point) for point in calibration_bins(label_N, chance_N)],
    }


def draw_plot(cells: dict[str, dict[str, Any]], path: Path) -> None:
    """One reliability diagram a cell."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    wide = min(len(cells), len(TOLD))
    tall = -(-len(cells) // wide)
    figure = Figure(figsize=(2.4 * wide, 2.3 * tall), layout="constrained")
    places = figure.subplots(tall, wide, squeeze=False).ravel()
    for axes, (name, one) in zip(places, cells.items(), strict=False):
        predicted = [point["predicted"] for point in one["points"]]
        observed = [point["observed"] for point in one["points"]]
        top = max(*predicted, *observed, 0.05)
        axes.plot([0, top], [0, top], color="#bbbbbb", lw=1)
        axes.plot(predicted, observed, "o-", ms=3)
        axes.set_title(f"{name}\nerror {one['calibration_error']:.3f}", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in places[len(cells) :]:
        axes.set_axis_off()
    FigureCanvasSVG(figure).print_svg(str(path))


def show(console: Console, cells: dict[str, dict[str, Any]], goal: float) -> None:
    """A line a cell."""
    table = Table(title=f"calibration error over 15 bins, goal {goal:g}", title_justify="left")
    for heading in ("cell", "events", "rate", "error", "truth's", "log loss", "rate's", "truth's"):
        table.add_column(heading, justify="left" if heading == "cell" else "right")
    for name, one in cells.items():
        table.add_row(
            name,
            f"{one['events']:,}",
            f"{one['rate']:.3f}",
            f"{one['calibration_error']:.4f}",
            _or_dash(one.get("true_calibration_error")),
            f"{one['log_loss']:.4f}",
            f"{one['rate_log_loss']:.4f}",
            _or_dash(one.get("true_log_loss")),
        )
    console.print(table)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    main()
