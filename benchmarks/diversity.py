"""``python -m benchmarks.diversity [DATA]``: what diversity costs in accuracy.

Every held-out event is ranked by a recommender, and its slate composed with max-sum, MMR and DPP at
a range of strengths. NDCG@10 stands against the diversity of the first ten by categories (Jaccard),
a distance that no diversifier uses: they see cosines of the categories, the rare ones weighing
more, and a little of the cosines of the model's content vectors.

The default is chosen on development models, each trained without the newest 1, 2, ... events of
every user: how it ranks the first of those, which nothing of it has seen, is compared. (On the
validation events of one model any other order looks worse than it is: the gates were fitted there.)
The most diverse setting that costs at most 2% of NDCG@10 there is then measured on the newest
event of every user, by models that lack only that and their validation event; intervals are paired
and over users. As a ceiling, max-sum by the measured distance itself is shown; it is no candidate.
Also times 200 candidates re-ranked to 20.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.demo.setting import SETTINGS
from benchmarks.pool import workers
from quintet.data.clean import clean
from quintet.data.encode import Encoded, encode
from quintet.data.sources.base import open_dataset
from quintet.data.split import Part, Split, leave_one_out
from quintet.metrics import bootstrap_mean, intra_list_diversity, ndcg, paired_bootstrap
from quintet.serve.recommender import Recommender
from quintet.serve.slate.candidates import Candidates
from quintet.serve.slate.diversify import dpp, max_sum, scaled
from quintet.serve.slate.facts import Facts
from quintet.serve.slate.settings import SlateConfig
from quintet.serve.slate.slate import Request, compose
from quintet.train.evaluate import user_means
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

K = 10
MOST_COST, LEAST_GAIN = 0.02, 0.15
STRENGTHS = {
    "max_sum": (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6),
    "mmr": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    "dpp": (0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2),
}
PLAIN = "plain"
CEILING = "ceiling"


@dataclass(frozen=True)
class Job:
    """One model and its curve.

    Attributes:
        data: the data set's name or file.
        seed: of training and of the order of simultaneous events.
        without: how many of the newest events of every user the log is cut short by.
        depth: candidates of each slate.
        attribute: categories that diversity is measured by; those with most values when absent.
    """

    data: str
    seed: int
    without: int
    depth: int
    attribute: str | None


@dataclass(frozen=True)
class Measured:
    """Figures of one setting: by user [U], NDCG and diversity (NaN where no pair is known)."""

    ndcg_U: np.ndarray
    diversity_U: np.ndarray

    def summary(self) -> dict[str, Any]:
        """Means with intervals."""
        known = self.diversity_U[~np.isnan(self.diversity_U)]
        return {
            f"ndcg@{K}": vars(bootstrap_mean(self.ndcg_U)),
            f"diversity@{K}": vars(bootstrap_mean(known)),
        }


Curve = dict[str, Measured]


def main() -> None:
    """Measure, choose, confirm, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.diversity")
    parser.add_argument("data", nargs="?", default="ml-100k")
    parser.add_argument("--attribute", help="categories that diversity is measured by")
    parser.add_argument("--depth", type=int, default=100, help="candidates of each slate")
    parser.add_argument("--development", type=int, default=4, help="models to choose on")
    parser.add_argument("--seeds", type=int, default=3, help="models to confirm with")
    parser.add_argument("--jobs", type=int, default=2, help="models at once, one core each")
    parser.add_argument("--out", type=Path, default=Path("reports/diversity"))
    asked = parser.parse_args()
    console, started = Console(width=110), time.perf_counter()
    cut = [
        Job(asked.data, 0, n + 1, asked.depth, asked.attribute) for n in range(asked.development)
    ]
    whole = [Job(asked.data, seed, 0, asked.depth, asked.attribute) for seed in range(asked.seeds)]
    with workers(asked.jobs) as pool:
        found = list(pool.map(measured, [*cut, *whole]))
    curves = [curve for curve, _ in found]
    development, test = pooled(curves[: len(cut)]), averaged(curves[len(cut) :])
    chosen = choose(development)
    seconds = {"everything": time.perf_counter() - started, **found[-1][1]}
    results = report(development, test, chosen, seconds, asked)
    write_results(asked.out / "results.json", results)
    draw_plot(development, test, chosen, asked.out / "diversity.svg")
    show(console, development, test, chosen, results)


# ---------------------------------------------------------------- one model


def measured(job: Job) -> tuple[Curve, dict[str, float]]:
    """The curve of a job's model on what it has not seen, and how long diversifying takes."""
    encoded = shortened(encode(clean(open_dataset(job.data))[0], tie_seed=job.seed), job.without)
    split = leave_one_out(encoded.events)
    config = TrainConfig.model_validate({**SETTINGS, "seed": job.seed})
    recommender = Recommender(train(encoded, split, config).trained)
    content_IC = categories(recommender, job.attribute)
    return curve(recommender, split, content_IC, job.depth), time_both(recommender)


def shortened(encoded: Encoded, without: int) -> Encoded:
    """The log without the newest events of every user."""
    events = encoded.events
    to_come_E = np.repeat(events.lengths, events.lengths) - events.positions()
    return replace(encoded, events=events.select(to_come_E > without))


def categories(recommender: Recommender, attribute: str | None) -> np.ndarray:
    """[I, C] multi-hot categories: of the attribute, or of the one with most values."""
    columns = recommender.trained.item_features.categories
    if attribute is not None:
        return columns[attribute].counts()
    return max(columns.values(), key=lambda column: len(column.codes)).counts()


def settings() -> dict[str, SlateConfig]:
    """By name, what is measured."""
    every = {PLAIN: SlateConfig(diversity="none")}
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            config = {"diversity": kind, "strength": strength}
            every[f"{kind} {strength:g}"] = SlateConfig.model_validate(config)
    return every


def curve(recommender: Recommender, split: Split, content_IC: np.ndarray, depth: int) -> Curve:
    """Each setting's figures on the test targets."""
    targets = np.flatnonzero(split.part == Part.TEST)
    ranked = recommender.rank(split.events.before(targets), depth)
    configs = settings()
    above = {f"{CEILING} {s:g}": configs[f"max_sum {s:g}"] for s in STRENGTHS["max_sum"]}
    lists = {name: np.full((len(targets), K), -1, np.int64) for name in [*configs, *above]}
    for row, request in enumerate(requests(recommender, ranked)):
        for name, config in configs.items():
            slate = compose(replace(request, config=config))
            lists[name][row, : len(slate.item_K)] = slate.item_K
        ceiling = replace(request, similarity_CC=jaccard(content_IC[request.pool.item_C]))
        for name, config in above.items():
            slate = compose(replace(ceiling, config=config))
            lists[name][row, : len(slate.item_K)] = slate.item_K
    users, user_N = np.unique(split.events.group()[targets], return_inverse=True)
    wanted_N = split.events.item[targets]
    return {
        name: Measured(
            user_means(ndcg(lists_NK, wanted_N, K), user_N, len(users)),
            user_means(
                intra_list_diversity(lists_NK, content_IC, K, similarity="jaccard"),
                user_N,
                len(users),
            ),
        )
        for name, lists_NK in lists.items()
    }


def requests(recommender: Recommender, ranked: Any) -> Iterable[Request]:
    """A request for each ranked list; rules and policy are left out: what is measured is order."""
    facts = Facts(recommender.trained.items, recommender.trained.item_table)
    for items, scores in zip(ranked.items_BK, ranked.scores_BK, strict=True):
        there = items >= 0
        pool = Candidates.ranked(items[there], scores[there])
        similarity_CC = recommender.slates.similarity(pool.item_C)
        yield Request(pool, K, facts, similarity_CC=similarity_CC)


def jaccard(flags_CG: np.ndarray) -> np.ndarray:
    """[C, C] shared categories over all categories of each pair."""
    shared_CC = flags_CG @ flags_CG.T
    size_C = flags_CG.sum(1)
    return shared_CC / np.maximum(size_C[:, None] + size_C[None] - shared_CC, 1)


def time_both(recommender: Recommender, rounds: int = 200) -> dict[str, float]:
    """Median seconds to compare 200 candidates, and then to re-rank them to 20 either way."""
    n = min(200, len(recommender.trained.items))
    rows = np.random.default_rng(0).permutation(len(recommender.trained.items))[:n]
    relevance_C = scaled(np.random.default_rng(1).normal(size=n))
    took: dict[str, list[float]] = {
        "comparing 200": [],
        "dpp 200 to 20": [],
        "max_sum 200 to 20": [],
    }
    for _ in range(rounds):
        times = [time.perf_counter()]
        similarity_CC = recommender.slates.similarity(rows)
        times.append(time.perf_counter())
        dpp(relevance_C, similarity_CC, 20, 0.5)
        times.append(time.perf_counter())
        max_sum(relevance_C, similarity_CC, 20, 0.5)
        times.append(time.perf_counter())
        for one, seconds in zip(took.values(), np.diff(times), strict=True):
            one.append(float(seconds))
    return {name: float(np.median(one)) for name, one in took.items()}


# ---------------------------------------------------------------- several models


def pooled(curves: Sequence[Curve]) -> Curve:
    """Users of all models one after the other: each was asked for another event."""
    return _joined(curves, np.concatenate)


def averaged(curves: Sequence[Curve]) -> Curve:
    """Each user's mean over trainings that were asked for the same event."""
    return _joined(curves, lambda values: np.mean(values, axis=0))


def _joined(curves: Sequence[Curve], how: Any) -> Curve:
    return {
        name: Measured(
            how([one[name].ndcg_U for one in curves]),
            how([one[name].diversity_U for one in curves]),
        )
        for name in curves[0]
    }


def choose(development: Curve) -> str:
    """The most diverse setting that costs at most 2% of NDCG@10 on the development models."""
    least = (1 - MOST_COST) * development[PLAIN].ndcg_U.mean()
    own = {name: one for name, one in development.items() if not name.startswith(CEILING)}
    fair = [name for name, one in own.items() if one.ndcg_U.mean() >= least]
    return max(fair, key=lambda name: np.nanmean(development[name].diversity_U))


def compared(measured: Curve, name: str) -> dict[str, dict[str, Any]]:
    """Paired differences of a setting to the plain order."""
    own, plain = measured[name], measured[PLAIN]
    known = ~np.isnan(own.diversity_U) & ~np.isnan(plain.diversity_U)
    return {
        f"ndcg@{K}": vars(paired_bootstrap(own.ndcg_U, plain.ndcg_U)),
        f"diversity@{K}": vars(paired_bootstrap(own.diversity_U[known], plain.diversity_U[known])),
    }


def report(
    development: Curve,
    test: Curve,
    chosen: str,
    seconds: dict[str, float],
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """What is written."""
    on_test = compared(test, chosen)
    command = ["python -m benchmarks.diversity", *sys.argv[1:]]
    return {
        "dataset": asked.data,
        "protocol": f"leave-one-out, slates of {K} from {asked.depth} candidates, history masked; "
        f"chosen on {asked.development} models that lack the newest events, confirmed on the "
        "newest event of every user",
        "seeds": list(range(asked.seeds)),
        "models": {name: one.summary() for name, one in test.items()},
        "development": {name: one.summary() for name, one in development.items()},
        "chosen": chosen,
        "chosen_on_development": compared(development, chosen),
        "chosen_on_test": on_test,
        "met_on_test": bool(
            on_test[f"ndcg@{K}"]["relative"] >= -MOST_COST
            and on_test[f"diversity@{K}"]["relative"] >= LEAST_GAIN
        ),
        "seconds": seconds,
        "command": " ".join(command),
        "versions": environment()["versions"],
    }


def draw_plot(development: Curve, test: Curve, chosen: str, path: Path) -> None:
    """Both curves side by side."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, (title, measured) in zip(
        figure.subplots(1, 2), (("development", development), ("test", test)), strict=True
    ):
        for kind, marker in zip((*STRENGTHS, CEILING), "^osx", strict=True):
            points = [one for name, one in measured.items() if name.startswith(kind)]
            axes.plot(*_points([measured[PLAIN], *points]), marker=marker, label=kind, ms=4)
        axes.plot(*_points([measured[PLAIN]]), "k*", label=PLAIN, ms=11)
        axes.plot(*_points([measured[chosen]]), "o", mfc="none", mec="k", ms=12, label=chosen)
        axes.set(title=title, xlabel=f"diversity@{K} by categories", ylabel=f"NDCG@{K}")
        axes.legend(frameon=False, fontsize=8)
    FigureCanvasSVG(figure).print_svg(str(path))


def _points(measured: list[Measured]) -> tuple[list[float], list[float]]:
    return (
        [float(np.nanmean(one.diversity_U)) for one in measured],
        [float(one.ndcg_U.mean()) for one in measured],
    )


def show(
    console: Console, development: Curve, test: Curve, chosen: str, results: dict[str, Any]
) -> None:
    """A line a setting."""
    table = Table(title=f"NDCG@{K} against diversity@{K}", title_justify="left")
    for heading in ("setting", "development NDCG", "diversity", "test NDCG", "diversity"):
        table.add_column(heading, justify="left" if heading == "setting" else "right")
    for name, one in development.items():
        figures = [f"{value:.4f}" for value in (*_flat(one), *_flat(test[name]))]
        table.add_row(f"{name} <" if name == chosen else name, *figures)
    console.print(table)
    for part in ("development", "test"):
        for metric, pair in results[f"chosen_on_{part}"].items():
            console.print(
                f"{chosen} on {part}: {metric} {pair['relative']:+.1%} "
                f"({pair['relative_low']:+.1%} to {pair['relative_high']:+.1%})"
            )
    for name, seconds in results["seconds"].items():
        if name != "everything":
            console.print(f"{name}: {1000 * seconds:.2f} ms")


def _flat(one: Measured) -> tuple[float, float]:
    return float(one.ndcg_U.mean()), float(np.nanmean(one.diversity_U))


if __name__ == "__main__":
    main()
