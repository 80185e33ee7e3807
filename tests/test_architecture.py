"""Arrows point down only: the contracts of .importlinter hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
CONTRACTS = ROOT / ".importlinter"


def holds(config: Path, *contracts: str) -> bool:
    status = lint_imports(
        config_filename=str(config), limit_to_contracts=contracts, no_cache=True, no_logo=True
    )
    return status == 0


def test_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    kept = holds(CONTRACTS)
    assert kept, capsys.readouterr().out


def test_an_arrow_that_points_up_is_noticed(tmp_path: Path) -> None:
    contracts = CONTRACTS.read_text(encoding="utf8")
    swapped = contracts.replace("    quintet.serve\n    quintet.bundle", "    quintet.bundle", 1)
    swapped = swapped.replace(
        "    quintet.errors\n\n", "    quintet.errors\n    quintet.serve\n\n", 1
    )
    assert swapped != contracts
    (tmp_path / "contracts").write_text(swapped, encoding="utf8")
    assert not holds(tmp_path / "contracts", "layers")
