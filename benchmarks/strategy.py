"""``python -m benchmarks.strategy``: is the next strategy foreseen, and are slates better for it?

On the market, whose truth is known. *Foreseen*: balanced accuracy of the strategy of a look, told
from the history alone, against that of the Bayes-optimal decision, which knows every latent
quantity. Both decide by what most exceeds its usual share, and both are judged by the simulator's
own probabilities, so that no luck of single looks enters. *Better*: slates of ten by scores that
the predicted strategy lifts (``policy``) or whose places are given out by it (``places by
strategy``), against slates with one fixed mix for everybody. A slate is worth the expected worth of
the look that followed if it holds it (a look 1, a like 2, a cart 3, a buy 5). Fixed mixes are
compared at the policy's own relevance: between two of their strengths.

*Position bias*: the chance that a place is examined, fitted on logged slates, beside the truth.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.market_data import Simulated, at_most, by_user, simulate
from quintet.data.split import Part, Split
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.market import Market, MarketConfig, generate
from quintet.market.exposures import EXAMINATION
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.metrics.examination import fit_examination
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.slate.policy import candidate_strategies, lifted, places
from quintet.serve.trained import Trained
from quintet.train.evaluate import user_means
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

K, DEPTH = 10, 60
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
#: at which the policy is compared
CHOSEN = 0.4
GOAL = 0.6
WORTH = {"like": 2.0, "cart": 3.0, "buy": 5.0}
POLICY, BY_PLACES = "policy", "places by strategy"


def main() -> None:
    """Train, foresee, fill slates, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.strategy")
    parser.add_argument("--users", type=int, default=1200)
    parser.add_argument("--learn", type=int, default=500, help="users learned from")
    parser.add_argument("--validate", type=int, default=150)
    parser.add_argument("--looks", type=int, default=6000, help="looks foreseen, at most")
    parser.add_argument("--slates", type=int, default=6000, help="looks that get a slate")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/strategy"))
    arguments = parser.parse_args()
    started = time.perf_counter()
    market = MarketConfig(n_users=arguments.users, events_per_user=40, seed=arguments.seed)
    simulated = simulate(market, arguments.seed)
    split = by_user(simulated, arguments.learn, arguments.validate, 0, arguments.seed)
    config = {"loop": {"epochs": arguments.epochs}, "seed": arguments.seed}
    trained = train(simulated.encoded, split, TrainConfig.model_validate(config)).trained
    rows = np.flatnonzero(split.part == Part.TEST)
    everyone = np.zeros(len(rows), np.int64)
    rows = at_most(rows, everyone, arguments.looks, arguments.seed)
    some = at_most(rows, np.zeros(len(rows), np.int64), arguments.slates, arguments.seed)
    results = {
        "dataset": "market",
        "protocol": "users apart: learned from, validated on, asked; history alone, no request",
        "seeds": [arguments.seed],
        "foreseen": foreseen(trained, simulated, split, rows),
        "slates": compare(trained, simulated, split, some, arguments.seed),
        "places": position_bias(arguments.seed),
        "seconds": {"everything": time.perf_counter() - started},
        "command": f"python -m benchmarks.strategy {' '.join(sys.argv[1:])}".strip(),
        "versions": environment()["versions"],
    }
    write_results(arguments.out / "results.json", results)
    draw_plot(results, arguments.out / "strategy.svg")
    show(Console(width=110), results)


# ---------------------------------------------------------------------- foreseen


def foreseen(
    trained: Trained, simulated: Simulated, split: Split, rows: np.ndarray
) -> dict[str, Any]:
    """Balanced accuracy of the model and of the Bayes-optimal decision on the same looks."""
    true_NA = np.stack([simulated.truth(f"p_{name}", rows) for name in STRATEGIES], axis=1)
    told_NA = trained.scorer.strategy(unasked(split, rows))
    own, bayes = recalls(told_NA, true_NA), recalls(true_NA, true_NA)
    return {
        "looks": len(rows),
        "balanced_accuracy": float(own.mean()),
        "bayes": float(bayes.mean()),
        "chance": 1 / len(STRATEGIES),
        "share_of_bayes": float(own.mean() / bayes.mean()),
        "goal": GOAL,
        "recall": dict(zip(STRATEGIES, own.tolist(), strict=True)),
        "bayes_recall": dict(zip(STRATEGIES, bayes.tolist(), strict=True)),
    }


def unasked(split: Split, rows: np.ndarray) -> Moments:
    """Just before the rows, without what is known of their request."""
    return replace(Moments.before(split.events, rows), request=None)


def recalls(told_NA: np.ndarray, true_NA: np.ndarray) -> np.ndarray:
    """[A] expected recall of each strategy when the one that most exceeds its share is said."""
    says_N = (told_NA / np.maximum(told_NA.mean(0), 1e-12)).argmax(1)
    says_NA = np.eye(true_NA.shape[1])[says_N]
    return (true_NA * says_NA).sum(0) / np.maximum(true_NA.sum(0), 1e-12)


# ---------------------------------------------------------------------- slates


def fixed_mixes(usual_A: np.ndarray) -> dict[str, np.ndarray]:
    """Mixes that are the same for everybody."""
    one_each = {f"all {name}": np.eye(5)[index] for index, name in enumerate(STRATEGIES)}
    halves = {
        f"half deepen, half {name}": (np.eye(5)[0] + np.eye(5)[index]) / 2
        for index, name in enumerate(STRATEGIES)
        if index
    }
    return {"even": np.full(5, 0.2), "as usual": usual_A, **one_each, **halves}


def compare(
    trained: Trained, simulated: Simulated, split: Split, rows: np.ndarray, seed: int
) -> dict[str, Any]:
    """Worth and relevance of slates by policy and by fixed mix, at every strength."""
    told_NA = trained.scorer.strategy(unasked(split, rows))
    mixes = fixed_mixes(told_NA.mean(0))
    task = trained.model.task("strategy")
    assert isinstance(task, Strategy)
    look = trained.model.shape.behaviours[trained.model.shape.rules.look]
    lift_NA = np.stack([task.lifts(share_A, {look: 1.0, **WORTH}) for share_A in told_NA])
    named = {POLICY: lift_NA, BY_PLACES: told_NA} | {
        name: np.tile(mix_A, (len(rows), 1)) for name, mix_A in mixes.items()
    }
    worth_NSM, relevance_NSM = measured(trained, simulated, split, rows, list(named.values()))
    users, user_N = np.unique(split.events.group()[rows], return_inverse=True)
    worth, relevance = (
        np.stack([user_means(part[:, s, m], user_N, len(users))
                  for s in range(part.shape[1]) for m in range(part.shape[2])])
        .reshape(*part.shape[1:], len(users))
        for part in (worth_NSM, relevance_NSM)
    )  # fmt: skip
    chosen = STRENGTHS.index(CHOSEN)
    level = float(relevance[chosen, 0].mean())
    at_level = {
        name: between(worth[:, index], relevance[:, index].mean(1), level)
        for index, name in enumerate(named)
    }
    own, by_places = at_level.pop(POLICY), at_level.pop(BY_PLACES)
    best = max(at_level, key=lambda name: at_level[name].mean())
    return {
        "looks": len(rows),
        "users": len(users),
        "strength": CHOSEN,
        "relevance": level,
        "policy": vars(bootstrap_mean(own)),
        "places by strategy": vars(bootstrap_mean(by_places)),
        "best_fixed": best,
        "fixed": {name: vars(bootstrap_mean(value)) for name, value in at_level.items()},
        "paired": vars(paired_bootstrap(own, at_level[best], seed)),
        "curves": {
            name: [
                [float(relevance[s, m].mean()), float(worth[s, m].mean())]
                for s in range(len(STRENGTHS))
            ]
            for m, name in enumerate(named)
        },
    }


def between(worth_SU: np.ndarray, relevance_S: np.ndarray, level: float) -> np.ndarray:
    """[U] worth at a relevance, on the line between the two strengths around it."""
    falling = np.minimum.accumulate(relevance_S)
    after = int(np.clip(np.searchsorted(-falling, -level), 1, len(falling) - 1))
    high, low = falling[after - 1], falling[after]
    share = 0.0 if high == low else float(np.clip((high - level) / (high - low), 0, 1))
    mixed: np.ndarray = (1 - share) * worth_SU[after - 1] + share * worth_SU[after]
    return mixed


def measured(
    trained: Trained,
    simulated: Simulated,
    split: Split,
    rows: np.ndarray,
    shares: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """[N, S, M] worth and relevance of each look's slate by strength and mix; lifts come first."""
    histories = split.events.before(rows).asking(None)
    mask = bool(trained.run.get("mask_history", True))
    ranked = trained.scorer.rank(histories, DEPTH, mask_history=mask)
    look_N = 1.0 + sum(w * simulated.truth(f"p_{name}", rows) for name, w in WORTH.items())
    worth = np.zeros((len(rows), len(STRENGTHS), len(shares)))
    relevance = np.zeros_like(worth)
    for row in range(len(rows)):
        items, score_C = ranked.items_BK[row], ranked.scores_BK[row]
        there = items >= 0
        items, score_C = items[there], score_C[there]
        label_C = candidate_strategies(trained, histories.users([row]), items)
        scaled_C = (score_C - score_C.min()) / max(float(np.ptp(score_C)), 1e-9)
        hit_C = items == split.events.item[rows[row]]
        for s, strength in enumerate(STRENGTHS):
            for m, share_NA in enumerate(shares):
                if m:
                    chosen = filled(label_C, share_NA[row], strength)
                else:
                    lifted_C = score_C + strength * lifted(share_NA[row], label_C)
                    chosen = np.argsort(-lifted_C, kind="stable")[:K]
                worth[row, s, m] = look_N[row] * hit_C[chosen].any()
                relevance[row, s, m] = scaled_C[chosen].mean()
    return worth, relevance


def filled(label_C: np.ndarray, share_A: np.ndarray, strength: float) -> np.ndarray:
    """Ten candidates: a share of the places by strategy, the rest by score."""
    quota_A = places(share_A, round(strength * K))
    taken = np.zeros(len(label_C), bool)
    for strategy, room in enumerate(quota_A):
        taken[np.flatnonzero(label_C == strategy)[:room]] = True
    taken[np.flatnonzero(~taken)[: K - int(taken.sum())]] = True
    return np.flatnonzero(taken)


# ---------------------------------------------------------------------- position bias


def position_bias(seed: int) -> dict[str, Any]:
    """Chances of examination fitted on the feed's logged slates, beside the simulator's."""
    market = generate(
        MarketConfig(n_users=800, n_items=100, events_per_user=60, exposures=True, seed=seed)
    )
    item_N, place_N, clicked_N = impressions(market)
    found = fit_examination(item_N, place_N, clicked_N)
    plain = np.bincount(place_N, clicked_N) / np.bincount(place_N)
    return {
        "impressions": len(item_N),
        "true": EXAMINATION.tolist(),
        "fitted": found.examined_P.tolist(),
        "click_rate": (plain / plain[0]).tolist(),
        "largest_error": float(np.abs(found.examined_P - EXAMINATION).max()),
        "largest_error_of_rates": float(np.abs(plain / plain[0] - EXAMINATION).max()),
    }


def impressions(market: Market) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N] item rows, places, and whether each was looked at."""
    log = market.log.filter(market.log["request_id"].is_valid()).to_pydict()
    slots = list(zip(log["request_id"], log["position"], strict=True))
    looked = {slot for slot, name in zip(slots, log["behaviour"], strict=True) if name == "view"}
    shown = [row for row, name in enumerate(log["behaviour"]) if name == "impression"]
    names = {name: row for row, name in enumerate(market.items["item_id"].to_pylist())}
    return (
        np.array([names[log["item_id"][row]] for row in shown]),
        np.array([log["position"][row] for row in shown]),
        np.array([slots[row] in looked for row in shown]),
    )


# ---------------------------------------------------------------------- shown


def draw_plot(results: dict[str, Any], path: Path) -> None:
    """Worth against relevance, and examination by place."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, points in results["slates"]["curves"].items():
        style: dict[str, Any] = {"color": "#bbbbbb", "lw": 1}
        if name in (POLICY, results["slates"]["best_fixed"]):
            style = {"marker": "o", "ms": 4, "label": name}
        left.plot(*zip(*points, strict=True), **style)
    left.set(xlabel="relevance of the slate", ylabel="worth of the slate")
    left.legend(frameon=False)
    for name in ("true", "fitted", "click_rate"):
        right.plot(range(1, len(EXAMINATION) + 1), results["places"][name], "o-", ms=4, label=name)
    right.set(xlabel="place", ylabel="relative to the first")
    right.legend(frameon=False)
    FigureCanvasSVG(figure).print_svg(str(path))


def show(console: Console, results: dict[str, Any]) -> None:
    """What came of it."""
    seen, slates, bias = results["foreseen"], results["slates"], results["places"]
    table = Table(title="recall of the next strategy", title_justify="left")
    for heading in ("strategy", "model", "Bayes"):
        table.add_column(heading, justify="left" if heading == "strategy" else "right")
    for name in STRATEGIES:
        table.add_row(name, f"{seen['recall'][name]:.3f}", f"{seen['bayes_recall'][name]:.3f}")
    console.print(table)
    pair = slates["paired"]
    console.print(
        f"balanced accuracy {seen['balanced_accuracy']:.3f}, {seen['share_of_bayes']:.2f} of the "
        f"Bayes optimum's {seen['bayes']:.3f}\n"
        f"slates worth {slates['policy']['mean']:.4f} against {slates['best_fixed']!r} "
        f"{slates['fixed'][slates['best_fixed']]['mean']:.4f}: {pair['relative']:+.1%} "
        f"({pair['relative_low']:+.1%} to {pair['relative_high']:+.1%})\n"
        f"examination within {bias['largest_error']:.3f} of the truth; rates by place within "
        f"{bias['largest_error_of_rates']:.3f}"
    )


if __name__ == "__main__":
    main()
