"""The sections of the report, each a function from results to markup (None: nothing to show)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quintet.train import plots
from quintet.train.markup import (
    Html,
    duration,
    join,
    label,
    lower_is_better,
    meaning,
    number,
    percent,
    tag,
)
from quintet.train.results import Difference, Example, Figure, Interest, Results

#: metrics in the table that is always open; the rest stand below it, folded
HEADLINE_METRICS = 4
#: history items shown of an example user
HISTORY_SHOWN = 8


def lead(results: Results) -> Html:
    """What the reader should take home, in one or two sentences."""
    model, metric = results.main_model, results.main_metric
    figure = results.models.get(model, {}).get(metric)
    if figure is None or figure.mean is None:
        return tag("p", f"Measured on {results.dataset}.", class_="lead")
    first = f"{model} reaches {label(metric)} {number(figure.mean)}{_between(figure)}. "
    rival = strongest_rival(results)
    if rival is None:
        return tag("p", first, class_="lead")
    name, difference = rival
    return tag("p", first, _verdict(difference, name, metric), class_="lead")


def _verdict(difference: Difference, rival: str, metric: str) -> str:
    """Ahead and behind are said only where the interval leaves 0 out."""
    where = {"good": "better than", "bad": "worse than"}.get(_tone(difference, metric))
    if where is None:
        return (
            f"Against the strongest baseline, {rival}, the difference of "
            f"{percent(difference.relative)} is within chance."
        )
    size = percent(difference.relative).lstrip("+−")
    bounds = f" ({percent(difference.relative_low)} to {percent(difference.relative_high)})"
    return f"That is {size} {where} the strongest baseline, {rival}{bounds}."


def strongest_rival(results: Results) -> tuple[str, Difference] | None:
    """The baseline that the main model gains least on, by the main metric."""
    sign = -1 if lower_is_better(results.main_metric) else 1
    rivals = [
        (sign * d[results.main_metric].difference, name)  # type: ignore[operator]
        for name, d in results.paired.items()
        if results.main_metric in d and d[results.main_metric].difference is not None
    ]
    if not rivals:
        return None
    name = min(rivals)[1]
    return name, results.paired[name][results.main_metric]


def tiles(results: Results) -> Html | None:
    """The few figures that a reader looks for first."""
    found: list[Html] = []
    figures = results.models.get(results.main_model, {})
    for metric in (results.main_metric, "hr@10", "coverage@10"):
        figure = figures.get(metric)
        if figure is not None and figure.mean is not None:
            bounds = _between(figure).strip(" ()").removeprefix("95 %: ")
            found.append(_tile(number(figure.mean), label(metric), bounds))
    rival = strongest_rival(results)
    if rival is not None and rival[1].relative is not None:
        name, gain = rival
        tone = _tone(gain, results.main_metric)
        bounds = f"{percent(gain.relative_low)} to {percent(gain.relative_high)}"
        found.insert(1, _tile(percent(gain.relative), f"against {name}", bounds, tone))
    if results.seconds:
        # stages may run side by side: where the whole was timed, the sum says nothing
        whole = results.seconds.get("everything", sum(results.seconds.values()))
        found.append(_tile(duration(whole), "for everything measured"))
    return tag("div", *found, class_="tiles") if found else None


def _tile(value: str, words: str, bounds: str = "", tone: str = "") -> Html:
    small = tag("small", bounds) if bounds else None
    return tag("div", tag("b", value), tag("span", words, small), class_=f"tile {tone}".strip())


def models(results: Results) -> Html | None:
    """Models × metrics with intervals, best in bold, and the paired difference to each baseline."""
    metrics = list(dict.fromkeys(m for figures in results.models.values() for m in figures))
    if not metrics:
        return None
    cutoff = results.main_metric.partition("@")[2]
    metrics.sort(key=lambda m: (m != results.main_metric, m.partition("@")[2] != cutoff))
    first, rest = metrics[:HEADLINE_METRICS], metrics[HEADLINE_METRICS:]
    more = tag("details", tag("summary", f"{len(rest)} more metrics"), _models_table(results, rest))
    return join(
        [
            note("Higher is better unless a metric says otherwise. Small figures are the bounds "
                  "of the 95 % interval over users; the best of a column is bold."),
            _models_table(results, first, paired=True),
            _glossary(first),
            more if rest else None,
        ]
    )  # fmt: skip


def _models_table(results: Results, metrics: Sequence[str], *, paired: bool = False) -> Html:
    best = {metric: _best(results.models, metric) for metric in metrics}
    paired = paired and bool(results.paired)
    head: list[str] = ["Model", *map(label, metrics)]
    if paired:
        against = f"{results.main_model} against it"
        head.append(join([against, tag("small", label(results.main_metric))]))
    rows = []
    for name, figures in _best_first(results):
        cells = [_figure_cell(figures.get(m), bold=name in best[m]) for m in metrics]
        if paired:
            difference = results.paired.get(name, {}).get(results.main_metric)
            cells.append(_difference_cell(difference, results.main_metric))
        main = "main" if name == results.main_model else None
        rows.append(tag("tr", tag("th", name, scope="row"), *cells, class_=main))
    return _table(head, rows)


def _best_first(results: Results) -> list[tuple[str, Mapping[str, Figure]]]:
    metric = results.main_metric
    sign = 1 if lower_is_better(metric) else -1

    def place(model: tuple[str, Mapping[str, Figure]]) -> float:
        figure = model[1].get(metric)
        return float("inf") if figure is None or figure.mean is None else sign * figure.mean

    return sorted(results.models.items(), key=place)


def _best(models: Mapping[str, Mapping[str, Figure]], metric: str) -> set[str]:
    known = {
        name: figures[metric].mean
        for name, figures in models.items()
        if metric in figures and figures[metric].mean is not None
    }
    values = [value for value in known.values() if value is not None]
    if len(values) < 2:
        return set()
    top = min(values) if lower_is_better(metric) else max(values)
    return {name for name, value in known.items() if value == top}


def differences(results: Results) -> Html | None:
    """Forest plot of the paired differences in the main metric."""
    metric = results.main_metric
    known = {
        name: d[metric]
        for name, d in results.paired.items()
        if metric in d and None not in (d[metric].difference, d[metric].low, d[metric].high)
    }
    if not known:
        return None
    return join(
        [
            note("Each line is the 95 % interval of the difference on the same users. A line that "
                  "touches zero is a difference that chance alone could make."),
            tag("div", plots.forest(known, metric, results.main_model), class_="scroll wide"),
        ]
    )  # fmt: skip


def tasks(results: Results) -> Html | None:
    """One line of figures a task."""
    rows = [
        tag("tr", tag("th", label(task), scope="row"), tag("td", _pairs(values)))
        for task, values in results.tasks.items()
        if values
    ]
    return _table(["Task", "Measured"], rows, class_="tasks") if rows else None


def _pairs(values: Mapping[str, float | None]) -> Html:
    return join(
        tag(
            "span", tag("small", label(metric)), number(value), class_="pair", title=meaning(metric)
        )
        for metric, value in values.items()
    )


def slices(results: Results) -> Html | None:
    """The main metric for parts of the users or items, where averages hide most."""
    if not results.slices:
        return None
    metric = results.main_metric
    names = [n for n, _ in _best_first(results) if any(n in s for s in results.slices.values())]
    names += [n for s in results.slices.values() for n in s if n not in names]
    names = list(dict.fromkeys(names))
    rows = []
    for part, figures in results.slices.items():
        best = _best(figures, metric)
        counts = [f[metric].n for f in figures.values() if metric in f and f[metric].n]
        users = tag("small", f"{number(counts[0])} users") if counts else None
        cells = [_figure_cell(figures.get(n, {}).get(metric), bold=n in best) for n in names]
        rows.append(tag("tr", tag("th", label(part), users, scope="row"), *cells))
    return join([note(f"{label(metric)} by part."), _table(["Part", *names], rows)])


def curves(results: Results) -> Html | None:
    """Training curves, one small plot each."""
    drawn = {name: plots.curve(name, points) for name, points in results.curves.items() if points}
    return figure_grid(drawn)


def reliability(results: Results) -> Html | None:
    """Reliability diagrams of the predicted probabilities."""
    points = {name: points for name, points in results.reliability.items() if points}
    if not points:
        return None
    words = note("On the dashed line, things happen exactly as often as predicted. Larger points "
                 "stand for more events.")  # fmt: skip
    return join([words, figure_grid({n: plots.reliability(n, p) for n, p in points.items()})])


def examples(results: Results) -> Html | None:
    """A few users: what they did, what the model makes of them, what it would show and why."""
    return join(map(_example, results.examples)) if results.examples else None


def _example(example: Example) -> Html:
    recent = example.history[-HISTORY_SHOWN:][::-1]
    earlier = len(example.history) - len(recent)
    history = tag(
        "ul",
        *(tag("li", item.title) for item in recent),
        tag("li", f"and {earlier} earlier", class_="note") if earlier else None,
        class_="plain",
    )
    slate = [
        tag(
            "li",
            tag("span", item.title),
            tag("span", "" if item.score is None else number(item.score, 3), class_="score"),
            tag("small", "; ".join(item.reasons)) if item.reasons else None,
        )
        for item in example.slate
    ]
    columns = [
        tag("div", tag("h4", "Latest first"), history) if recent else None,
        tag("div", tag("h4", "Profile"), *_profile(example)),
        tag("div", tag("h4", "Would be shown"), tag("ol", *slate, class_="slate")),
    ]
    return tag(
        "div",
        tag("h3", f"User {example.user_id}"),
        tag("div", *columns, class_="columns"),
        class_="user",
    )


def _profile(example: Example) -> Iterable[Html]:
    interests: list[Interest] = example.profile.interests
    most = max([interest.weight for interest in interests], default=0) or 1
    for interest in interests:
        width = f"width: {100 * min(max(interest.weight / most, 0), 1):.0f}%"
        yield tag("div", interest.name, tag("div", tag("i", style=width)), class_="bar")
    for name, value in (example.profile.model_extra or {}).items():
        yield tag(
            "div", tag("span", label(name) + ": ", class_="note"), _plain(value), class_="bar"
        )


def generic_table(rows: Sequence[Mapping[str, Any]]) -> Html | None:
    """Any table: a list of rows with the same keys."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        return None
    body = [tag("tr", *(tag("td", _plain(row.get(column))) for column in columns)) for row in rows]
    return _table(list(map(label, columns)), body)


def measured(results: Results) -> Html:
    """How to get the same figures again."""
    entries: dict[str, Any] = {"Data set": results.dataset}
    if isinstance(results.protocol, str):
        entries["Protocol"] = results.protocol
    else:
        entries |= {label(key): _plain(value) for key, value in results.protocol.items()}
    entries["Seeds"] = ", ".join(map(str, results.seeds))
    entries["Command"] = tag("code", results.command) if results.command else ""
    entries["Time"] = ", ".join(f"{label(k)} {duration(v)}" for k, v in results.seconds.items())
    if results.peak_memory_mb:
        entries["Peak memory"] = f"{number(round(results.peak_memory_mb))} MB"
    entries["Versions"] = ", ".join(f"{k} {v}" for k, v in results.versions.items())
    shown = [part for k, v in entries.items() if v for part in (tag("dt", k), tag("dd", v))]
    return tag("dl", *shown)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "–" if value is None else str(value)


def figure_grid(drawn: Mapping[str, Html]) -> Html | None:
    """Small plots side by side, each under its name."""
    if not drawn:
        return None
    parts = [tag("figure", tag("figcaption", name), plot) for name, plot in drawn.items()]
    return tag("div", *parts, class_="grid")


def _table(head: Sequence[str], rows: Iterable[Html], class_: str | None = None) -> Html:
    cells = [tag("th", name, scope="col", title=meaning(name.lower())) for name in head]
    body = join([tag("thead", tag("tr", *cells)), tag("tbody", *rows)])
    return tag("div", tag("table", body, class_=class_), class_="scroll")


def _figure_cell(figure: Figure | None, *, bold: bool) -> Html:
    if figure is None or figure.mean is None:
        return tag("td", "–")
    value = number(figure.mean)
    bounds = tag("small", f"{number(figure.low)} – {number(figure.high)}")
    return tag("td", tag("b", value) if bold else value, bounds if figure.low is not None else None)


def _difference_cell(difference: Difference | None, metric: str) -> Html:
    if difference is None or difference.relative is None:
        return tag("td", "")
    bounds = f"{percent(difference.relative_low)} to {percent(difference.relative_high)}"
    tone = _tone(difference, metric)
    return tag("td", tag("span", percent(difference.relative), class_=tone), tag("small", bounds))


def _tone(difference: Difference, metric: str) -> str:
    """Green or red only where the interval leaves 0 out."""
    if difference.low is None or difference.high is None:
        return ""
    sign = -1 if lower_is_better(metric) else 1
    low, high = sorted((sign * difference.low, sign * difference.high))
    return "good" if low > 0 else "bad" if high < 0 else ""


def _between(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" (95 %: {number(figure.low)} to {number(figure.high)})"


def _glossary(metrics: Iterable[str]) -> Html:
    said = {m.partition("@")[0]: meaning(m) for m in metrics}
    words = "; ".join(f"{label(name)}: {line}" for name, line in said.items() if line)
    return note(words + "." if words else "")


def note(words: str) -> Html:
    """A quiet sentence that helps to read what follows."""
    return tag("p", words, class_="note")
