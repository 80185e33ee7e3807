from pathlib import Path

import pytest

from tests.web.running import Running


@pytest.fixture(scope="session")
def bundle(fitted, tmp_path_factory) -> Path:
    """The shared small model, saved. Change nothing of it."""
    return fitted.save(tmp_path_factory.mktemp("shelf") / "bundle")


@pytest.fixture(scope="module")
def running(bundle, tmp_path_factory):
    """A server of :func:`bundle` for one test file."""
    with Running(bundle, tmp_path_factory.mktemp("state")) as server:
        yield server
