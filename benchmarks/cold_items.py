"""``python -m benchmarks.cold_items``: are items that nobody met yet found by who wants them?

A tenth of the items is taken out of the log, the catalogue and every statistic; the model is
trained on the rest, then the items are added to it with their attributes alone, with no refit. For
the users whose newest event is on one of them: Recall@20 over the full catalogue, and among the new
items only, against neighbours on the same text vectors (the mean of the history's). For the users
whose newest event is on a known item: NDCG@10 with the new items in the race, against the same
training without any provision for new items. Leaves ``results.json`` and a plot in ``--out``.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks.accuracy.data import Asked, read
from benchmarks.pool import workers
from quintet.config import apply_overrides, build
from quintet.data.encode import Encoded
from quintet.data.interactions import Floats, Interactions, Ints, seeded_hash
from quintet.data.split import Part, Split, hold_out_items
from quintet.data.vocab import Vocabulary
from quintet.files import atomic_path
from quintet.metrics import bootstrap_mean, paired_bootstrap, rank_of_target
from quintet.serve.grown import grown, prepared
from quintet.serve.scorer import Scorer
from quintet.serve.trained import Trained
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

CONFIG = Path(__file__).parent / "config.toml"
#: the content tower beside counted memories, ranking alone: what new items can draw on
NETWORK = (
    "rehearsal.share=0.02",
    'model.towers=["content"]',
    'model.off=["item","interaction","profile","strategy"]',
)
PLAIN = "rehearsal.share=0"
K = 20
FULL, AMONG = f"recall@{K}", f"recall@{K} among new items"
WARM = "ndcg@10 of known items"
OURS = "quintet"


@dataclass(frozen=True)
class World:
    """A log without some items, and what happens with them.

    Attributes:
        encoded: data set of the known items.
        split: of its events.
        upserts: attributes of the new items by id, in the order of their rows once they are added.
        users: [N] users whose newest event is on a new item.
        wanted: [N] that item: its row among the new ones.
    """

    encoded: Encoded
    split: Split
    upserts: dict[Any, dict[str, Any]]
    users: Ints
    wanted: Ints


def without_items(encoded: Encoded, split: Split, share: float, draw: int) -> World:
    """Take a share of the items out; an item's events go, and so does its row of the catalogue."""
    events = encoded.events
    new_I = hold_out_items(events, share, draw).cold
    n_known = int((~new_I).sum())
    row_I = np.where(new_I, np.cumsum(new_I) - 1, np.cumsum(~new_I) - 1)
    known_E = ~new_I[events.item]
    kept = events.select(known_E)
    kept = replace(kept, item=row_I[kept.item], n_items=n_known)
    targets = np.flatnonzero((split.part == Part.TEST) & ~known_E)
    users = events.group()[targets]
    told = kept.lengths[users] > 0
    known = pa.array(~new_I)
    new_table = encoded.item_table.filter(pa.array(new_I)).to_pylist()
    return World(
        encoded=replace(
            encoded,
            events=kept,
            items=Vocabulary(encoded.items.values.filter(known)),
            item_table=encoded.item_table.filter(known),
            log_row=encoded.log_row[known_E],
        ),
        split=Split(split.name, kept, split.part[known_E]),
        upserts={row.pop("item_id"): row for row in new_table},
        users=users[told],
        wanted=row_I[events.item[targets]][told],
    )


def with_new_items(trained: Trained, world: World) -> Trained:
    """The model with the new items added by their attributes, nothing refitted."""
    made, new = grown(trained, prepared(trained), world.upserts)
    assert new == list(world.upserts)
    return made


# ---------------------------------------------------------------------- measuring


def recalls(scorer: Scorer, world: World) -> dict[str, dict[str, Floats]]:
    """By row of the table and by metric, [N] whether the wanted new item stands among the first."""
    n_known, n_items = world.encoded.events.n_items, len(scorer.tie_I)
    histories = replace(world.encoded.events, n_items=n_items).users(world.users)
    vectors = {name: unit(vector_IK) for name, vector_IK in text_vectors(scorer).items()}
    found: dict[str, dict[str, list[Floats]]] = {}
    for index, block in scorer.evidence.blocks(histories):
        scores = {OURS: scorer.fused(block)}
        for name, vector_IK in vectors.items():
            scores[f"neighbours on {name}"] = neighbours(block, vector_IK)
        target_B = n_known + world.wanted[index]
        for row, score_BI in scores.items():
            own = found.setdefault(row, {FULL: [], AMONG: []})
            score_BI[block.group(), block.item] = -np.inf
            own[FULL].append(hits(score_BI, target_B, scorer.tie_I))
            own[AMONG].append(
                hits(score_BI[:, n_known:], target_B - n_known, scorer.tie_I[n_known:])
            )
    return {
        row: {metric: np.concatenate(parts) for metric, parts in own.items()}
        for row, own in found.items()
    }


def hits(score_BI: Floats, target_B: Ints, tie_I: Ints) -> Floats:
    """[B] 1 where the target is among the first of its row."""
    found: Floats = (rank_of_target(score_BI, target_B, tie_key_I=tie_I) <= K).astype(np.float32)
    return found


def text_vectors(scorer: Scorer) -> dict[str, Floats]:
    """[I, K] the vectors of texts that the content tower reads, each and all of them together."""
    inputs = scorer.evidence.item_inputs or {}
    found = {
        name: unit(own["vector"][:, :-1].float().numpy())
        for name, own in inputs.items()
        if "vector" in own
    }
    if len(found) > 1:
        found["both"] = np.concatenate(list(found.values()), axis=1)
    return found


def unit(vector_NK: Floats) -> Floats:
    """Rows at length 1."""
    length_N1 = np.linalg.norm(vector_NK, axis=1, keepdims=True)
    scaled: Floats = (vector_NK / np.maximum(length_N1, 1e-9)).astype(np.float32)
    return scaled


def neighbours(histories: Interactions, vector_IK: Floats) -> Floats:
    """[B, I] cosine of every item with the mean of the history's vectors."""
    mean_BK = np.zeros((histories.n_users, vector_IK.shape[1]), np.float32)
    np.add.at(mean_BK, histories.group(), vector_IK[histories.item])
    cosine_BI: Floats = unit(mean_BK) @ vector_IK.T
    return cosine_BI


def known_items(scorer: Scorer, world: World, most: int | None) -> Floats:
    """[M] NDCG@10 of test targets that are known items, whatever else is in the catalogue."""
    split = world.split
    rows = np.flatnonzero(split.part == Part.TEST)
    if most is not None:
        rows = np.sort(rows[np.argsort(seeded_hash(rows, 0), kind="stable")[:most]])
    histories = replace(split.events, n_items=len(scorer.tie_I)).before(rows)
    value_M = np.zeros(len(rows), np.float32)
    for index, block in scorer.evidence.blocks(histories):
        score_BI = scorer.fused(block)
        score_BI[block.group(), block.item] = -np.inf
        target_B = split.events.item[rows[index]]
        rank_B = rank_of_target(score_BI, target_B, tie_key_I=scorer.tie_I)
        value_M[index] = np.where(rank_B <= 10, 1 / np.log2(rank_B + 1.0), 0.0)
    return value_M


def one_draw(
    asked: Asked, share: float, draw: int, config: TrainConfig, plain: TrainConfig, most: int | None
) -> dict[str, dict[str, Floats]]:
    """By row and metric, [N] figures of every user of one draw."""
    world = without_items(*read(asked), share, draw)
    trained = train(world.encoded, world.split, config).trained
    scorer = with_new_items(trained, world).scorer
    rows = recalls(scorer, world)
    rows[OURS][WARM] = known_items(scorer, world, most)
    without = train(world.encoded, world.split, plain).trained
    rows["without provisions"] = {WARM: known_items(without.scorer, world, most)}
    return rows


# ---------------------------------------------------------------------- the table


def main() -> None:
    """Train, add, measure and write."""
    arguments = parser().parse_args()
    console, started = Console(), time.perf_counter()
    settings = tomllib.loads(arguments.config.read_text(encoding="utf8"))
    settings = apply_overrides(settings, [*NETWORK, *arguments.set])
    config = build(TrainConfig, settings)
    plain = build(TrainConfig, apply_overrides(settings, [PLAIN]))
    asked = Asked(arguments.dataset, arguments.items, arguments.data, tuple(arguments.leave_out))
    numbers = range(arguments.first_draw, arguments.first_draw + arguments.draws)
    work = partial(
        one_draw, asked, arguments.share, config=config, plain=plain, most=arguments.users
    )
    draws = []
    with workers(arguments.jobs) as pool:
        for found in pool.map(work, numbers):
            draws.append(found)
            results = summary(draws, config, arguments, time.perf_counter() - started)
            write_results(arguments.out / "results.json", results)
            console.print(
                {
                    row: {m: round(float(v.mean()), 4) for m, v in own.items()}
                    for row, own in found.items()
                }
            )
    picture(results, arguments.out / "cold_items.svg")
    console.print(results["paired"])
    console.print(f"figures: {arguments.out / 'results.json'}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.cold_items",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", nargs="?", default="beauty", help="a name, or sequences")
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument("--data", type=Path, default=Asked.folder, help="folder of names")
    parser.add_argument("--leave-out", nargs="*", default=["asin"], help="columns not read")
    parser.add_argument("--share", type=float, default=0.1, help="of the items taken out")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="draws side by side, a core each")
    parser.add_argument("--users", type=int, help="users with known targets; all when absent")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", action="append", default=[], help="setting=value, as in train")
    parser.add_argument("--out", type=Path, default=Path("reports/cold_items"))
    return parser


def summary(
    draws: Sequence[dict[str, dict[str, Floats]]],
    config: TrainConfig,
    arguments: Any,
    seconds: float,
) -> dict[str, Any]:
    """Figures over the users of all draws."""
    pooled = {
        row: {metric: np.concatenate([one[row][metric] for one in draws]) for metric in own}
        for row, own in draws[0].items()
    }
    ours = pooled[OURS]
    return {
        "dataset": arguments.dataset,
        "protocol": {
            "new items": f"{arguments.share:.0%}, out of log, catalogue and statistics; then added",
            "targets": "the newest event of every user",
            "catalogue": "full, and among the new items alone",
            "history": "masked",
            "users with known targets": arguments.users or "all",
            "settings": config.model_dump(mode="json"),
        },
        "seeds": list(range(arguments.first_draw, arguments.first_draw + len(draws))),
        "models": {
            row: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            for row, own in pooled.items()
        },
        "paired": {
            row: {
                metric: vars(paired_bootstrap(ours[metric], values))
                for metric, values in own.items()
            }
            for row, own in pooled.items()
            if row != OURS
        },
        "slices": {
            f"draw {number}": {
                row: {metric: float(values.mean()) for metric, values in own.items()}
                for row, own in one.items()
            }
            for number, one in enumerate(draws, arguments.first_draw)
        },
        "seconds": {"everything": seconds},
        **environment(),
        "command": "python -m benchmarks.cold_items " + " ".join(sys.argv[1:]),
    }


def picture(results: dict[str, Any], path: Path) -> Path:
    """Write an SVG with both recalls of every row; returns the path."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = [row for row, own in results["models"].items() if FULL in own]
    figure = Figure(figsize=(7, 3), layout="constrained")
    FigureCanvasSVG(figure)
    for place, metric in enumerate((FULL, AMONG), 1):
        axes = figure.add_subplot(1, 2, place)
        own = [results["models"][row][metric] for row in rows]
        middle = [bounds["mean"] for bounds in own]
        spans = [[b["mean"] - b["low"] for b in own], [b["high"] - b["mean"] for b in own]]
        axes.errorbar(middle, range(len(rows)), xerr=spans, fmt="o", color="#1f6feb")
        axes.set_yticks(range(len(rows)), rows if place == 1 else [""] * len(rows))
        axes.set_title(metric, loc="left", fontsize=9)
        axes.set_xlim(left=0)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path


if __name__ == "__main__":
    main()
