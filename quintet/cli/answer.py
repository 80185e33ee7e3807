"""``quintet predict``, ``profile`` and ``similar``: the other answers of a bundle."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from quintet.cli.console import Format, bar, emit, facts, grid, show
from quintet.cli.options import Bundle, Device, K, OnDevice, Output, examples
from quintet.cli.recommend import note_unknown, own_ids, titles_of

PREDICT_EXAMPLES = examples(
    "quintet predict bundle alice lamp chair",
    "quintet predict bundle alice lamp --format json",
)
PROFILE_EXAMPLES = examples("quintet profile bundle alice")
SIMILAR_EXAMPLES = examples("quintet similar bundle lamp --k 5")

User = Annotated[str, typer.Argument(metavar="USER", help="User id.")]
MOST_INTERESTS = 10


def predict(
    bundle: Bundle,
    user: User,
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="Item ids.")],
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """Predict what a user does with items, given that each is the next one met.

    Probabilities of behaviours and ratings are calibrated on held-out events.
    """
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(bundle, device)
    asked = own_ids(recommender, [user])
    known = recommender.trained.items.ids(recommender.item_rows(items))
    note_unknown(recommender, asked)
    rows = recommender.predict([(asked[0], item) for item in known]).to_pylist()
    titles = titles_of(recommender, known)
    shown = [
        {"item": row["item_id"], **({"title": title} if any(titles) else {}), **_answers(row)}
        for row, title in zip(rows, titles, strict=True)
    ]
    emit(output, rows, table=grid(f"{user}: if the item is the next one met", shown))


def _answers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("user_id", "item_id")}


def profile(
    bundle: Bundle, user: User, device: OnDevice = Device.CPU, output: Output = Format.TABLE
) -> None:
    """Show what the model makes of a user: interests, what comes next, habits."""
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(bundle, device)
    found = recommender.profile(own_ids(recommender, [user])[0])
    if output is Format.TABLE:
        _show_profile(found)
        return
    rows = [
        {"part": part, "name": one["name"], "value": one["weight"]}
        for part in ("interests", "strategy")
        for one in found.get(part, [])
    ]
    rows += [{"part": "behaviours", "name": n, "value": v} for n, v in found["behaviours"].items()]
    emit(output, rows, data=found)


def _show_profile(found: dict[str, Any]) -> None:
    habits = ", ".join(f"{count:,} {name}" for name, count in found["behaviours"].items() if count)
    history = f"{found['events']:,} events: {habits}" if habits else "no event yet"
    known = {"user": found["user_id"], "history": history}
    if "mean_value" in found:
        known["mean value"] = f"{found['mean_value']:g}"
    tables: list[Table] = [facts("", known)]
    titles = {"interests": "interests in the next events", "strategy": "what comes next"}
    for part, title in titles.items():
        rows = [
            {"name": one["name"], "share": one["weight"], "": bar(one["weight"])}
            for one in found.get(part, [])[:MOST_INTERESTS]
        ]
        tables += [grid(title, rows)] if rows else []
    show(*tables)


def similar(
    bundle: Bundle,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    k: K = 10,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """List the items nearest to one, by what they are and by how they are used.

    The column "shared" names the categories, rare words and near numbers that both have.
    """
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(bundle, device)
    rows = recommender.similar(item, k)
    titles = titles_of(recommender, [row["item_id"] for row in rows])
    shown = [
        {
            "rank": row["rank"],
            "item": row["item_id"],
            **({"title": title} if any(titles) else {}),
            "similarity": row["similarity"],
            "shared": tuple(f"{name}: {', '.join(own)}" for name, own in row["shared"].items()),
        }
        for row, title in zip(rows, titles, strict=True)
    ]
    about = "".join(f" ({title})" for title in titles_of(recommender, [item]) if title)
    emit(output, rows, table=grid(f"nearest to {item}{about}", shown))
