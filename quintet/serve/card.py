"""The model card: what a person should know of a bundle before using it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quintet.nn.shape import DataShape


def model_card(run: Mapping[str, Any], shape: DataShape, n_events: int, n_users: int) -> str:
    """Markdown made from the facts of the run; nothing in it is typed by hand."""
    lines = [
        f"# quintet model of {run.get('dataset', 'a data set')}",
        "",
        f"Made by quintet {run.get('version', '?')} on {run.get('created', '?')}.",
        "",
        "## What it was trained on",
        "",
        f"- {n_events:,} events of {n_users:,} users on {shape.n_items:,} items",
        f"- behaviours: {', '.join(shape.behaviours)}; scenarios: {', '.join(shape.scenarios)}",
        f"- split: {run.get('split', '?')}; seed: {run.get('seed', '?')}",
        "",
        "## What it answers",
        "",
        "- ranking: fused score of " + ", ".join(run.get("evidence", [])),
        "- interaction: probabilities *given that the item is the user's next event*",
        f"- profile: shares of `{shape.interest}` in the next events"
        if shape.interest
        else "- profile: no category column was fit for interests",
        "- strategy: what the user is about to do, before the item is known",
        "",
        "## Measured on validation while it was made",
        "",
    ]
    figures = run.get("validation", {})
    lines += [f"- {name}: {value:.4f}" for name, value in figures.items()]
    lines += ["", "It learned what people did, with their biases; it does not know why.", ""]
    return "\n".join(lines)
