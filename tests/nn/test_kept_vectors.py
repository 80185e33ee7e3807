"""Vectors on disk: encoded once, by their own text, and made anew where the file is no good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from quintet.data.interactions import Floats
from quintet.nn.modalities.kept_vectors import KeptVectors

WIDTH = 3


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Encoder:
    """Length, first and last letter of a text; remembers what it was asked."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked: list[str] = []

    def __call__(self):
        self.opened += 1
        return self.encode

    def encode(self, texts: list[str]) -> Floats:
        self.asked += texts
        rows = [[len(text), ord(text[0]), ord(text[-1])] for text in texts]
        return np.array(rows, np.float64)


def expected(texts: list[str]) -> Floats:
    return Encoder().encode(texts).astype(np.float32)


def test_the_second_call_encodes_nothing(cache: Path) -> None:
    encoder, texts = Encoder(), ["lamp", "chair", "soap"]
    first = KeptVectors("tiny", WIDTH).vectors(texts, encoder)
    again = KeptVectors("tiny", WIDTH).vectors(texts, encoder)
    assert (encoder.opened, encoder.asked) == (1, texts)
    np.testing.assert_array_equal(first, expected(texts))
    np.testing.assert_array_equal(again, first)
    assert again.dtype == np.float32
    assert [path.name for path in cache.iterdir()] == ["tiny.safetensors"]


def test_only_new_texts_are_encoded_and_each_once() -> None:
    encoder, kept = Encoder(), KeptVectors("tiny", WIDTH)
    kept.vectors(["lamp", "soap"], encoder)
    texts = ["chair", "soap", "chair", "lamp", "brush", "soap"]
    np.testing.assert_array_equal(kept.vectors(texts, encoder), expected(texts))
    assert encoder.asked == ["lamp", "soap", "chair", "brush"]


@given(st.lists(st.lists(st.text(min_size=1, max_size=4), max_size=6), max_size=4))
def test_every_text_has_its_own_vector_whatever_the_calls(calls: list[list[str]]) -> None:
    kept, encoder = KeptVectors("random", WIDTH), Encoder()
    for texts in calls:
        got = kept.vectors(texts, encoder)
        assert got.shape == (len(texts), WIDTH)
        np.testing.assert_array_equal(got, expected(texts).reshape(-1, WIDTH))
    assert len(set(encoder.asked)) == len(encoder.asked)


def test_no_texts_need_no_encoder(cache: Path) -> None:
    encoder = Encoder()
    assert KeptVectors("tiny", WIDTH).vectors([], encoder).shape == (0, WIDTH)
    assert encoder.opened == 0
    assert not cache.exists()


def test_encoders_are_kept_apart() -> None:
    one, other = Encoder(), Encoder()
    KeptVectors("one", WIDTH).vectors(["lamp"], one)
    KeptVectors("other", WIDTH).vectors(["lamp"], other)
    assert (one.opened, other.opened) == (1, 1)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def nonsense(path: Path) -> None:
    path.write_bytes(b"no vectors here")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_another_width(path: Path) -> None:
    save_file({**load_file(path), "vectors": np.zeros((2, WIDTH + 1), np.float32)}, path)


def of_fewer_keys(path: Path) -> None:
    save_file({**load_file(path), "keys": np.zeros(1, np.uint64)}, path)


def without_keys(path: Path) -> None:
    save_file({"vectors": np.zeros((2, WIDTH), np.float32)}, path)


@pytest.mark.parametrize(
    "damage", [half, nonsense, empty, of_another_width, of_fewer_keys, without_keys]
)
def test_a_damaged_file_is_made_anew(damage) -> None:
    encoder, texts, kept = Encoder(), ["lamp", "chair"], KeptVectors("tiny", WIDTH)
    kept.vectors(texts, encoder)
    damage(kept.path)
    np.testing.assert_array_equal(kept.vectors(texts, encoder), expected(texts))
    np.testing.assert_array_equal(kept.vectors(texts, encoder), expected(texts))
    assert encoder.opened == 2, "made anew once, and whole again"


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path / "file"))
    texts = ["lamp", "chair"]
    got = KeptVectors("tiny", WIDTH).vectors(texts, Encoder())
    np.testing.assert_array_equal(got, expected(texts))
