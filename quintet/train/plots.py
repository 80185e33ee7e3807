"""Plots as inline SVG: deterministic, without fonts or colours of their own.

Colours are placeholders that become the page's CSS variables, so that one drawing serves light and
dark; text stays text and takes the page's font. Needs the extra ``plots``.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from quintet.errors import MissingExtraError
from quintet.train.markup import Html, label, lower_is_better, number, percent, tag
from quintet.train.results import Difference, ReliabilityPoint

# placeholder colour -> variable of the page's style sheet
INK, MUTED, LINE, ACCENT, GOOD, BAD = (f"#0102{n:02x}" for n in range(1, 7))
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", GOOD: "good", BAD: "bad"}

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


class _Drawing:
    """A figure with one axes, and the markup that it became once the block has ended."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.axes = figure.add_subplot()
        self.markup = Html("")


@contextmanager
def _drawing(width: float, height: float, what: str) -> Iterator[_Drawing]:
    """Draw inside the block; sizes in inches, ``what`` describes the plot to screen readers."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("a report with plots", "plots") from None
    settings: Any = {**_SETTINGS, "svg.hashsalt": what}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # scripts that the measuring font lacks are drawn by the reader's own fonts
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        drawing = _Drawing(figure)
        yield drawing
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        drawing.markup = _inline(buffer.getvalue(), what)


def _inline(svg: str, what: str) -> Html:
    """The drawing as part of a page: no header, no metadata, no ids that could clash."""
    body = svg[svg.index("<svg") :]
    view_box = re.search(r'viewBox="([-\d. ]+)"', body)
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    box = view_box.group(1) if view_box else "0 0 100 100"
    title = tag("title", what)
    return Html(f'<svg class="plot" role="img" viewBox="{box}">{title}{body}</svg>')


def forest(differences: Mapping[str, Difference], metric: str, model: str) -> Html:
    """Paired differences with their intervals, one row a baseline, the greatest gain on top.

    Baselines without a difference are left out.
    """
    known = [
        (name, d.difference, d.low, d.high, d.relative)
        for name, d in differences.items()
        if d.difference is not None and d.low is not None and d.high is not None
    ]
    sign = -1 if lower_is_better(metric) else 1
    known.sort(key=lambda row: (sign * row[1], row[0]))
    what = f"{model} less each baseline, {label(metric)}, with 95 % intervals"
    with _drawing(7.6, 0.75 + 0.38 * len(known), what) as drawing:
        axes = drawing.axes
        for y, (_, difference, low, high, relative) in enumerate(known):
            colour = MUTED if low <= 0 <= high else GOOD if sign * low > 0 else BAD
            axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([difference], [y], "o", color=colour, markersize=6.5)
            axes.annotate(
                percent(relative), (1.0, y), xycoords=("axes fraction", "data"),
                xytext=(10, 0), textcoords="offset points", va="center", color=colour,
            )  # fmt: skip
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(range(len(known)), [row[0] for row in known], color=INK)
        axes.set_ylim(-0.6, len(known) - 0.4)
        sides = ["baseline", model][::sign]
        middle = f"difference in {label(metric)}"
        axes.set_xlabel(f"← {sides[0]} better\u2003 {middle} \u2003{sides[1]} better →")
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
    return drawing.markup


def curve(name: str, points: Sequence[tuple[float, float | None]]) -> Html:
    """One training curve; its last value stands at its end."""
    known = [(epoch, value) for epoch, value in points if value is not None]
    with _drawing(3.0, 1.9, f"{name} over the epochs") as drawing:
        epochs, values = [p[0] for p in known], [p[1] for p in known]
        axes = drawing.axes
        axes.plot(epochs, values, color=ACCENT, linewidth=1.8, solid_capstyle="round")
        if known:
            axes.plot(epochs[-1:], values[-1:], "o", color=ACCENT, markersize=4.5)
            axes.annotate(
                number(values[-1]), known[-1], xytext=(0, 7), textcoords="offset points",
                ha="right", color=INK,
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.margins(x=0.03, y=0.16)
        axes.grid(visible=False, axis="x")
    return drawing.markup


def reliability(name: str, points: Sequence[ReliabilityPoint]) -> Html:
    """Predicted against observed; the area of a point is its share of the events."""
    with _drawing(3.0, 2.8, f"Reliability of {name}") as drawing:
        axes = drawing.axes
        top = 1.08 * max([p.predicted for p in points] + [p.observed for p in points] + [1e-9])
        axes.plot([0, top], [0, top], color=MUTED, linewidth=1, dashes=(4, 3))
        total = sum(p.count for p in points) or 1.0
        axes.scatter(
            [p.predicted for p in points], [p.observed for p in points],
            s=[20 + 400 * p.count / total for p in points],
            color=ACCENT, alpha=0.75, linewidths=0,
        )  # fmt: skip
        axes.set(xlim=(0, top), ylim=(0, top), xlabel="predicted", ylabel="observed")
    return drawing.markup


def histogram(name: str, edges: Sequence[float], counts: Sequence[float]) -> Html:
    """How many users or items have each value: bars of equal width, named by where they start.

    ``edges`` [B + 1] and ``counts`` [B]; bins usually double in width.
    """
    with _drawing(3.0, 2.1, f"Distribution of {name}") as drawing:
        axes = drawing.axes
        places = range(len(counts))
        axes.bar(places, counts, width=0.86, color=ACCENT, linewidth=0)
        every = 1 + len(counts) // 8  # as many names as there is room for
        axes.set_xticks(
            places[::every], [number(edge) if edge else "0" for edge in edges[:-1:every]]
        )
        axes.set_xlabel(name)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(visible=False, axis="x")
    return drawing.markup


def share(shares: Sequence[float]) -> Html:
    """Share of events of the most popular items; the diagonal is a catalogue without favourites."""
    with _drawing(3.0, 2.1, "Share of events on the most popular items") as drawing:
        axes = drawing.axes
        percents = [100 * place / (len(shares) - 1) for place in range(len(shares))]
        events = [100 * value for value in shares]
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, dashes=(4, 3))
        axes.fill_between(percents, events, color=ACCENT, alpha=0.18, linewidth=0)
        axes.plot(percents, events, color=ACCENT, linewidth=1.8)
        axes.set(xlim=(0, 100), ylim=(0, 101), xlabel="% of items", ylabel="% of events")
        axes.grid(visible=False, axis="x")
    return drawing.markup
