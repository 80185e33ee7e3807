"""Every Python block of the README, the architecture and the guides runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "architecture.md",
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def script_of(page: Path) -> str:
    """The page's blocks as one script that keeps the page's line numbers."""
    text = page.read_text(encoding="utf8")
    script, line = [], 1
    for block in BLOCK.finditer(text):
        start = text.count("\n", 0, block.start(1)) + 1
        script.append("\n" * (start - line) + block[1])
        line = start + block[1].count("\n")
    return "".join(script)


WITH_CODE = [page for page in PAGES if script_of(page)]


def test_blocks_keep_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n```python\nx = 1\n```\n\n```text\nno\n```\n```python\nraise E\n```\n")
    assert script_of(page).split("\n") == ["", "", "x = 1", "", "", "", "", "", "", "raise E", ""]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_pages_code_runs(page: Path, tmp_path: Path) -> None:
    script = tmp_path / f"{page.stem}.py"
    script.write_text(script_of(page), encoding="utf8")
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},  # this tree's code
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    name = page.relative_to(ROOT)
    assert done.returncode == 0, f"{name}, line numbers are the page's:\n{done.stderr[-3000:]}"


PAGES_WITH_LINKS = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES_WITH_LINKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text(encoding="utf8")) if ":" not in link]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
