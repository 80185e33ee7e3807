from pathlib import Path

import pytest

from tests.cli.running import SMALL, TINY, done


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[Path, dict]:
    """A bundle of the small marketplace, and the summary that the training printed."""
    bundle = tmp_path_factory.mktemp("cli") / "bundle"
    run = done("train", "market", *SMALL, *TINY, "--out", bundle, "--format", "json")
    return bundle, run.json


@pytest.fixture(scope="session")
def bundle(trained) -> Path:
    return trained[0]
