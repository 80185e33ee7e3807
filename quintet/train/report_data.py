"""The report's sections about the data: its shape, and what the audit found."""

from __future__ import annotations

from quintet.train import plots
from quintet.train.markup import Html, join, label, tag
from quintet.train.report_sections import figure_grid, note
from quintet.train.results import Finding, Results

_HISTOGRAMS = {"popularity": "Events per item", "length": "Events per user"}
#: gravest first; what is "ok" is folded away
_GRAVITY = ("danger", "warning", "note", "ok")


def distributions(results: Results) -> Html | None:
    """How events are spread over items and users."""
    known = results.audit.distributions if results.audit else {}
    drawn: dict[str, Html] = {}
    for name in known:
        stem, _, kind = name.rpartition("_")
        if kind == "counts" and len(known.get(f"{stem}_edges", [])) == len(known[name]) + 1:
            title = _HISTOGRAMS.get(stem, label(stem))
            drawn[title] = plots.histogram(title, known[f"{stem}_edges"], known[name])
        elif kind == "share" and len(known[name]) > 1:
            drawn["Share of the popular items"] = plots.share(known[name])
    if not drawn:
        return None
    return join(
        [
            note(
                "Each bar spans twice the one before: 8 stands for 8 to 15, the next for 16 to 31."
            ),
            figure_grid(drawn),
        ]
    )


def findings(results: Results) -> Html | None:
    """What the data audit found before training, the gravest first."""
    if results.audit is None:
        return None
    ordered = sorted(results.audit.findings, key=_gravity)
    open_ones = [finding for finding in ordered if finding.severity != "ok"]
    passed = ordered[len(open_ones) :]
    return join(
        [
            _list(open_ones) if open_ones else note("The audit of the data found nothing to heed."),
            tag("details", tag("summary", f"{len(passed)} checks passed"), _list(passed))
            if passed
            else None,
        ]
    )


def _gravity(finding: Finding) -> int:
    known = finding.severity in _GRAVITY
    return _GRAVITY.index(finding.severity) if known else _GRAVITY.index("note")


def _list(chosen: list[Finding]) -> Html:
    items = [
        tag(
            "li",
            tag("span", label(finding.severity), class_=f"severity {finding.severity}"),
            tag("div", tag("b", label(finding.name)), tag("div", finding.message, class_="note")),
        )
        for finding in chosen
    ]
    return tag("ul", *items, class_="findings")
