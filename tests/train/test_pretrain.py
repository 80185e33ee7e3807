"""Pre-training: over several domains, kept as a bundle, and refused where it cannot bridge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from quintet.config import build
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.features import FeatureTable
from quintet.data.frames import Catalogue, EventLog
from quintet.errors import BundleError, ConfigError, CorruptBundleError, DataError
from quintet.serve.trained import Trained
from quintet.train.pretrain import PretrainConfig, pretrain, stacked_texts
from quintet.train.pretrained import Pretrained

WORDS = ["red", "blue", "green", "lamp", "chair", "soap", "brush", "table"]


def domain(name: str, seed: int = 0, n_items: int = 30, **columns: Any) -> Encoded:
    """People who stay with one colour; items are told apart by their titles alone."""
    rng = np.random.default_rng(seed)
    colour_I = rng.integers(0, 3, n_items)
    titles = [f"{WORDS[c]} {WORDS[3 + rng.integers(5)]} {i}" for i, c in enumerate(colour_I)]
    rows = []
    for user in range(60):
        own = np.flatnonzero(colour_I == user % 3)
        for time, item in enumerate(rng.choice(own, 8)):
            rows.append((f"u{user}", f"{name}{item}", time))
    names = ("user_id", "item_id", "timestamp")
    log = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    items = {"item_id": [f"{name}{i}" for i in range(n_items)], "title": titles}
    catalogue = Catalogue.read(pa.table(items | columns))
    return encode(join(EventLog.read(log), catalogue, name=name))


def config(**changes: Any) -> PretrainConfig:
    values: dict[str, Any] = {
        "model": {"width": 8, "longest": 10, "backbone_settings": {"layers": 1, "dropout": 0.0}},
        "loop": {"epochs": 4, "tokens_per_batch": 200, "validate_every": 1, "learning_rate": 0.01},
    }
    return build(PretrainConfig, values | changes)


@pytest.fixture(scope="module")
def made() -> Pretrained:
    return pretrain([domain("a"), domain("b", 1)], config())


def test_all_objectives_get_better_on_people_kept_out(made: Pretrained) -> None:
    assert set(made.run["curves"]) == {
        "held-out alignment",
        "held-out causal",
        "held-out contrast",
    }
    points = made.run["curves"]["held-out causal"]
    assert points[-1][1] < points[0][1] < np.log(30) + 0.5


def test_the_same_seed_gives_the_same_weights() -> None:
    domains = [domain("a")]
    short = config(objectives={"causal": {}})
    one, two = (pretrain(domains, short).tower.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_bundle_gives_back_the_same_vectors_and_states(made: Pretrained, tmp_path) -> None:
    made.save(tmp_path / "start")
    again = Pretrained.load(tmp_path / "start")
    table = stacked_texts([])
    assert again.config == made.config
    assert again.behaviours == made.behaviours
    assert again.run == made.run
    for part in ("encoder", "tower", "content_bias"):
        one, two = getattr(made, part).state_dict(), getattr(again, part).state_dict()
        assert list(one) == list(two)
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert table.n_rows == 0


def test_a_bundle_that_was_pretrained_answers_nothing(made: Pretrained, tmp_path) -> None:
    made.save(tmp_path / "start")
    with pytest.raises(BundleError, match="quintet finetune"):
        Trained.load(tmp_path / "start")
    (tmp_path / "start" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CorruptBundleError, match=r"weights\.safetensors"):
        Pretrained.load(tmp_path / "start")


def test_a_model_without_content_has_nothing_to_carry(recommender) -> None:
    assert list(Pretrained.of(recommender.trained).encoder.modalities)
    model = recommender.trained.model
    towers = model.towers
    try:
        model.towers = torch.nn.ModuleDict({"identity": towers["identity"]})
        with pytest.raises(BundleError, match="no content tower"):
            Pretrained.of(recommender.trained)
    finally:
        model.towers = towers


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="at least one data set"):
        pretrain([])
    with pytest.raises(ConfigError, match="unknown objective 'next'"):
        pretrain([domain("a")], config(objectives={"next": {}}))
    with pytest.raises(ConfigError, match="--backbone bidirectional"):
        pretrain([domain("a")], config(objectives={"masked": {}}))
    with pytest.raises(ConfigError, match="'category' does not mean the same"):
        pretrain([domain("a")], config(modalities=("category",)))


def test_a_catalogue_without_text_is_no_bridge() -> None:
    log = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1, 2]})
    bare = encode(join(EventLog.read(log), name="bare"))
    with pytest.raises(DataError, match="data set 'bare': its catalogue has no text"):
        pretrain([domain("a"), bare], config())


def test_masked_events_are_learned_by_a_backbone_that_looks_both_ways() -> None:
    settings = {"layers": 1, "dropout": 0.0}
    model = {"width": 8, "longest": 10, "backbone": "bidirectional", "backbone_settings": settings}
    made = pretrain([domain("a")], config(model=model, objectives={"masked": {}}))
    points = made.run["curves"]["held-out masked"]
    assert points[-1][1] < points[0][1]


def test_columns_of_texts_keep_their_order() -> None:
    """An encoder of sentences reads the first, so that its statistics must be of the same."""
    table = FeatureTable(1, texts={"title": ["lamp"], "description": ["a long story"]})
    assert list(stacked_texts([table, table]).texts) == ["title", "description"]
