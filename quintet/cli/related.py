"""``quintet session``, ``together`` and ``basket``: lists that start from items or a basket."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from quintet.cli.console import Format, emit, grid
from quintet.cli.options import Bundle, Device, K, OnDevice, Output, examples
from quintet.cli.recommend import note_unknown, own_ids, titles_of

SESSION_EXAMPLES = examples("quintet session bundle lamp chair --k 5")
TOGETHER_EXAMPLES = examples(
    "quintet together bundle lamp", "quintet together bundle lamp --by view"
)
BASKET_EXAMPLES = examples("quintet basket bundle alice")

By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="NAME", help="Behaviour that fills a basket; purchases when absent."
    ),
]
Hours = Annotated[float, typer.Option("--hours", metavar="N", help="The pause that ends a basket.")]


def session(
    bundle: Bundle,
    items: Annotated[
        list[str], typer.Argument(metavar="ITEM...", help="What the session met, oldest first.")
    ],
    k: K = 10,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """Recommend items to somebody without an id, from what the session met so far."""
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(bundle, device)
    known = recommender.trained.items.ids(recommender.item_rows(items))
    answers = recommender.related.session(known, k)
    rows = [
        {"item_id": one.item_id, "score": round(one.score, 6), "rank": one.rank} for one in answers
    ]
    emit(output, rows, table=grid("next in this session", _titled(recommender, rows)))


def together(
    bundle: Bundle,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    k: K = 10,
    by: By = None,
    hours: Hours = 24.0,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """List what is bought together with an item.

    "share" is that of the item's baskets, "lift" how many times as often as by chance.
    """
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(bundle, device)
    known = recommender.trained.items.ids(recommender.item_rows([item]))[0]
    rows = recommender.related.bought_together(known, k, behaviour=by, hours=hours)
    about = "".join(f" ({title})" for title in titles_of(recommender, [known]) if title)
    emit(output, rows, table=grid(f"together with {item}{about}", _titled(recommender, rows)))


def basket(
    bundle: Bundle,
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.")],
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, metavar="N", help="How many items; the user's usual number."),
    ] = None,
    by: By = None,
    hours: Hours = 24.0,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """List what a user's next basket holds, bought before ("times") or new."""
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(bundle, device)
    asked = own_ids(recommender, [user])
    note_unknown(recommender, asked)
    rows = recommender.related.next_basket(asked[0], k, behaviour=by, hours=hours)
    emit(output, rows, table=grid(f"next basket of {user}", _titled(recommender, rows)))


def _titled(recommender: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows for people: rank first, titles where there are any, scores in short."""
    titles = titles_of(recommender, [row["item_id"] for row in rows])
    shown = []
    for row, title in zip(rows, titles, strict=True):
        line = {"rank": row["rank"], "item": row["item_id"]}
        line |= {"title": title} if any(titles) else {}
        rest = {name: value for name, value in row.items() if name not in ("rank", "item_id")}
        shown.append(line | {n: round(v, 3) if n == "score" else v for n, v in rest.items()})
    return shown
