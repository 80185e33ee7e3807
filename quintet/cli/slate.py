"""``quintet slate`` and ``quintet rules``: lists under a product owner's rules, and their price."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit, grid, say, show
from quintet.cli.options import Bundle, Device, K, OnDevice, Output, examples
from quintet.cli.recommend import note_unknown, own_ids, titles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quintet.data.interactions import Ints
    from quintet.serve.recommender import Recommender
    from quintet.serve.slate.account import DryRun, Metric
    from quintet.serve.slate.rules import RuleSet
    from quintet.serve.slate.slate import Request

SLATE_EXAMPLES = examples(
    "quintet slate bundle alice --rules rules.toml --k 6",
    "quintet slate bundle alice bob --scenario shop --format json",
)
RULES_EXAMPLES = examples(
    "quintet rules bundle rules.toml", "quintet rules bundle rules.toml --people 500 --k 20"
)

Scenario = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only items and rules of this scenario.")
]


def slate(
    bundle: Bundle,
    users: Annotated[list[str], typer.Argument(metavar="USER...", help="User ids.")],
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="Rules, as TOML.")
    ] = None,
    k: K = 10,
    scenario: Scenario = None,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """Compose slates: diversity, the owner's rules, and which rule moved which item."""
    from quintet.serve.recommender import Recommender
    from quintet.serve.slate.rules import RuleSet

    recommender = Recommender.load(bundle, device)
    asked = own_ids(recommender, users)
    note_unknown(recommender, asked)
    kept = RuleSet.read(rules) if rules is not None else None
    answers = recommender.slate(asked, k, rules=kept, scenario=scenario, account=True)
    rows: list[dict[str, Any]] = []
    for answer in answers:
        titles = titles_of(recommender, [item.item_id for item in answer.items])
        for item, title in zip(answer.items, titles, strict=True):
            line = {"user_id": answer.user_id, "rank": item.rank, "item_id": item.item_id}
            line |= {"title": title} if any(titles) else {}
            line |= {"score": item.score, "moved_by": _in_words(item.moved_by)}
            rows.append(line)
        for gone in answer.taken_out:
            say(f"{answer.user_id}: out: {gone['item_id']}, {_in_words(gone['moved_by'])}")
        for note in answer.notes:
            say(f"{answer.user_id}: {note}")
    emit(output, rows, data=[_plain(answer) for answer in answers])


def rules(
    bundle: Bundle,
    file: Annotated[Path, typer.Argument(metavar="RULES", help="Rules, as TOML.")],
    k: K = 10,
    scenario: Scenario = None,
    people: Annotated[
        int, typer.Option("--people", min=1, metavar="N", help="Users whose slates are tried.")
    ] = 200,
    device: OnDevice = Device.CPU,
    output: Output = Format.TABLE,
) -> None:
    """Try a rule file with nobody served: contradictions, idle rules, moves and the price of each.

    "lost" is the relevance that a slate loses by the rule, all others standing, and "ndcg" how the
    place of each user's newest event changes by it.
    """
    from quintet.errors import RuleConflictError
    from quintet.serve.recommender import Recommender
    from quintet.serve.slate.account import dry_run
    from quintet.serve.slate.rules import RuleSet

    recommender = Recommender.load(bundle, device)
    whole = RuleSet.read(file)
    kept = whole.at(scenario)
    requests, metric = tried(recommender, kept, k, people, scenario)
    found = dry_run(requests, metric)
    for rule in whole.rule:
        if rule.when:
            found.notes[f"{rule.name} was not tried: it holds in some requests only (when)"] = 0
    if found.contradictions:
        names = "\n".join(one.message for one in found.contradictions)
        raise RuleConflictError(f"{file}: no slate can keep these rules:\n{names}")
    rows = priced_rows(found)
    emit(output, rows, data={"rules": rows, "idle": found.idle, "notes": found.notes})
    if output is Format.TABLE:
        notes = [{"note": note, "slates": count} for note, count in found.notes.items()]
        notes += [{"note": f"{name} concerns no item", "slates": 0} for name in found.idle]
        show(*([grid("notes", notes)] if notes else []))


def tried(
    recommender: Recommender, kept: RuleSet, k: int, people: int, scenario: str | None = None
) -> tuple[Sequence[Request], Metric]:
    """Requests of some users just before their newest event, and NDCG of that event."""
    import numpy as np

    from quintet.data.interactions import seeded_hash
    from quintet.metrics import ndcg
    from quintet.serve.asking import asking, offered
    from quintet.serve.slate.settings import SlateConfig

    events = recommender.trained.events
    newest = events.offsets[1:][events.lengths > 0] - 1
    rows = newest[np.argsort(seeded_hash(newest, 0), kind="stable")][:people]
    wanted = events.item[rows]
    histories = asking(recommender.trained, events.before(rows), scenario)
    allowed_I = None if scenario is None else offered(recommender.trained, scenario)
    config = SlateConfig(diversity="none")
    requests = [
        recommender.slates.request(
            histories.users([row]),
            k,
            kept,
            config,
            allowed_I=allowed_I,
            exclude_seen=recommender.masks(None),
        )
        for row in range(len(rows))
    ]

    def metric(slates: Sequence[Ints]) -> float:
        lists = np.full((len(slates), k), -1, np.int64)
        for row, slate in enumerate(slates):
            lists[row, : len(slate)] = slate
        return float(ndcg(lists, wanted, k).mean())

    return requests, metric


def priced_rows(found: DryRun) -> list[dict[str, Any]]:
    """A row a rule: what it moved and what it costs."""
    rows = []
    for price in found.prices:
        moves = found.moves.get(price.rule, {"in": 0, "out": 0, "moved": 0})
        row: dict[str, Any] = {"rule": price.rule, **moves}
        row |= {"slates_changed": round(price.changed, 4), "lost": round(price.lost, 4)}
        if price.metric is not None and price.metric_without is not None:
            row["ndcg"] = round(price.metric, 4)
            row["ndcg_change"] = round(price.metric - price.metric_without, 4)
        rows.append(row)
    return rows


def _in_words(moves: list[dict[str, Any]]) -> str:
    def place(value: int | None) -> str:
        return "out" if value is None else str(value)

    return ", ".join(f"{m['rule']}: {place(m['before'])} to {place(m['after'])}" for m in moves)


def _plain(answer: Any) -> dict[str, Any]:
    return {
        "user_id": answer.user_id,
        "items": [vars(item) for item in answer.items],
        "taken_out": answer.taken_out,
        "notes": answer.notes,
        "support": answer.support,
    }
