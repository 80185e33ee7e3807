"""``quintet recommend``: the best items for some users, or for all of them into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, Rows, emit, grid, say, warn
from quintet.cli.options import Bundle, Device, K, OnDevice, Output, examples

if TYPE_CHECKING:
    from quintet.serve.recommender import Recommendation, Recommender

EXAMPLES = examples(
    "quintet recommend bundle alice bob --k 5 --reasons",
    "quintet recommend bundle alice --slate --scenario shop --format json",
    'quintet recommend bundle alice --scenario search --query "coffee beans"',
    "quintet recommend bundle alice --context page_item=i17 --context device=phone",
    "quintet recommend bundle --all --k 20 --out lists.parquet",
)


def recommend(
    bundle: Bundle,
    users: Annotated[
        list[str] | None,
        typer.Argument(metavar="[USER]...", help="User ids; new ones are welcome."),
    ] = None,
    users_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="User ids from a text file, one a line.")
    ] = None,
    everyone: Annotated[
        bool,
        typer.Option("--all", metavar="", help="All users that the bundle knows; needs --out."),
    ] = False,
    k: K = 10,
    scenario: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only items seen in this scenario.")
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Words searched for: items that share one with it."),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="time (microseconds since 1970), device or page_item; may be repeated.",
        ),
    ] = None,
    slate: Annotated[
        bool,
        typer.Option(
            "--slate", metavar="", help="Mix the list by the strategy predicted for the user."
        ),
    ] = False,
    reasons: Annotated[
        bool, typer.Option("--reasons", metavar="", help="Say why, for every item.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Parquet there instead of printing.")
    ] = None,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """Recommend items to users.

    Who has no history gets what their attributes tell, else what is popular; the column "basis"
    says so.
    """
    from quintet.cli.export import write_lists
    from quintet.serve.recommender import Recommender

    if sum([bool(users), users_file is not None, everyone]) != 1:
        raise typer.BadParameter("give USER ids, --users-file or --all: one of the three")
    if out is None and everyone:
        raise typer.BadParameter("--all writes a file: give --out FILE.parquet")
    if out is not None and out.suffix.lower() != ".parquet":
        raise typer.BadParameter(f"{out}: the file must end in .parquet", param_hint="--out")
    recommender = Recommender.load(bundle, device)
    told = told_context(recommender, query, context or [])
    options: dict[str, Any] = {"scenario": scenario, "slate": slate, "reasons": reasons, **told}
    asked = None if everyone else own_ids(recommender, users or read_ids(users_file))
    if asked is not None:
        note_unknown(recommender, asked)
    if out is not None:
        count = write_lists(recommender, asked, out, k, **options)
        say(f"written: {out}, {count:,} rows")
        return
    answers = recommender.recommend(asked or [], k, **options)
    if query and not answers:
        warn("no item shares a word with the query")
    rows = [as_row(one, reasons) for one in answers]
    emit(output, rows, table=grid("", _for_people(recommender, answers, rows)))


def told_context(recommender: Recommender, query: str | None, context: list[str]) -> dict[str, Any]:
    """Query and context as the recommender takes them; a warning where the model has no use for it.

    Raises:
        ConfigError: a part is not ``key=value``, or a time is no whole number.
    """
    from quintet.errors import ConfigError

    told: dict[str, Any] = {}
    for part in context:
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--context {part!r}: write it as key=value, such as device=phone")
        told[name.strip()] = value
    if "page_item" in told:
        told["page_item"] = own_ids(recommender, [told["page_item"]], of="items")[0]
    turn = recommender.trained.model.turn
    read = [] if turn is None else turn.request.fields
    for name in [*(["query"] if query else []), *(set(told) - {"page_item"})]:
        filters = name == "query" and recommender.trained.text_index is not None
        if name in ("query", "device", "time") and name not in read and not filters:
            warn(f"{name} changes nothing: this model does not read it")
    return {"query": query, "context": told or None}


def read_ids(path: Path | None) -> list[str]:
    """The ids of a text file, one a line; empty lines are left out.

    Raises:
        DataError: the file is missing or is not text.
        EmptyDataError: it holds no id.
    """
    from quintet.errors import DataError, EmptyDataError

    try:
        lines = (path or Path()).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise DataError(f"{path}: not a text file with one id a line") from None
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise EmptyDataError(f"{path}: holds no user id")
    return ids


def own_ids(recommender: Recommender, typed: list[str], of: str = "users") -> list[Any]:
    """What was typed, as the bundle's own ids of users or items where it knows them."""
    vocabulary = getattr(recommender.trained, of)
    rows = vocabulary.rows(typed)
    known = iter(vocabulary.ids(rows[rows >= 0]))
    return [next(known) if row >= 0 else text for row, text in zip(rows, typed, strict=True)]


def note_unknown(recommender: Recommender, users: list[Any]) -> None:
    """Name the users whom the bundle does not know."""
    rows = recommender.trained.users.rows(users)
    unknown = [str(user) for user, row in zip(users, rows, strict=True) if row < 0]
    if unknown:
        named = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5:,} more" * (len(unknown) > 5))
        warn(f"not known to the bundle: {named}; the answer is what is popular")


def as_row(one: Recommendation, with_reasons: bool) -> dict[str, Any]:
    """One recommended item as a row of the result."""
    row: dict[str, Any] = {
        "user_id": one.user_id,
        "item_id": one.item_id,
        "score": round(one.score, 6),
        "rank": one.rank,
        "basis": one.basis,
        "strategy": one.strategy,
    }
    return row | ({"reasons": [vars(reason) for reason in one.reasons]} if with_reasons else {})


def _for_people(recommender: Recommender, answers: list[Recommendation], rows: Rows) -> Rows:
    """The rows with titles and reasons in words, without columns that say nothing."""
    titles = titles_of(recommender, [one.item_id for one in answers])
    shown = []
    for one, row, title in zip(answers, rows, titles, strict=True):
        line = {"user": one.user_id, "rank": one.rank, "item": one.item_id}
        line |= {"title": title} if any(titles) else {}
        line |= {"score": row["score"], "basis": one.basis}
        line |= {"strategy": one.strategy} if any(a.strategy for a in answers) else {}
        if one.reasons:
            line["why"] = tuple(_in_words(reason) for reason in one.reasons)
        shown.append(line)
    return shown


def _in_words(reason: Any) -> str:
    because = ", ".join(str(one) for one in reason.because)
    return f"{reason.text} ({because})" if because else str(reason.text)


def titles_of(recommender: Recommender, items: list[Any]) -> list[str]:
    """The title or name of each item, empty where the catalogue has none."""
    described = recommender.describe(items) if items else []
    return [str(one.get("title") or one.get("name") or "") for one in described]
