"""``python -m benchmarks.speed FILE``: quintet's speed beside its peers', in the same run.

Parts, each of which leaves its own lines in ``--out`` so that they can be measured one by one:

- ``epochs``: an epoch of each side in turn, the median of ``--epochs``; the same network for all;
- ``tower``: quintet's tower of that shape to convergence, for the picture;
- ``towers``: both neural towers alone, without a counted memory, to their end;
- ``whole``: the whole delivered checkpoint, all stages;
- ``serve``: all users ranked from the checkpoint of ``whole``;
- ``scale``: CPU time of an event with a share of the users and the whole catalogue;
- ``itemknn``: implicit's item neighbours;
- ``roofline``: GFLOP/s of the epochs over the measured matrix product.

``benchmarks/peers/install.sh`` builds the peers' environments. A peer's own curve to convergence
takes hours and is run once (``benchmarks.peers.recbole_sasrec`` with ``--validate``); ``--curves``
names the kept files. What stands in ``--out`` becomes ``results.json`` and ``quality.svg``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers.assemble import assemble
from benchmarks.peers.protocol import Sequences
from benchmarks.peers.roofline import roofline
from benchmarks.peers.sides import ROOT, alone, alternate, command, medians, read_lines
from quintet.errors import DataError
from quintet.files import write_json_atomic

SHARES = (0.1, 0.25, 0.5, 1.0)


def main() -> None:
    """Measure the parts asked for, then put together what is there."""
    options = _options()
    console = Console()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.curves:
        read_lines(path)
        shutil.copyfile(path, options.out / f"curve-{path.stem.removesuffix('-curve')}.jsonl")
    for part in options.parts:
        console.print(f"[dim]{part}[/]")
        PARTS[part](options)
    results = assemble(options.out, options.sequences.stem, _shown(sys.argv[1:]))
    _show(console, results["speed"])
    console.print(f"figures: {options.out / 'results.json'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.speed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="their environments")
    parser.add_argument("--sides", nargs="+", default=["quintet", "recbole:256", "rectools"])
    parser.add_argument("--epochs", type=int, default=3, help="of each side, in turns")
    parser.add_argument("--tower-epochs", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--curves", type=Path, nargs="*", default=[], help="kept curves of peers")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--set", action="append", default=[], help="of the checkpoint, as in train")
    parser.add_argument("--out", type=Path, default=Path("reports/speed"))
    options = parser.parse_args()
    options.out = options.out.absolute()
    if not options.sequences.is_file():
        raise SystemExit(f"{options.sequences}: no such file; give a file of sequences")
    return options


def _epochs(options: argparse.Namespace) -> None:
    threads = ["--threads", str(options.threads)]
    lines = {
        side.partition(":")[0]: command(side, options.peers, options.sequences, threads)
        for side in options.sides
    }
    told = alternate(lines, options.epochs, options.threads)
    write_json_atomic(options.out / "epochs.json", told)


def _tower(options: argparse.Namespace) -> None:
    wanted = ["--threads", str(options.threads), "--epochs", str(options.tower_epochs)]
    line = command("quintet", options.peers, options.sequences, [*wanted, "--validate"])
    alone("quintet", [*line, "--out", str(options.out / "tower.jsonl")], options.threads)


def _towers(options: argparse.Namespace) -> None:
    _trained(options, "towers.jsonl", ["--set=memories={}"])


def _whole(options: argparse.Namespace) -> None:
    _trained(options, "whole.jsonl", ["--bundle", str(options.out / "bundle")])


def _trained(options: argparse.Namespace, out: str, more: list[str]) -> None:
    line = _own("quintet_whole", options, options.out / out)
    line += [str(options.sequences.absolute()), *more]
    if options.items:
        line += ["--items", str(options.items.absolute())]
    line += [f"--set={one}" for one in options.set]
    alone("quintet", line, options.threads, compared=False)


def _serve(options: argparse.Namespace) -> None:
    bundle = options.out / "bundle"
    if not bundle.exists():
        raise DataError(f"{bundle} is not there; measure the part `whole` first")
    line = _own("quintet_serve", options, options.out / "serve.jsonl")
    alone("quintet", [*line, str(bundle)], options.threads, compared=False)


def _scale(options: argparse.Namespace) -> None:
    told = {}
    for share in SHARES:
        wanted = ["--threads", str(options.threads), "--epochs", "5", "--share", str(share)]
        line = command("quintet", options.peers, options.sequences, wanted)
        told[str(share)] = alone("quintet", line, options.threads)
    write_json_atomic(options.out / "scale.json", told)


def _itemknn(options: argparse.Namespace) -> None:
    wanted = ["--threads", str(options.threads), "--out", str(options.out / "itemknn.jsonl")]
    line = command("itemknn", options.peers, options.sequences, wanted)
    alone("itemknn", line, options.threads)


def _roofline(options: argparse.Namespace) -> None:
    path = options.out / "epochs.json"
    if not path.exists():
        raise DataError(f"{path} is not there; measure the part `epochs` first")
    told = json.loads(path.read_text(encoding="utf-8"))
    seconds = {name: medians(lines)["seconds"] for name, lines in told.items()}
    data = Sequences.read(options.sequences)
    table = roofline(data, seconds, options.threads)
    write_json_atomic(options.out / "roofline.json", table)


def _own(module: str, options: argparse.Namespace, out: Path) -> list[str]:
    """A command line of ours; a file of lines from an earlier run is written anew."""
    line = [sys.executable, "-m", f"benchmarks.peers.{module}", "--out", str(out)]
    return [*line, "--threads", str(options.threads)]


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "epochs": _epochs,
    "tower": _tower,
    "towers": _towers,
    "whole": _whole,
    "serve": _serve,
    "scale": _scale,
    "itemknn": _itemknn,
    "roofline": _roofline,
}


def _shown(words: list[str]) -> str:
    """The command without the folders of this machine."""
    named = [Path(word).name if word.startswith(("/", str(ROOT))) else word for word in words]
    return " ".join(["python -m benchmarks.speed", *named])


def _show(console: Console, speed: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table(title="An epoch, median", title_justify="left")
    for heading in ("side", "seconds", "CPU seconds", "peak MB", "times quintet's (wall, CPU)"):
        table.add_column(heading, justify="left" if heading == "side" else "right")
    for name, row in speed.get("epochs", {}).items():
        times = speed["ratios"].get(name)
        shown = f"{times['seconds']:.1f}, {times['cpu_seconds']:.1f}" if times else ""
        figures = (f"{row['seconds']:.1f}", f"{row['cpu_seconds']:.1f}")
        table.add_row(name, *figures, f"{row['peak_memory_mb']:.0f}", shown)
    console.print(table)


if __name__ == "__main__":
    main()
