"""How the figures of ``quintet evaluate`` are laid out: tables for people, rows for programs."""

from __future__ import annotations

from math import isfinite
from typing import Any

from rich.console import Group, RenderableType

from quintet.cli.console import facts, grid

REDUNDANT = ("recall", "precision", "f1", "map")
DECISIVE = "ndcg@10"


def figure_tables(title: str, results: dict[str, Any]) -> Group:
    """What people see: ranking, the other tasks, and the baselines where they were tuned."""
    from quintet.train.measure import BASELINE

    tuned = set(results.get("baselines", {})) - {BASELINE}
    models = {name: one for name, one in results["models"].items() if name not in tuned}
    ranking = grid(title, _by_metric(models))
    paired = {name: one for name, one in results["paired"].items() if name in models}
    ranking.caption, ranking.caption_justify = _against(paired), "left"
    parts: list[RenderableType] = [ranking]
    rows = baseline_rows(results)
    if rows:
        parts += ["", grid("baselines, each tuned on validation events", rows)]
    skipped = results.get("skipped", {})
    if skipped:
        parts += ["", facts("baselines that could not run", skipped)]
    if results["tasks"]:
        parts += ["", facts("the other tasks", {n: _pairs(v) for n, v in results["tasks"].items()})]
    return Group(*parts)


def _pairs(figures: dict[str, float]) -> str:
    """The figures of a task on one line; what has no meaning on the events is left out."""
    told = {name: value for name, value in figures.items() if isfinite(value)}
    return "   ".join(
        f"{name.replace('_', ' ')} {value:{',.0f' if name == 'events' else '.4g'}}"
        for name, value in told.items()
    )


def _by_metric(models: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a metric, a column a model; the first model with its interval.

    With one target a person, recall is the hit rate and average precision the reciprocal rank:
    what says the same again is left to JSON and CSV.
    """
    first, *others = models
    rows = []
    for metric, figure in models[first].items():
        if metric.partition("@")[0] in REDUNDANT:
            continue
        row: dict[str, Any] = {"metric": metric, first: _mean(figure)}
        whole = isinstance(figure, dict)
        row["95 %"] = f"{figure['low']:.4f} to {figure['high']:.4f}" if whole else ""
        rows.append(row | {name: _mean(models[name].get(metric)) for name in others})
    return rows


def _mean(figure: Any) -> float | None:
    value: float | None = figure["mean"] if isinstance(figure, dict) else figure
    return value


def _against(paired: dict[str, dict[str, Any]]) -> str:
    """In words: how far the model is from each baseline by the metric that decides."""
    lines = []
    for name, differences in paired.items():
        metric = DECISIVE if DECISIVE in differences else next(iter(differences), "")
        if metric:
            one = differences[metric]
            lines.append(
                f"quintet less {name}: {one['difference']:+.4f} {metric} on the same users "
                f"(95 %: {one['low']:+.4f} to {one['high']:+.4f})"
            )
    return "\n".join(lines)


def figure_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a model and metric, then a row a task and metric."""
    from quintet.train.measure import MODEL

    rows: list[dict[str, Any]] = []
    for name, figures in results["models"].items():
        for metric, figure in figures.items():
            value = figure if isinstance(figure, dict) else {"mean": figure}
            rows.append({"model": name, "metric": metric, **value})
    for task, figures in results["tasks"].items():
        rows += [
            {"model": MODEL, "task": task, "metric": metric, "mean": value}
            for metric, value in figures.items()
        ]
    return rows


def baseline_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a tuned baseline by the metric that decides: its figure, how far the model is from it.

    With no list of ten measured there is no such metric, and the validation figure stands alone.
    """
    rows = []
    for name, one in results.get("baselines", {}).items():
        row: dict[str, Any] = {"baseline": name}
        gain = results["paired"][name].get(DECISIVE)
        if gain is not None:
            row[DECISIVE] = _mean(results["models"][name][DECISIVE])
            row["quintet less it"] = gain["difference"]
            row["95 %"] = f"{gain['low']:+.4f} to {gain['high']:+.4f}"
        row["on validation"] = one[f"validation {DECISIVE}"]
        row["settings"] = ", ".join(f"{key}={_setting(v)}" for key, v in one["values"].items())
        rows.append(row)
    return rows


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
