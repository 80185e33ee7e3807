"""The adapter to transformers: what it asks for, what it leaves out, and how it refuses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch

from quintet.errors import ConfigError
from quintet.nn.backbones.hugging_face import HuggingFace

needs_hf = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs quintet[hf]"
)


def adapter(**settings: object) -> HuggingFace:
    torch.manual_seed(0)
    return HuggingFace(8, 12, HuggingFace.Config.model_validate(settings)).eval()


@needs_hf
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "distilbert", "gemma2", "qwen2"])
def test_no_word_embeddings_and_no_pooler_stay(family: str) -> None:
    names = [name for name, _ in adapter(family=family).named_parameters()]
    assert names
    assert not any("word_embeddings" in n or "embed_tokens" in n or "pooler" in n for n in names)
    assert "model.wte.weight" not in names


@needs_hf
def test_a_hidden_width_of_its_own_is_projected() -> None:
    network = adapter(family="qwen3", hidden=32, heads=4)
    assert network.model.config.hidden_size == 32
    states = network(torch.randn(2, 5, 8), torch.tensor([5, 3]), torch.zeros(2, 5).long())
    assert states.shape == (2, 5, 8)


@needs_hf
def test_any_field_of_the_family_can_be_set() -> None:
    network = adapter(family="llama", settings={"rms_norm_eps": 0.25, "num_key_value_heads": 1})
    assert network.model.config.rms_norm_eps == 0.25
    assert network.model.config.num_key_value_heads == 1
    assert network.model.layers[0].self_attn.k_proj.weight.shape == (4, 8)


@needs_hf
def test_an_encoder_made_a_decoder_looks_back_only() -> None:
    assert not adapter(family="bert").causal
    assert adapter(family="bert", settings={"is_decoder": True}).causal
    assert adapter(family="bert", states_a_window=2).states_a_window == 2
    assert adapter(family="llama", states_a_window=2).states_a_window is None


@needs_hf
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "no such"}, "transformers knows no 'no such'"),
        ({"settings": {"nonsense": 1}}, "llama has no field 'nonsense'"),
        ({"family": "bert", "heads": 3}, "bert refuses them"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        adapter(**settings)


BLOCKED = """
import sys
sys.modules["transformers"] = None
from quintet.nn.backbones.base import BACKBONES
try:
    BACKBONES.get("hugging_face")(8, 12)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_the_extra_the_message_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "MissingExtraError the backbone 'hugging_face' needs an optional dependency: "
        "pip install 'quintet[hf]'\n"
    )
