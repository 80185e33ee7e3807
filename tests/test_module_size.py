"""The house rule: no module above 400 lines."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST = 400


def test_no_module_is_longer_than_the_house_rule() -> None:
    folders = [ROOT / name for name in ("quintet", "tests", "benchmarks")]
    modules = [path for folder in folders for path in folder.rglob("*.py")]
    assert modules
    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in modules
        if (lines := len(path.read_text(encoding="utf8").splitlines())) > LONGEST
    }
    assert not too_long
