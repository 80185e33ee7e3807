"""The report: one HTML file that a product owner can read and an engineer can check.

It is self-contained (no request leaves the page), follows the reader's light or dark setting, and
is the same to the byte for the same results. Needs the extra ``plots``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from quintet.files import write_text_atomic
from quintet.train import report_data, report_map
from quintet.train import report_sections as sections
from quintet.train.markup import Html, join, tag
from quintet.train.results import Results, parse_results

# nothing may be fetched and no script may run, whatever a title holds
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_SECTIONS = (
    ("models", "Models compared", sections.models),
    ("differences", "Is the difference real?", sections.differences),
    ("tasks", "Task by task", sections.tasks),
    ("slices", "Where it helps and where not", sections.slices),
    ("reliability", "Can the probabilities be trusted?", sections.reliability),
    ("curves", "Training", sections.curves),
    ("data", "The data", report_data.distributions),
    ("audit", "Audit of the data", report_data.findings),
    ("examples", "Example users", sections.examples),
    ("map", "The catalogue as the model sees it", report_map.catalogue),
)


def write_report(
    results: Mapping[str, Any] | Results,
    path: str | Path,
    *,
    curves: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    audit: Mapping[str, Any] | None = None,
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    examples: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write the report of ``results`` to ``path``, whole or not at all; returns the path.

    Sections without data are left out.

    Args:
        results: the contents of a ``results.json``, see :class:`quintet.train.results.Results`.
        path: the HTML file to write.
        curves: training curves, (step, value) points by name; takes the place of the results' own.
        audit: the audit's ``to_dict()``; likewise.
        tables: further tables by title, each a list of rows.
        examples: example users; likewise.

    Raises:
        DataError: the results do not have the format; names the place.
        MissingExtraError: there is something to draw and matplotlib is not installed.
    """
    given = {"curves": curves, "audit": audit, "examples": examples}
    extra = {key: value for key, value in given.items() if value is not None}
    plain = results.model_dump() if isinstance(results, Results) else dict(results)
    return write_text_atomic(path, render_report({**plain, **extra}, tables=tables))


def render_report(
    results: Mapping[str, Any] | Results,
    *,
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> str:
    """The report as HTML text; arguments and errors as in :func:`write_report`."""
    checked = parse_results(results)
    parts = [(name, title, build(checked)) for name, title, build in _SECTIONS]
    for position, (title, rows) in enumerate((tables or {}).items(), 1):
        parts.append((f"table-{position}", title, sections.generic_table(rows)))
    parts.append(("measured", "How it was measured", sections.measured(checked)))
    shown = [(name, title, body) for name, title, body in parts if body is not None]
    links = [tag("a", title, href=f"#{name}") for name, title, _ in shown]
    header = tag(
        "header",
        tag("p", "Evaluation report", class_="eyebrow"),
        tag("h1", checked.dataset),
        sections.lead(checked),
        tag("nav", *links),
    )
    body = [tag("section", tag("h2", title), body, id=name) for name, title, body in shown]
    footer = tag("footer", "Made by quintet from results.json.")
    main = tag("main", header, sections.tiles(checked), *body, footer)
    return _page(f"{checked.dataset}: evaluation report", main)


def _page(title: str, main: Html) -> str:
    style = files("quintet.train").joinpath("report.css").read_text(encoding="utf-8")
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            tag("style", Html(style)),
        ]
    )
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', main), lang='en')}\n"
