"""The gain of every mode over scratch, by share of the users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quintet.files import atomic_path

INK = ("#1f6feb", "#8250df", "#bf8700", "#1a7f37", "#cf222e", "#6e7781", "#0a7ea4", "#953800")


def draw(results: dict[str, Any], path: Path) -> Path:
    """Write an SVG with NDCG@10 of every row over the share of users; returns the path.

    Raises:
        ImportError: matplotlib is not installed (``pip install 'quintet[plots]'``).
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    shares = results["shares"]
    rows = list(dict.fromkeys(row for part in shares.values() for row in part["rows"]))
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        points = [
            (position + (place - len(rows) / 2) * 0.07, part["rows"][row]["ndcg@10"])
            for position, part in enumerate(shares.values())
            if row in part["rows"]
        ]
        middle = [own["mean"] for _, own in points]
        spans = [[own["mean"] - own["low"] for _, own in points]]
        spans.append([own["high"] - own["mean"] for _, own in points])
        ink = INK[place % len(INK)]
        axes.errorbar([x for x, _ in points], middle, spans, fmt="o", color=ink, label=row)
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set_xlabel("share of the users that is learned from")
    axes.set_ylabel("ndcg@10, with 95% interval over users")
    axes.set_title(results["dataset"], loc="left")
    axes.legend(frameon=False, fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path
