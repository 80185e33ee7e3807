"""What stands in a folder of lines, as ``results.json`` and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.peers.picture import Curve, quality_against_time
from benchmarks.peers.sides import Line, epochs_of, medians, read_lines
from benchmarks.peers.summary import METRIC, OURS, best, cost_per_event, curve, ratios, reach
from quintet.train.measure import environment
from quintet.train.results import write_results

TOWER = "quintet identity tower"


def assemble(folder: Path, dataset: str, command: str) -> dict[str, Any]:
    """Read every part that was measured, write ``results.json`` and ``quality.*``; the results."""
    told: dict[str, list[Line]] = _json(folder / "epochs.json") or {}
    epochs = {name: medians(lines) for name, lines in told.items()}
    speed: dict[str, Any] = {"epochs": epochs}
    if OURS in epochs:
        speed["ratios"] = ratios(epochs)
    models: dict[str, Any] = {}
    seconds = {f"epoch: {name}": row["seconds"] for name, row in epochs.items()}
    curves, whole = _curves(folder, epochs, models, speed)
    if (folder / "itemknn.jsonl").exists():
        lines = read_lines(folder / "itemknn.jsonl")
        epoch = epochs_of(lines)[-1]
        models["implicit ItemKNN"] = epoch["test"]
        seconds["implicit ItemKNN: counting"] = epoch["seconds"]
        curves.append(Curve("implicit ItemKNN", [epoch["seconds"]], [epoch["valid"][METRIC]]))
    if whole:
        models[OURS] = whole["test"]
        models[f"{OURS}, refitted"] = whole["test_with_refit"]
        seconds |= {f"checkpoint: {name}": value for name, value in whole["stages"].items()}
        seconds["checkpoint"] = whole["seconds"]
        seconds["checkpoint, refitted"] = whole["seconds_with_refit"]
        curves.append(Curve("quintet, whole", [whole["seconds"]], [whole["valid"][METRIC]]))
    if towers := _told(folder / "towers.jsonl"):
        models[f"{OURS}, neural towers alone"] = towers["test"]
        seconds["neural towers alone"] = towers["seconds"]
        curves.append(Curve("quintet, both towers", [towers["seconds"]], [towers["valid"][METRIC]]))
    speed |= _served(folder)
    scale = _json(folder / "scale.json")
    if scale:
        speed["cost_per_event"] = cost_per_event({float(s): own for s, own in scale.items()})
    speed["roofline"] = _json(folder / "roofline.json") or {}
    if curves:
        quality_against_time(curves, folder / "quality", "NDCG@10")
    results = {
        "dataset": dataset,
        "protocol": "leave-one-out, strict, full catalogue, history masked; sides in turns",
        "seeds": [0],
        "models": models,
        "seconds": seconds,
        "peak_memory_mb": (whole or epochs.get(OURS, {})).get("peak_memory_mb"),
        "command": command,
        "versions": environment()["versions"],
        "speed": speed,
    }
    write_results(folder / "results.json", results)
    return results


def _curves(
    folder: Path, epochs: dict[str, dict[str, float]], models: dict[str, Any], speed: dict[str, Any]
) -> tuple[list[Curve], Line]:
    """Curves that can be drawn, and what the whole checkpoint told; fills models and speed."""
    trained = {
        name: told
        for name, path in (("checkpoint", "whole.jsonl"), ("neural_towers", "towers.jsonl"))
        if (told := _told(folder / path))
    }
    curves, ours = [], None
    if (folder / "tower.jsonl").exists():
        lines = read_lines(folder / "tower.jsonl")
        models[TOWER] = best(lines)["test"]
        seconds = epochs.get(OURS, medians(lines))["seconds"]
        ours = curve(TOWER, lines, seconds)
        curves.append(ours)
    peers = []
    for path in sorted(folder.glob("curve-*.jsonl")):
        side, lines = path.stem.removeprefix("curve-"), read_lines(path)
        name = lines[0]["peer"]
        models[name] = best(lines)["test"]
        if side in epochs:  # a curve is run under any load: its own seconds say nothing
            peers.append(curve(name, lines, epochs[side]["seconds"]))
    if ours and peers:
        ended = {name: (told["seconds"], told["valid"][METRIC]) for name, told in trained.items()}
        speed["reach"] = reach(ours, peers, ended)
    return [*curves, *peers], trained.get("checkpoint", {})


def _told(path: Path) -> Line:
    """What a training to the end told, all lines as one; nothing if it was not measured."""
    told: Line = {}
    if path.exists():
        for line in _lines(path):
            told |= line
    return told if "valid" in told else {}


def _served(folder: Path) -> dict[str, Any]:
    if not (folder / "serve.jsonl").exists():
        return {}
    lines = _lines(folder / "serve.jsonl")
    loaded = next(line for line in lines if line["event"] == "loaded")
    first, *others = [line for line in lines if line["event"] == "ranked"]
    median = sorted(others, key=lambda line: line["seconds"])[len(others) // 2]
    return {"serve": {"loading": loaded, "first_pass": first, "median_pass": median}}


def _lines(path: Path) -> list[Line]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
