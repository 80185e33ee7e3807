"""A first content encoder: it learns the items' first vectors, and of items with events alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from quintet.data.features import CategoryColumn, FeatureTable
from quintet.nn.content import ContentEncoder, Inputs
from quintet.train import align
from quintet.train.align import align_content
from quintet.train.prepare import prepared_inputs

N_ITEMS, WIDTH = 30, 6
KINDS = np.arange(N_ITEMS) % 3
CPU = torch.device("cpu")


def encoder_of() -> tuple[ContentEncoder, Inputs]:
    """An encoder that reads which of three kinds an item is, from its title."""
    torch.manual_seed(0)
    words = ["red lamp", "blue chair", "green soap"]
    items = FeatureTable(N_ITEMS, texts={"title": [words[kind] for kind in KINDS]})
    encoder = ContentEncoder.fitted(items, WIDTH)
    assert encoder is not None
    inputs = prepared_inputs(encoder, items, CPU)
    assert inputs is not None
    return encoder, inputs


def vectors(seed: int = 0) -> np.ndarray:
    """[I, D] a vector a kind, with a little noise."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((3, WIDTH))
    return (centre[KINDS] + 0.1 * rng.standard_normal((N_ITEMS, WIDTH))).astype(np.float32)


def test_what_it_learns_is_better_than_the_mean() -> None:
    encoder, inputs = encoder_of()
    start_ID, count_I = vectors(), np.ones(N_ITEMS, np.float32)
    loss = align_content(encoder, inputs, start_ID, count_I)
    target_ID = start_ID / start_ID.std()
    of_the_mean = float(np.square(target_ID - target_ID.mean(0)).mean())
    assert loss < 0.3 * of_the_mean
    with torch.no_grad():
        learned_ID = encoder.eval()(inputs).numpy() / align.SCALE
    assert np.square(learned_ID - target_ID).mean() < 0.1 * of_the_mean


def test_the_scale_of_the_first_vectors_does_not_matter() -> None:
    found = []
    for scale in (1.0, 64.0):
        encoder, inputs = encoder_of()
        torch.manual_seed(1)
        align_content(encoder, inputs, vectors() * np.float32(scale), np.ones(N_ITEMS, np.float32))
        found.append(encoder.project.weight.detach())
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("silent", ["without events", "without a vector"])
def test_items_that_teach_nothing_do_not_matter(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(align, "STEPS", 5)
    out = np.arange(N_ITEMS) % 5 == 4
    count_I = np.where(out & (silent == "without events"), 0, 3).astype(np.float32)
    start_ID = vectors()
    start_ID[out] = 0
    found = []
    for moved in (False, True):
        encoder, inputs = encoder_of()
        own = copy.deepcopy(inputs)
        if moved:
            own["text"]["vector"][torch.from_numpy(out)] = 9.0
        torch.manual_seed(1)
        align_content(encoder, own, start_ID, count_I)
        found.append(encoder.state_dict())
    for name, value in found[0].items():
        assert torch.equal(found[1][name], value), name


def test_items_with_more_events_count_more() -> None:
    """One kind, two vectors: what is learned stands where the weights balance, at √9 : √1."""
    kind = CategoryColumn(np.arange(41), np.zeros(40, np.int64), ["lamp"])
    items = FeatureTable(40, categories={"kind": kind})
    encoder = ContentEncoder.fitted(items, 1)
    assert encoder is not None
    inputs = encoder.prepare(items)
    start_ID, count_I = np.ones((40, 1), np.float32), np.full(40, 9, np.float32)
    start_ID[20:], count_I[20:] = -1, 1
    align_content(encoder, inputs, start_ID, count_I)
    with torch.no_grad():
        learned = float(encoder.eval()(inputs)[0]) / align.SCALE
    # target ±1 (their deviation is 1), weights 3 : 1, mean (3 - 1) / 4; drawn, so roughly
    assert learned == pytest.approx(0.5, abs=0.2)
