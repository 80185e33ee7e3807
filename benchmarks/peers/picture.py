"""Quality against wall time, every side on one picture; needs the extra ``plots``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.errors import MissingExtraError

COLOURS = ("#0b5fff", "#d1495b", "#e09f3e", "#4c956c", "#6d597a", "#52616b")


@dataclass(frozen=True)
class Curve:
    """A side's validation quality after so many seconds; one point is a mark."""

    name: str
    seconds: list[float]
    quality: list[float]


def quality_against_time(curves: list[Curve], path: Path, metric: str) -> list[Path]:
    """Draw to ``path`` with the endings .svg and .png; wall seconds stand on a log scale.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("a picture of quality against time", "plots") from None
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve, colour in zip(curves, COLOURS, strict=False):
        single = len(curve.seconds) == 1
        style: dict[str, Any] = {
            "marker": "D" if single else "o",
            "markersize": 8 if single else 3.5,
        }
        axes.plot(curve.seconds, curve.quality, color=colour, linewidth=1.8, **style)
        best = max(range(len(curve.quality)), key=curve.quality.__getitem__)
        axes.annotate(
            f"{curve.name}  {curve.quality[best]:.4f}",
            (curve.seconds[best], curve.quality[best]),
            xytext=(0, 9), textcoords="offset points", ha="center", color=colour, fontsize=9,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("wall time of training, seconds")
    axes.set_ylabel(f"validation {metric}")
    axes.margins(x=0.14, y=0.12)
    axes.grid(color="#d8dee4", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    written = [path.with_suffix(".svg"), path.with_suffix(".png")]
    path.parent.mkdir(parents=True, exist_ok=True)
    for target in written:
        figure.savefig(target, dpi=150)
    return written
