"""What the demo prints, and the files that it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.demo import setting
from benchmarks.demo.ranking import Ranking
from quintet.data.audit import AuditReport, audit
from quintet.data.split import leave_one_out
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.serve.recommender import Recommender
from quintet.train.measure import environment
from quintet.train.pipeline import training_tables
from quintet.train.report import write_report
from quintet.train.results import write_results

SHOWN = ("ndcg@10", "hr@10")
PROTOCOL = (
    "Leave-one-out (strict: trained on train only), full catalogue, history masked; simultaneous "
    f"events ordered by a seeded hash, mean of {len(setting.TIE_SEEDS)} tie seeds; 95% paired "
    f"bootstrap over users; every baseline tuned on validation with {setting.TRIALS} trials"
)


def show_data(console: Console) -> AuditReport:
    """What the data are, and what the audit says of them before anything is trained."""
    dataset, cleaning = setting.cleaned()
    encoded = setting.encoded(setting.TIE_SEEDS[0])
    split = leave_one_out(encoded.events)
    tables, _, _ = training_tables(encoded, split)
    console.rule("[bold]The data: MovieLens-100K")
    console.print(dataset.report)
    console.print(cleaning)
    report = audit(
        encoded.events,
        split,
        items=tables.items,
        users=tables.users,
        item_names=encoded.items.ids(np.arange(len(encoded.items))),
        behaviours=encoded.behaviours,
    )
    console.print(report)
    return report


def show_and_write(
    console: Console,
    out: Path,
    answers: Mapping[str, Any],
    seconds: Mapping[str, float],
    report: AuditReport,
    memory_mb: float,
    command: str,
) -> None:
    """Tables for the terminal; results.json and report.html for later."""
    quintet = [answers[f"quintet {seed}"] for seed in setting.TIE_SEEDS]
    baselines = {
        name.removeprefix("baseline "): answer
        for name, answer in answers.items()
        if name.startswith("baseline ")
    }
    per_user = {"quintet": averaged(quintet)}
    beyond = {"quintet": mean_of([one.beyond for one in quintet])}
    for name, (_, by_seed, _) in baselines.items():
        per_user[name] = averaged(list(by_seed.values()))
        beyond[name] = mean_of([one.beyond for one in by_seed.values()])
    models = {name: figures(per_user[name]) | beyond[name] for name in per_user}
    paired = {
        name: {
            metric: vars(paired_bootstrap(per_user["quintet"][metric], values[metric]))
            for metric in SHOWN
        }
        for name, values in per_user.items()
        if name != "quintet"
    }
    over_time, tasks, reliability = answers["over time"]
    cold = [answers[name] for name in sorted(answers) if name.startswith("cold items")]
    tasks = {**tasks, "item": mean_of(cold) if len(cold) > 1 else cold[0]}
    console.rule("[bold]Ranking")
    console.print(ranking_table(models, paired))
    console.print(time_table(over_time, baselines))
    console.rule("[bold]The other four tasks")
    for task, own in tasks.items():
        console.print(task_table(task, own))
    examples = show_people(console, Recommender.load(out / "bundle"))
    results = {
        "dataset": "ml-100k",
        "protocol": PROTOCOL,
        "seeds": list(setting.TIE_SEEDS),
        "models": models,
        "paired": paired,
        "tasks": tasks,
        "global_time": time_rows(over_time, baselines),
        "tuned": {name: answer[0] for name, answer in baselines.items()},
        "slices": slice_rows(quintet, baselines),
        "reliability": reliability,
        "curves": {
            f"{name}, tie seed {seed}": points
            for seed, one in zip(setting.TIE_SEEDS, quintet, strict=True)
            for name, points in one.facts["curves"].items()
        },
        "audit": report.to_dict(),
        "examples": examples,
        "seconds": dict(seconds),
        "peak_memory_mb": memory_mb,
        "command": command,
        "versions": environment()["versions"],
        "settings": setting.SETTINGS,
    }
    write_results(out / "results.json", results)
    page = write_report(results, out / "report.html")
    verdict(console, paired, seconds, out, page)


# ---------------------------------------------------------------------- figures


def averaged(runs: list[Ranking]) -> dict[str, np.ndarray]:
    """By metric, [U] each user's mean over the tie seeds."""
    return {
        metric: np.mean([run.per_user[metric] for run in runs], axis=0)
        for metric in runs[0].per_user
    }


def figures(per_user: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """By metric: mean with its interval."""
    return {metric: vars(bootstrap_mean(values)) for metric, values in per_user.items()}


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def time_rows(own: Ranking, baselines: Mapping[str, Any]) -> dict[str, Any]:
    """By model: figures on the split by time."""
    rows = {"quintet": figures(own.per_user) | own.beyond}
    for name, (_, _, result) in baselines.items():
        rows[name] = figures(result.per_user) | result.beyond
    return rows


def slice_rows(quintet: list[Ranking], baselines: Mapping[str, Any]) -> dict[str, Any]:
    """By slice of the first tie seed's users, by model: NDCG@10 of that seed."""
    seed = setting.TIE_SEEDS[0]
    first = {"quintet": quintet[0]} | {name: by[seed] for name, (_, by, _) in baselines.items()}
    return {
        label: {
            name: {"ndcg@10": vars(bootstrap_mean(one.per_user["ndcg@10"][members]))}
            for name, one in first.items()
        }
        for label, members in quintet[0].slices.items()
        if members.sum() >= 2
    }


# ---------------------------------------------------------------------- tables


def _with_interval(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.4f} [dim]{figure['low']:.3f}-{figure['high']:.3f}[/]"


def ranking_table(models: Mapping[str, Any], paired: Mapping[str, Any]) -> Table:
    """Models by NDCG@10, best first, with what quintet is ahead by."""
    table = Table(caption=PROTOCOL, caption_justify="left")
    for heading in ("model", "NDCG@10", "HR@10", "coverage@10", "quintet ahead by (95%)"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name in sorted(models, key=lambda one: -models[one]["ndcg@10"]["mean"]):
        row, ahead = models[name], ""
        if name in paired:
            pair = paired[name]["ndcg@10"]
            span = f"{pair['relative_low']:+.0%} to {pair['relative_high']:+.0%}"
            ahead = f"{pair['relative']:+.1%} [dim]{span}[/]"
        table.add_row(
            name,
            _with_interval(row["ndcg@10"]),
            _with_interval(row["hr@10"]),
            f"{row['coverage@10']:.3f}",
            ahead,
            style="bold" if name == "quintet" else "",
        )
    return table


def time_table(own: Ranking, baselines: Mapping[str, Any]) -> Table:
    """The split by time: train before a moment, rank every later event of every user."""
    rows = time_rows(own, baselines)
    table = Table(title="Split by time (no one's future is learned from)", title_justify="left")
    for heading in ("model", "NDCG@10", "HR@10"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    best = sorted(rows, key=lambda one: -rows[one]["ndcg@10"]["mean"])[:4]
    for name in best:
        table.add_row(name, *(_with_interval(rows[name][metric]) for metric in SHOWN))
    return table


def task_table(task: str, own: Mapping[str, float]) -> Table:
    """One task's figures, a line each."""
    table = Table(title=task, title_justify="left", show_header=False)
    table.add_column(min_width=46)
    table.add_column(justify="right")
    for name, value in own.items():
        whole = float(value).is_integer() and abs(value) >= 1
        table.add_row(name, f"{value:,.0f}" if whole else f"{value:.4f}")
    return table


# ---------------------------------------------------------------------- people


def show_people(console: Console, recommender: Recommender) -> list[dict[str, Any]]:
    """Three users: what they did, who they are, what they get and why."""
    console.rule("[bold]Three people")
    trained = recommender.trained
    lengths = trained.events.lengths
    order = np.argsort(lengths, kind="stable")
    rows = [order[len(order) // 10], order[len(order) // 2], order[-len(order) // 10]]
    people = []
    for user in trained.users.ids(np.array(rows)):
        person = describe_person(recommender, user)
        people.append(person)
        interests = person["profile"]["interests"]
        shares = ", ".join(f"{one['name']} {one['weight']:.0%}" for one in interests)
        console.print(f"\n[bold]user {user}[/]  {shares}; next: {person['profile']['next']}")
        console.print("  lately: " + " · ".join(one["title"] for one in person["history"]))
        for place in person["slate"]:
            console.print(f"  [bold]{place['title']}[/] [dim]{place['strategy']}[/]")
            for reason in place["reasons"]:
                console.print(f"      {reason}", style="dim")
    return people


def describe_person(recommender: Recommender, user: Any) -> dict[str, Any]:
    """History, profile and slate of one user, in words."""
    history = recommender.histories([user])
    titles = _titles(recommender, recommender.trained.items.ids(history.item[-6:]))
    profile = recommender.profile(user)
    slate = []
    for one in recommender.recommend([user], 5, slate=True, reasons=True):
        reasons = []
        for reason in one.reasons:
            because = ", ".join(_titles(recommender, reason.because))
            reasons.append(reason.text + (f": {because}" if because else ""))
        slate.append(
            {
                "item_id": one.item_id,
                "title": _titles(recommender, [one.item_id])[0],
                "score": one.score,
                "strategy": one.strategy,
                "reasons": reasons,
            }
        )
    strategy = profile["strategy"][0]
    return {
        "user_id": user,
        "history": [{"title": title} for title in titles],
        "profile": {
            "interests": profile["interests"][:5],
            "next": f"{strategy['name']} ({strategy['weight']:.0%})",
            "mean rating": profile["mean_value"],
        },
        "slate": slate,
    }


def _titles(recommender: Recommender, items: list[Any]) -> list[str]:
    return [str(row.get("title") or row["item_id"]) for row in recommender.describe(items)]


def verdict(
    console: Console,
    paired: Mapping[str, Any],
    seconds: Mapping[str, float],
    out: Path,
    page: Path,
) -> None:
    """The one sentence to remember, and where the rest lies."""
    hardest = min(paired, key=lambda name: paired[name]["ndcg@10"]["relative"])
    pair = paired[hardest]["ndcg@10"]
    console.rule()
    console.print(
        f"quintet is {pair['relative']:+.1%} in NDCG@10 against the best baseline, {hardest} "
        f"(95% {pair['relative_low']:+.1%} to {pair['relative_high']:+.1%}); "
        f"{seconds['everything']:.0f} s in all."
    )
    console.print(f"figures: {out / 'results.json'}   report: {page}   model: {out / 'bundle'}")
