"""Every example runs as it stands, and prints what it promises."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
#: what must stand in the output of each
PROMISED = {
    "ecommerce": ["bought together with", "baskets", "the next basket", "not bought again"],
    "content_feed": ["is about to", "something to watch", "chance here"],
    "video": ["up next for", "a stranger has watched", "cosine"],
    "news": ["hot this week", "fresh for", "subscribed"],
    "search": ["by its words alone", "for a stranger", "sponsored"],
    "courses": ["after Numbers with Python\n  1 Statistics", "somebody new: "],
    "people": ["may know", "want to follow", "may join"],
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples keep the model that they share."""
    return tmp_path_factory.mktemp("examples") / "bundle"


def test_every_example_is_tried() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names - {"marketplace"} == set(PROMISED)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMISED)
def test_the_example_prints_what_it_promises(name, bundle, monkeypatch, capsys) -> None:
    monkeypatch.setenv("QUINTET_EXAMPLES", str(bundle))
    monkeypatch.syspath_prepend(EXAMPLES)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for words in PROMISED[name]:
        assert words in printed, printed
