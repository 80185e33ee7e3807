"""One picture of what ``benchmarks.off_policy`` measured."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quintet.errors import MissingExtraError
from quintet.files import write_text_atomic


def draw(
    path: Path,
    bandits: list[dict[str, Any]],
    rated: list[dict[str, Any]],
    simulated: dict[str, dict[str, float]],
    trials: list[dict[str, Any]],
) -> None:
    """Write the picture as SVG: a panel a log, then the simulations.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("a picture of the figures", "plots") from None
    panels: list[Callable[[Any], None]] = [
        *(lambda axes, found=found: _estimates(axes, found) for found in bandits),
        *(lambda axes, found=found: _errors(axes, found) for found in rated),
        lambda axes: _coverage(axes, simulated),
        lambda axes: _power(axes, trials),
    ]
    figure = Figure(figsize=(8, 2.7 * len(panels)), layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        panel(axes)
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_text_atomic(path, buffer.getvalue())


def _estimates(axes: Any, found: dict[str, Any]) -> None:
    truth = found["truth"]
    axes.axvspan(truth.low, truth.high, color="tab:green", alpha=0.15, linewidth=0)
    axes.axvline(truth.value, color="tab:green", label="uniform's own log")
    for row, value in enumerate(found["estimates"].values()):
        axes.plot([value.low, value.high], [row, row], color="tab:blue")
        axes.plot([value.value], [row], "o", color="tab:blue")
        axes.plot([value.bootstrap_low, value.bootstrap_high], [row - 0.2] * 2, color="tab:gray")
    axes.set_yticks(range(len(found["estimates"])), list(found["estimates"]))
    axes.set_title(f"{found['name']}: uniform choice judged from Thompson's log", loc="left")
    axes.set_xlabel("clicks a row; normal (blue) and bootstrap (grey) 95 % intervals")
    axes.legend(loc="lower right")


def _errors(axes: Any, found: dict[str, Any]) -> None:
    rows = [(metric, name) for metric in ("mse", "mae") for name in ("naive", "weighted")]
    errors = found["errors"]["all test ratings"]
    for row, (metric, name) in enumerate(rows):
        own, colour = errors[metric][name], {"naive": "tab:gray", "weighted": "tab:blue"}[name]
        axes.plot([own.low, own.high], [row, row], color=colour)
        axes.plot([own.mean], [row], "o", color=colour)
    axes.set_yticks(range(len(rows)), [f"{metric.upper()} {name}" for metric, name in rows])
    axes.set_title(f"{found['name']}: error on randomly drawn items", loc="left")
    axes.set_xlabel("95 % intervals over users; the paired difference is in the table")


def _coverage(axes: Any, simulated: dict[str, dict[str, float]]) -> None:
    places = range(len(simulated))
    for kind, shift, colour in (("normal", -0.2, "tab:blue"), ("bootstrap", 0.2, "tab:gray")):
        shares = [100 * own[kind] for own in simulated.values()]
        axes.bar([place + shift for place in places], shares, width=0.38, color=colour, label=kind)
    axes.axhspan(93, 97, color="tab:green", alpha=0.25, linewidth=0)
    names = [f"{name}\nRMSE {own['rmse']:.4f}" for name, own in simulated.items()]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_ylabel("% of 95 % intervals\nthat hold the truth")
    axes.set_title("simulated bandit", loc="left")
    axes.legend(loc="lower left", framealpha=1)


def _power(axes: Any, trials: list[dict[str, Any]]) -> None:
    still = next(trial for trial in trials if not trial["lift"])
    moved = [trial for trial in trials if trial["lift"]]
    for name in still["found"]:
        if "wrong" in name:
            continue
        line = axes.plot(
            [trial["users"] for trial in moved],
            [100 * trial["found"][name] for trial in moved],
            "o-",
            label=f"{name} (A/A {100 * still['found'][name]:.1f} %)",
        )
        axes.axhline(100 * still["found"][name], color=line[0].get_color(), lw=0.7, ls=":")
    axes.set_xticks([trial["users"] for trial in moved])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("users in both arms")
    axes.set_ylabel(f"% of +{moved[0]['lift']:.0%} found" if moved else "")
    axes.set_title("experiments", loc="left")
    axes.legend(frameon=False, fontsize=8)
