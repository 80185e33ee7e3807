"""``python -m benchmarks.scenarios [DATA]``: one checkpoint for many scenarios, or one model each?

Each scenario's own model learns from that scenario's events alone; the one checkpoint from all of
them. Both go through the same training, the same memories and gates, and the same trials of the
same settings, chosen on the validation looks of their own log. Both rank what the scenario offers,
with what they know of the person. NDCG@10 on the newest fifth of the looks by time, means by user,
paired intervals.

DATA is ``market`` (six scenarios, five behaviours), or a folder with one folder a domain, each
holding ``train.txt`` and ``test.txt`` of ``user item ...`` lines with users in common (no times;
the last training line of a user is the validation). On the market a scenario is then made new: of
its training events one in a hundred is kept, for the one checkpoint and for its own model alike.
With ``--leave-out`` every scenario is left out once: a checkpoint that learned from no event of it
is set against the scenario's own model, and against a random order of what it offers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.market_data import simulate
from benchmarks.two_domains import read_domains
from quintet.data.encode import Encoded
from quintet.data.interactions import seeded_hash
from quintet.data.outcomes import BehaviourRules
from quintet.data.split import Part, Split, global_time
from quintet.market import MarketConfig
from quintet.metrics import bootstrap_mean, ndcg, paired_bootstrap
from quintet.nn.model import QuintetModel
from quintet.serve.asking import offered
from quintet.serve.trained import Trained
from quintet.train.evaluate import user_means
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

K = 10
KEPT_OF_NEW = 0.01
#: tried for every model alike; the best on its own validation stays
TRIALS: tuple[dict[str, Any], ...] = (
    {"loop": {"learning_rate": 2e-3}},
    {"loop": {"learning_rate": 4e-3}, "model": {"backbone_settings": {"dropout": 0.2}}},
    {"loop": {"learning_rate": 1e-3, "tokens_per_batch": 800}},
)


@dataclass(frozen=True)
class Case:
    """A log with a split, and the experiment's settings."""

    encoded: Encoded
    split: Split
    epochs: int
    trials: int
    seed: int
    say: Callable[[str], None]


@dataclass(frozen=True)
class Best:
    """The best of the trials: the model, its validation figure and its settings."""

    trained: Trained
    score: float
    settings: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Parameters that are no embedding of an item, a query or a label."""
        return dense_parameters(self.trained.model)


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.scenarios")
    parser.add_argument("data", nargs="?", default="market", help="market, or a folder of domains")
    parser.add_argument("--users", type=int, default=600, help="of the market; of a folder, most")
    parser.add_argument("--items", type=int, default=500, help="of the market")
    parser.add_argument("--new", nargs="*", default=["video"], help="scenarios to make new")
    parser.add_argument("--leave-out", action="store_true", help="each scenario once")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--trials", type=int, default=len(TRIALS))
    parser.add_argument("--experts", help="kind of experts; the default if absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/scenarios"))
    arguments = parser.parse_args()
    started, console = time.perf_counter(), Console(width=110)
    case = opened(arguments, lambda text: console.print(f"{time.strftime('%H:%M:%S')} {text}"))
    results = compare(case, arguments.experts, arguments.leave_out)
    if arguments.data == "market":
        results["new"] = {name: made_new(case, name, arguments.experts) for name in arguments.new}
    asked = [Path(one).name if one == arguments.data else one for one in sys.argv[1:]]
    results |= {
        "dataset": arguments.data if arguments.data == "market" else Path(arguments.data).name,
        "protocol": f"NDCG@{K} among what a scenario offers, newest events held out",
        "seeds": [arguments.seed],
        "seconds": {"everything": time.perf_counter() - started},
        "command": f"python -m benchmarks.scenarios {' '.join(asked)}".strip(),
        "versions": environment()["versions"],
    }
    write_results(arguments.out / "results.json", results)
    draw_plot(results, arguments.out / "scenarios.svg")
    show(console, results)


def opened(arguments: argparse.Namespace, say: Callable[[str], None]) -> Case:
    """The data set that was asked for, split; targets are the events that open an episode."""
    if arguments.data == "market":
        market = MarketConfig(
            n_users=arguments.users,
            n_items=arguments.items,
            events_per_user=40,
            seed=arguments.seed,
        )
        encoded = simulate(market, arguments.seed).encoded
        split = global_time(encoded.events, valid=0.15, test=0.2)
    else:
        encoded, split = read_domains(Path(arguments.data), arguments.users, arguments.seed)
    rules = BehaviourRules.of(encoded.behaviours, encoded.schema.behaviours)
    followed = ~rules.targets(encoded.events) & (split.part != Part.TRAIN)
    part = np.where(followed, np.int8(Part.HISTORY), split.part)
    split = replace(split, part=part)
    return Case(encoded, split, arguments.epochs, arguments.trials, arguments.seed, say)


def compare(case: Case, experts: str | None, leave_out: bool = False) -> dict[str, Any]:
    """The one checkpoint against a model a scenario."""
    settings = {} if experts is None else {"model": {"experts": experts}}
    one = best(case, "all scenarios", settings)
    rows, left, owns = {}, {}, []
    for index, name in enumerate(case.encoded.scenarios):
        own = best(alone(case, index), name)
        owns.append(own)
        rows[name] = versus(case, index, one, own)
        if leave_out:
            left[name] = never_met(case, index, one.settings, own)
    gains = [row["paired"]["relative"] for row in rows.values()]
    return {
        "scenarios": rows,
        "left out": left,
        "better_in": sum(row["paired"]["low"] > 0 for row in rows.values()),
        "higher_in": sum(row["paired"]["difference"] > 0 for row in rows.values()),
        "mean_gain": float(np.mean(gains)),
        "average": {
            side: float(np.mean([row[side]["mean"] for row in rows.values()]))
            for side in ("one", "own")
        },
        "parameters": {"one": one.parameters, "own": sum(own.parameters for own in owns)},
        "chosen": {
            "one": one.settings,
            **dict(zip(rows, (own.settings for own in owns), strict=True)),
        },
    }


def versus(case: Case, scenario: int, one: Best, own: Best) -> dict[str, Any]:
    """Both models on the test targets of a scenario."""
    ours, theirs = ndcg_by_user(case, one, scenario), ndcg_by_user(case, own, scenario)
    return compared(ours, theirs, case.seed)


def compared(ours: np.ndarray, theirs: np.ndarray, seed: int) -> dict[str, Any]:
    """Means with intervals, and the paired difference."""
    return {
        "one": vars(bootstrap_mean(ours)),
        "own": vars(bootstrap_mean(theirs)),
        "paired": vars(paired_bootstrap(ours, theirs, seed)),
    }


def made_new(case: Case, name: str, experts: str | None) -> dict[str, Any]:
    """The same comparison where the scenario has a hundredth of its training events."""
    events, place = case.encoded.events, case.encoded.scenarios.index(name)
    gone = (events.scenario == place) & (case.split.part == Part.TRAIN)
    kept = seeded_hash(np.arange(len(events)), case.seed + 7) % 10_000 < 10_000 * KEPT_OF_NEW
    fewer = only(case, ~gone | kept)
    settings = {} if experts is None else {"model": {"experts": experts}}
    one = best(fewer, f"all, {name} new", settings)
    own = best(alone(fewer, place), f"{name} new")
    return versus(fewer, place, one, own) | {"events": int((gone & kept).sum())}


def never_met(case: Case, place: int, settings: dict[str, Any], own: Best) -> dict[str, Any]:
    """A checkpoint that learned from no event of a scenario, against the scenario's own model."""
    name = case.encoded.scenarios[place]
    told_E = case.encoded.events.scenario == place
    rest = only(case, ~told_E | (case.split.part == Part.TEST))
    without = best(replace(rest, trials=1), f"all but {name}", settings)
    n_offered = int(offered(without.trained, name).sum())
    # expected of one item that stands at any of the places alike
    gain = float((1 / np.log2(np.arange(2, 2 + min(K, n_offered)))).sum()) / max(n_offered, 1)
    ours, theirs = ndcg_by_user(rest, without, place), ndcg_by_user(case, own, place)
    return compared(ours, theirs, case.seed) | {"random order": gain}


def only(case: Case, keep_E: np.ndarray) -> Case:
    """The case with some of its events."""
    events = case.encoded.events.select(keep_E)
    encoded = replace(case.encoded, events=events, log_row=case.encoded.log_row[keep_E])
    split = Split(case.split.name, events, case.split.part[keep_E], case.split.cuts)
    return replace(case, encoded=encoded, split=split)


def alone(case: Case, scenario: int) -> Case:
    """One scenario's events, as a log that knows of no other."""
    few = only(case, case.encoded.events.scenario == scenario)
    events = replace(few.encoded.events, scenario=np.zeros_like(few.encoded.events.scenario))
    name = case.encoded.scenarios[scenario]
    schema = few.encoded.schema.model_copy(
        update={"scenarios": [s for s in few.encoded.schema.scenarios if s.name == name]}
    )
    encoded = replace(few.encoded, events=events, scenarios=[name], schema=schema)
    return replace(few, encoded=encoded, split=replace(few.split, events=events))


def best(case: Case, name: str, settings: dict[str, Any] | None = None) -> Best:
    """The trial with the best towers on the validation targets of its own log."""
    found: list[Best] = []
    for trial in TRIALS[: case.trials]:
        base = {"seed": case.seed, "loop": {"epochs": case.epochs}}
        tried = merged(merged(base, trial), settings or {})
        fitted = train(case.encoded, case.split, TrainConfig.model_validate(tried))
        found.append(Best(fitted.trained, fitted.outcome.best_score, tried))
        case.say(f"{name}: {len(case.split.train):,} events, validation {found[-1].score:.4f}")
    return max(found, key=lambda one: one.score)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Settings of both; those of the second win."""
    both = dict(one)
    for name, value in other.items():
        known = both.get(name)
        both[name] = merged(known, value) if isinstance(known, dict) else value
    return both


def ndcg_by_user(case: Case, one: Best, scenario: int) -> np.ndarray:
    """[U] NDCG@10 of each user's test targets in the scenario, as the model knows the person."""
    everything = len(one.trained.model.shape.scenarios) > 1
    seen_E = everything | (case.split.events.scenario == scenario)
    if not case.encoded.timed:  # nobody knows what came first: no other test event is told
        seen_E &= (case.split.part != Part.TEST) | (case.split.events.scenario == scenario)
    events, part = case.split.events.select(seen_E), case.split.part[seen_E]
    rows = np.flatnonzero((part == Part.TEST) & (events.scenario == scenario))
    if not everything:
        events = replace(events, scenario=np.zeros_like(events.scenario))
    histories = events.before(rows)
    allowed_I = offered(one.trained, case.encoded.scenarios[scenario])
    mask = bool(one.trained.run.get("mask_history", True))
    lists = one.trained.scorer.rank(histories, K, mask_history=mask, allowed_I=allowed_I)
    users, user_N = np.unique(events.group()[rows], return_inverse=True)
    return user_means(ndcg(lists.items_BK, events.item[rows], K), user_N, len(users))


def dense_parameters(model: QuintetModel) -> int:
    """How many parameters are no embedding."""
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    embeddings = sum(table.numel() for table in [*tables, model.embedding_ID, model.bias_I])
    return sum(parameter.numel() for parameter in model.parameters()) - embeddings


def draw_plot(results: dict[str, Any], path: Path) -> None:
    """Relative gain of the one checkpoint in every scenario, with its interval."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = dict(results["scenarios"])
    rows |= {f"{name}, new": row for name, row in results.get("new", {}).items()}
    rows |= {f"{name}, left out": row for name, row in results["left out"].items()}
    figure = Figure(figsize=(6.4, 0.4 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, (_, row) in enumerate(rows.items()):
        pair = row["paired"]
        axes.plot([pair["relative_low"], pair["relative_high"]], [place, place], color="#2f6f8f")
        axes.plot(pair["relative"], place, "o", color="#2f6f8f")
    axes.axvline(0, color="#999999", lw=1)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlabel=f"NDCG@{K} of one checkpoint over a model of its own (share)")
    axes.invert_yaxis()
    FigureCanvasSVG(figure).print_svg(str(path))


def show(console: Console, results: dict[str, Any]) -> None:
    """A line a scenario."""
    table = Table(title=f"NDCG@{K}", title_justify="left")
    for heading in ("scenario", "one checkpoint", "own model", "gain", "95% interval", "users"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    rows: Sequence[tuple[str, Any]] = [
        *results["scenarios"].items(),
        *((f"{name}, new", row) for name, row in results.get("new", {}).items()),
        *((f"{name}, left out", row) for name, row in results["left out"].items()),
    ]
    for name, row in rows:
        pair = row["paired"]
        table.add_row(
            name,
            f"{row['one']['mean']:.4f}",
            f"{row['own']['mean']:.4f}",
            f"{pair['relative']:+.1%}",
            f"{pair['relative_low']:+.1%} to {pair['relative_high']:+.1%}",
            f"{pair['n']:,}",
        )
    console.print(table)
    share = results["parameters"]["one"] / results["parameters"]["own"]
    console.print(
        f"mean gain {results['mean_gain']:+.1%}; above zero in {results['better_in']} of "
        f"{len(results['scenarios'])}; {share:.0%} of the parameters that are no embedding"
    )


if __name__ == "__main__":
    main()
