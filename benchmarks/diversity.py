"""``python -m benchmarks.diversity BUNDLE [DATA]``: what diversity costs in accuracy.

Every held-out event is ranked by the bundle's recommender, and its slate composed with MMR and DPP
at a range of strengths. NDCG@10 stands against the diversity of the first ten by categories
(Jaccard), a distance that neither diversifier uses: they see the cosine of the model's item vectors
and that of the categories, the rare ones weighing more. The default is chosen on validation targets
alone: the most diverse setting that costs at most 2% of NDCG@10; its test figures come with paired
intervals over users. For a ceiling, MMR by the measured distance itself is shown too; it is no
candidate for the default. Also times 200 candidates re-ranked to 20.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from quintet.data.clean import clean
from quintet.data.encode import encode
from quintet.data.sources.base import open_dataset
from quintet.data.split import Part, Split, global_time, leave_one_out
from quintet.metrics import bootstrap_mean, intra_list_diversity, ndcg, paired_bootstrap
from quintet.serve.recommender import Recommender
from quintet.serve.slate.candidates import Candidates
from quintet.serve.slate.diversify import dpp, scaled
from quintet.serve.slate.facts import Facts
from quintet.serve.slate.slate import Request, SlateConfig, compose
from quintet.train.evaluate import user_means
from quintet.train.measure import check_same_data, environment
from quintet.train.results import write_results

K = 10
MOST_COST, LEAST_GAIN = 0.02, 0.15
STRENGTHS = (0.05, 0.1, 0.15, 0.2, 0.22, 0.25, 0.3, 0.4, 0.5)
PLAIN = "plain"
CEILING = "ceiling"


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


def main() -> None:
    """Measure, choose, confirm, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.diversity")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", nargs="?", default="ml-100k", help="what the bundle was trained on")
    parser.add_argument("--attribute", help="categories that diversity is measured by")
    parser.add_argument("--depth", type=int, default=100, help="candidates of each slate")
    parser.add_argument("--out", type=Path, default=Path("reports/diversity"))
    arguments = parser.parse_args()
    console, started = Console(width=110), time.perf_counter()
    recommender = Recommender.load(arguments.bundle)
    split = held_out(recommender, arguments.data)
    content_IC = categories(recommender, arguments.attribute)
    valid = curve(recommender, split, Part.VALID, content_IC, arguments.depth, settings())
    chosen = choose(valid)
    # the curve on test is shown, not chosen from
    test = curve(recommender, split, Part.TEST, content_IC, arguments.depth, settings())
    seconds = {"everything": time.perf_counter() - started} | time_dpp(recommender)
    results = report(recommender, valid, test, chosen, seconds, arguments)
    write_results(arguments.out / "results.json", results)
    draw_plot(valid, test, chosen, arguments.out / "diversity.svg")
    show(console, valid, test, chosen, results)


def held_out(recommender: Recommender, data: str) -> Split:
    """The split that the bundle was trained with, of the data that it was trained on."""
    run = recommender.trained.run
    encoded = encode(clean(open_dataset(data))[0], tie_seed=int(run.get("seed", 0)))
    check_same_data(recommender.trained, encoded)
    by_time = run.get("split") == "global_time"
    return global_time(encoded.events) if by_time else leave_one_out(encoded.events)


def categories(recommender: Recommender, attribute: str | None) -> np.ndarray:
    """[I, C] multi-hot categories: of the attribute, or of the one with most values."""
    columns = recommender.trained.item_features.categories
    if attribute is not None:
        return columns[attribute].counts()
    return max(columns.values(), key=lambda column: len(column.codes)).counts()


def settings() -> dict[str, SlateConfig]:
    """By name, what is measured."""
    every = {PLAIN: SlateConfig(diversity="none")}
    for kind in ("mmr", "dpp"):
        for strength in STRENGTHS:
            config = {"diversity": kind, "strength": strength}
            every[f"{kind} {strength:g}"] = SlateConfig.model_validate(config)
    return every


def curve(
    recommender: Recommender,
    split: Split,
    part: Part,
    content_IC: np.ndarray,
    depth: int,
    configs: dict[str, SlateConfig],
) -> dict[str, Measured]:
    """Each setting's figures on one part's targets."""
    targets = np.flatnonzero(split.part == part)
    histories = split.events.before(targets)
    ranked = recommender.rank(histories, depth)
    lists = {name: np.full((len(targets), K), -1, np.int64) for name in configs}
    for row, request in enumerate(requests(recommender, ranked)):
        for name, config in configs.items():
            slate = compose(replace(request, config=config))
            lists[name][row, : len(slate.item_K)] = slate.item_K
        ceiling = replace(request, similarity_CC=jaccard(content_IC[request.pool.item_C]))
        for strength in STRENGTHS:
            config = SlateConfig(diversity="mmr", strength=strength)
            items = compose(replace(ceiling, config=config)).item_K
            own = lists.setdefault(f"{CEILING} {strength:g}", np.full((len(targets), K), -1))
            own[row, : len(items)] = items
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


def choose(valid: dict[str, Measured]) -> str:
    """The most diverse setting that costs at most 2% of NDCG@10 on validation."""
    plain = valid[PLAIN]
    least = (1 - MOST_COST) * plain.ndcg_U.mean()
    own = {name: one for name, one in valid.items() if not name.startswith(CEILING)}
    fair = [name for name, one in own.items() if one.ndcg_U.mean() >= least]
    return max(fair, key=lambda name: np.nanmean(valid[name].diversity_U))


def compared(measured: dict[str, Measured], name: str) -> dict[str, dict[str, Any]]:
    """Paired differences of a setting to the plain order."""
    own, plain = measured[name], measured[PLAIN]
    known = ~np.isnan(own.diversity_U) & ~np.isnan(plain.diversity_U)
    return {
        f"ndcg@{K}": vars(paired_bootstrap(own.ndcg_U, plain.ndcg_U)),
        f"diversity@{K}": vars(paired_bootstrap(own.diversity_U[known], plain.diversity_U[known])),
    }


def time_dpp(recommender: Recommender, rounds: int = 200) -> dict[str, float]:
    """Median seconds to compare 200 candidates, and then to re-rank them to 20."""
    n = min(200, len(recommender.trained.items))
    rows = np.random.default_rng(0).permutation(len(recommender.trained.items))[:n]
    relevance_C = scaled(np.random.default_rng(1).normal(size=n))
    comparing, choosing = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        similarity_CC = recommender.slates.similarity(rows)
        compared = time.perf_counter()
        dpp(relevance_C, similarity_CC, 20, 0.5)
        comparing.append(compared - started)
        choosing.append(time.perf_counter() - compared)
    return {
        "comparing 200": float(np.median(comparing)),
        "dpp 200 to 20": float(np.median(choosing)),
    }


def report(
    recommender: Recommender,
    valid: dict[str, Measured],
    test: dict[str, Measured],
    chosen: str,
    seconds: dict[str, float],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """What is written."""
    on_valid, on_test = compared(valid, chosen), compared(test, chosen)
    return {
        "dataset": recommender.trained.run.get("dataset", arguments.data),
        "protocol": f"{recommender.trained.run.get('split')}, slates of {K} from "
        f"{arguments.depth} candidates, history masked; chosen on validation, confirmed on test",
        "seeds": [int(recommender.trained.run.get("seed", 0))],
        "models": {name: one.summary() for name, one in test.items()},
        "validation": {name: one.summary() for name, one in valid.items()},
        "chosen": chosen,
        "chosen_on_validation": on_valid,
        "chosen_on_test": on_test,
        "met_on_test": bool(
            on_test[f"ndcg@{K}"]["relative"] >= -MOST_COST
            and on_test[f"diversity@{K}"]["relative"] >= LEAST_GAIN
        ),
        "seconds": seconds,
        "command": f"python -m benchmarks.diversity BUNDLE {arguments.data}",
        "versions": environment()["versions"],
    }


def draw_plot(
    valid: dict[str, Measured], test: dict[str, Measured], chosen: str, path: Path
) -> None:
    """Both curves, validation and test side by side."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, (title, measured) in zip(
        figure.subplots(1, 2), (("validation", valid), ("test", test)), strict=True
    ):
        for kind, marker in (("mmr", "o"), ("dpp", "s"), (CEILING, "x")):
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
    console: Console,
    valid: dict[str, Measured],
    test: dict[str, Measured],
    chosen: str,
    results: dict[str, Any],
) -> None:
    """A line a setting."""
    table = Table(title=f"NDCG@{K} against diversity@{K}", title_justify="left")
    for heading in ("setting", "valid NDCG", "diversity", "test NDCG", "diversity"):
        table.add_column(heading, justify="left" if heading == "setting" else "right")
    for name, one in valid.items():
        figures = [f"{value:.4f}" for value in (*_flat(one), *_flat(test[name]))]
        table.add_row(f"{name} <" if name == chosen else name, *figures)
    console.print(table)
    for part in ("validation", "test"):
        for metric, pair in results[f"chosen_on_{part}"].items():
            console.print(
                f"{chosen} on {part}: {metric} {pair['relative']:+.1%} "
                f"({pair['relative_low']:+.1%} to {pair['relative_high']:+.1%})"
            )
    for name in ("comparing 200", "dpp 200 to 20"):
        console.print(f"{name}: {1000 * results['seconds'][name]:.2f} ms")


def _flat(one: Measured) -> tuple[float, float]:
    return float(one.ndcg_U.mean()), float(np.nanmean(one.diversity_U))


if __name__ == "__main__":
    main()
