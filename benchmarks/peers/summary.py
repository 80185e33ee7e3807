"""From what the sides told to figures: ratios, times to a quality, cost per event."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.picture import Curve
from benchmarks.peers.protocol import CUTOFF
from benchmarks.peers.sides import Line, epochs_of

METRIC = f"ndcg@{CUTOFF}"
OURS = "quintet"


def ratios(epochs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many of quintet's epochs fit into one of each other side's, by wall and by CPU time."""
    own = epochs[OURS]
    return {
        name: {
            "seconds": other["seconds"] / own["seconds"],
            "cpu_seconds": other["cpu_seconds"] / own["cpu_seconds"],
            "peak_memory_mb": other["peak_memory_mb"] / own["peak_memory_mb"],
        }
        for name, other in epochs.items()
        if name != OURS
    }


def best(lines: list[Line]) -> Line:
    """The epoch with the best validation.

    Raises:
        ValueError: no epoch was validated.
    """
    return max((e for e in epochs_of(lines) if "valid" in e), key=lambda e: e["valid"][METRIC])


def curve(name: str, lines: list[Line], seconds: float) -> Curve:
    """Validation by wall time: epochs times the seconds of an epoch measured in turns."""
    epochs = [line for line in epochs_of(lines) if "valid" in line]
    return Curve(name, [e["epoch"] * seconds for e in epochs], [e["valid"][METRIC] for e in epochs])


def reach(
    ours: Curve, peers: list[Curve], trained: dict[str, tuple[float, float]]
) -> dict[str, dict[str, float | bool | None]]:
    """For each peer: its best, when it had it, and when quintet did.

    Args:
        ours: the identity tower alone.
        peers: their curves.
        trained: (wall seconds, validation) of what is trained to its end, by name.
    """
    table: dict[str, dict[str, float | bool | None]] = {}
    for peer in peers:
        top = int(np.argmax(peer.quality))
        wanted, theirs = peer.quality[top], peer.seconds[top]
        first = next(
            (s for s, q in zip(ours.seconds, ours.quality, strict=True) if q >= wanted), None
        )
        row: dict[str, float | bool | None] = {
            f"best_validation_{METRIC}": wanted,
            "its_seconds": theirs,
            "tower_seconds": first,
            "tower_times_sooner": theirs / first if first else None,
        }
        for name, (seconds, quality) in trained.items():
            row |= {
                f"{name}_seconds": seconds,
                f"{name}_reaches": quality >= wanted,
                f"{name}_times_sooner": theirs / seconds if quality >= wanted else None,
            }
        table[peer.name] = row
    return table


def cost_per_event(runs: dict[float, list[Line]]) -> dict[str, Any]:
    """CPU microseconds of a training event by share of the users, and the spread around all."""
    table = {}
    for share, lines in runs.items():
        events = next(line["n_examples"] for line in lines if line["event"] == "prepared")
        cpu = float(np.median([line["cpu_seconds"] for line in epochs_of(lines)]))
        table[share] = {
            "events": events,
            "cpu_seconds": cpu,
            "cpu_us_per_event": 1e6 * cpu / events,
        }
    whole = table[max(table)]["cpu_us_per_event"]
    relative = {share: row["cpu_us_per_event"] / whole for share, row in table.items()}
    return {
        "by_share": {
            str(share): {**row, "relative": relative[share]} for share, row in table.items()
        },
        "greatest_departure": max(abs(value - 1) for value in relative.values()),
    }
