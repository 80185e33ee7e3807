"""Write measured figures between the markers of the README.

    python tools/readme_results.py                                    # from docs/results/
    python tools/readme_results.py demo=reports/demo/results.json     # keep a new file first
    python tools/readme_results.py --check                            # exit 1 if it would change

``<!-- results:NAME -->`` ... ``<!-- /results:NAME -->`` holds what ``docs/results/NAME.json`` says:
the models, best first, with the bounds of their 95 % intervals; the tasks; the command that
reproduces the file. A marker whose file does not exist yet is left alone.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from quintet.files import write_json_atomic, write_text_atomic
from quintet.train.results import Figure, Results, read_results

ROOT = Path(__file__).parent.parent
FOLDER = "docs/results"
MARKED = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)
SHOWN = ("ndcg@10", "hr@10", "mrr@10", "coverage@10")


def main(arguments: list[str]) -> int:
    """Fill the README; gives the exit status."""
    check = "--check" in arguments
    for argument in arguments:
        if not argument.startswith("-"):
            name, _, path = argument.partition("=")
            read_results(path)  # refuses a file that is not of the format
            data = json.loads(Path(path).read_text(encoding="utf8"))
            write_json_atomic(ROOT / FOLDER / f"{name}.json", data)
    page = ROOT / "README.md"
    text = page.read_text(encoding="utf8")
    new = filled(text, ROOT / FOLDER)
    if check:
        return int(new != text)
    write_text_atomic(page, new)
    return 0


def filled(text: str, folder: Path) -> str:
    """The text with the figures of ``folder`` between its markers."""

    def replacement(found: re.Match[str]) -> str:
        path = folder / f"{found[2]}.json"
        if not path.exists():
            return found[0]
        return found[1] + table(read_results(path), f"{FOLDER}/{path.name}") + found[3]

    return MARKED.sub(replacement, text)


def table(results: Results, source: str) -> str:
    """Markdown: the models, the tasks, and where the figures come from."""
    parts = [_models(results), _tasks(results)]
    protocol = results.protocol if isinstance(results.protocol, str) else ""
    seeds = ", ".join(map(str, results.seeds))
    facts = [
        results.dataset,
        protocol,
        f"seeds {seeds}" if seeds else "",
        "brackets: 95 % bootstrap interval over users",
    ]
    about = "; ".join(fact for fact in facts if fact)
    command = f"Reproduce with `{results.command}`. " if results.command else ""
    parts.append(f"{about}.\n{command}Figures: [{source}]({source}).\n")
    return "\n".join(part for part in parts if part)


def _models(results: Results) -> str:
    measured = [m for m in SHOWN if any(m in figures for figures in results.models.values())]
    if not measured:
        return ""
    decisive = measured[0]
    order = sorted(
        results.models, key=lambda name: -(_mean(results.models[name].get(decisive)) or 0.0)
    )
    lines = [_row(["model", *(_label(metric) for metric in measured)])]
    lines.append(_row(["---", *("---:" for _ in measured)]))
    for name in order:
        shown = f"**{name}**" if name == results.main_model else name
        figures = results.models[name]
        lines.append(_row([shown, *(_figure(figures.get(metric)) for metric in measured)]))
    return "\n".join(lines) + "\n"


def _tasks(results: Results) -> str:
    if not results.tasks:
        return ""
    lines = [_row(["task", "measured"]), _row(["---", "---"])]
    for task, metrics in results.tasks.items():
        lines.append(_row([task, "<br>".join(_measured(metrics))]))
    return "\n".join(lines) + "\n"


def _measured(metrics: dict[str, float | None]) -> list[str]:
    """Name and value of every figure; ``NAME, low`` and ``NAME, high`` become its brackets."""
    shown = []
    for name, value in metrics.items():
        if name.endswith((", low", ", high")):
            continue
        text = f"{_label(name)} {_number(value)}"
        if f"{name}, low" in metrics:
            ends = (_number(metrics[f"{name}, {end}"]) for end in ("low", "high"))
            text += f" [{', '.join(ends)}]"
        shown.append(text)
    return shown


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _label(metric: str) -> str:
    name, at, k = metric.partition("@")
    upper = name.upper() if name in ("ndcg", "hr", "mrr", "map", "rmse", "mae", "auc") else name
    return f"{upper.replace('_', ' ')}{at}{k}"


def _mean(figure: Figure | None) -> float | None:
    return None if figure is None else figure.mean


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.mean is None:
        return ""
    bounded = figure.low is not None and figure.high is not None
    bounds = f" [{_number(figure.low)}, {_number(figure.high)}]" if bounded else ""
    return _number(figure.mean) + bounds


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
