"""HTML built from functions: whatever is not markup already is escaped, nothing is forgotten.

Words about numbers live here too, so that every section writes them alike.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

Child = object


class Html(str):
    """Text that is markup already; made only by :func:`tag`, :func:`join` and the plots."""

    __slots__ = ()


def text(value: Child) -> Html:
    """``value`` as markup: escaped, unless it is markup already."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def join(children: Iterable[Child]) -> Html:
    """Children side by side; None is left out."""
    return Html("".join(text(child) for child in children if child is not None))


def tag(name: str, *children: Child, **attributes: Child) -> Html:
    """An element; ``class_`` stands for the attribute ``class``, None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def number(value: float | None, digits: int = 4) -> str:
    """A measured value in few characters: 0.0656, 12.3, 1,234; a dash where there is none."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1000 or (value == int(value) and size >= 1):
        return f"{value:,.0f}"
    return f"{value:.{digits if size < 1 else 2}f}"


def percent(value: float | None) -> str:
    """A share as a signed percentage: +12.4 %."""
    return "–" if value is None else f"{100 * value:+.1f} %".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 0.4 s, 12 s, 3 min 20 s, 13 min, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_ACRONYMS = {"ndcg", "hr", "mrr", "map", "auc", "rmse", "mae", "f1"}


def label(name: str) -> str:
    """A metric's or stage's name as written on the page: NDCG@10, Log loss."""
    head, at, k = name.partition("@")
    words = [word.upper() if word in _ACRONYMS else word for word in re.split("[ _/]+", head)]
    written = " ".join(words)
    return written[:1].upper() + written[1:] + at + k


_LOWER_IS_BETTER = {"log_loss", "brier", "calibration_error", "rmse", "mae", "gini", "loss"}


def lower_is_better(metric: str) -> bool:
    """Whether less of the metric is better."""
    return metric.partition("@")[0] in _LOWER_IS_BETTER


#: what a metric says, for readers who do not measure every day
MEANINGS = {
    "ndcg": "how high the right items stand in the list; 1 is perfect",
    "hr": "share of users whose next item is in the list",
    "recall": "share of the items a user wanted that are in the list",
    "precision": "share of the list that the user wanted",
    "f1": "precision and recall in one number",
    "mrr": "1 divided by the position of the first right item",
    "map": "precision averaged over the positions of the right items",
    "coverage": "share of the catalogue that anyone is shown",
    "gini": "how unequally items are shown; 0 is evenly",
    "novelty": "how little known the shown items are, in bits",
    "diversity": "how different the items of one list are; 0 is all alike",
    "serendipity": "share of the list that is right and not merely popular",
    "auc": "how often a taken item is scored above one not taken; one half is chance",
    "log_loss": "how surprised the predictions are by what happened; less is better",
    "calibration_error": "how far predicted chances are from what happened; less is better",
    "brier": "mean squared distance of prediction and outcome; less is better",
    "rmse": "typical size of the error in the values' own units; less is better",
    "mae": "mean size of the error in the values' own units; less is better",
    "accuracy": "share of right yes-or-no answers",
}


def meaning(metric: str) -> str | None:
    """One line on what a metric says; None for metrics without one."""
    return MEANINGS.get(metric.partition("@")[0])
