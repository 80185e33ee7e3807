"""The rows of a table as points with their intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quintet.files import atomic_path

METRIC = "ndcg@10"
ACCENT, MUTED = "#1f6feb", "#6e7781"


def draw(results: dict[str, Any], path: Path, metric: str = METRIC) -> Path:
    """Write an SVG with one metric of every row, the best on top; returns the path.

    Raises:
        ImportError: matplotlib is not installed (``pip install 'quintet[plots]'``).
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = sorted(results["models"].items(), key=lambda row: row[1][metric]["mean"])
    figure = Figure(figsize=(7, 0.7 + 0.3 * len(rows)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for place, (name, own) in enumerate(rows):
        color = ACCENT if name.startswith("quintet") else MUTED
        bounds = own[metric]
        axes.plot([bounds["low"], bounds["high"]], [place, place], color=color, linewidth=2)
        axes.plot(bounds["mean"], place, "o", color=color)
        axes.annotate(
            f"{bounds['mean']:.4f}",
            (bounds["high"], place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlabel(f"{metric} with 95% interval over users")
    axes.set_title(f"{results['dataset']}: {results['protocol']['learned']}", loc="left")
    axes.margins(x=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path
