"""Fine-tuning: what moves in each mode, and what the guard keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quintet.config import build
from quintet.data.split import Part, few_labels, leave_one_out
from quintet.errors import DataError
from quintet.serve.trained import Trained
from quintet.train.finetune import (
    FinetuneConfig,
    finetune,
    guarded,
    held_out_values,
    judged,
    reached_after,
)
from quintet.train.loop import Outcome
from quintet.train.pipeline import Fitted
from quintet.train.pretrain import pretrain
from quintet.train.pretrained import Pretrained

from .test_pretrain import config as pretraining
from .test_pretrain import domain

CONFIG = build(
    FinetuneConfig,
    {
        "train": {
            "model": {"width": 16, "towers": ["content"], "off": ["profile", "strategy"]},
            "loop": {"epochs": 2, "tokens_per_batch": 200, "validate_every": 1},
            "memories": {"transitions": {}, "content_neighbours": {}},
        },
        "rank": 2,
    },
)
TARGET = domain("t", 3, kind=["x", "y"] * 15)
SPLIT = leave_one_out(TARGET.events)


@pytest.fixture(scope="module")
def start() -> Pretrained:
    return pretrain([domain("a"), domain("b", 1)], pretraining())


def tower_weights(fitted: Fitted) -> dict[str, torch.Tensor]:
    return fitted.trained.model.towers["content"].state_dict()


def moved(fitted: Fitted, start: Pretrained) -> set[str]:
    """Weights of the pre-trained parts that are not what they were."""
    own = fitted.trained.model
    pairs = [
        (own.towers["content"].state_dict(), start.tower.state_dict()),
        (own.item_encoder.state_dict(), start.encoder.state_dict()),
    ]
    return {
        name
        for mine, theirs in pairs
        for name, weight in theirs.items()
        if not name.startswith(("embedder.scenario", "embedder.level", "embedder.edges"))
        and not torch.equal(mine[name], weight)
    }


def test_frozen_moves_nothing_of_what_was_pretrained(start: Pretrained) -> None:
    fitted = finetune(start, TARGET, SPLIT, CONFIG, "frozen")
    assert moved(fitted, start) == set()
    assert list(fitted.trained.model.item_encoder.modalities) == ["text"]
    assert fitted.trained.model.config.width == start.config.width


def test_an_adapter_moves_matrices_by_its_rank_and_is_gone(start: Pretrained, tmp_path) -> None:
    fitted = finetune(start, TARGET, SPLIT, CONFIG, "adapter")
    name = "backbone.blocks.0.query_key_value.weight"
    change = tower_weights(fitted)[name] - start.tower.state_dict()[name]
    assert int(torch.linalg.matrix_rank(change, rtol=1e-3)) == CONFIG.rank
    assert "backbone.norm.weight" not in moved(fitted, start)
    assert list(fitted.trained.model.item_encoder.modalities) == ["text", "category"]
    histories = TARGET.events.users([0, 1])
    before = fitted.trained.scorer.scores(histories)
    fitted.trained.save(tmp_path / "bundle")
    again = Trained.load(tmp_path / "bundle")
    np.testing.assert_allclose(again.scorer.scores(histories), before, atol=1e-5)


def test_full_moves_everything_and_scratch_takes_nothing(start: Pretrained) -> None:
    full = moved(finetune(start, TARGET, SPLIT, CONFIG, "full"), start)
    assert {"backbone.norm.weight", "project.weight", "start_2D"} <= full
    scratch = finetune(start, TARGET, SPLIT, CONFIG, "scratch")
    assert scratch.trained.model.config.width == 16
    assert scratch.trained.run["finetuned"]["mode"] == "scratch"


def test_a_catalogue_without_text_cannot_be_read(start: Pretrained) -> None:
    from dataclasses import replace

    bare = replace(TARGET, item_table=TARGET.item_table.drop_columns(["title"]))
    with pytest.raises(DataError, match="reads text, and this catalogue has nothing"):
        finetune(start, bare, SPLIT, CONFIG, "full")


# ---------------------------------------------------------------- the guard


def fitted_with(seconds: float, *validation: float) -> Fitted:
    points = [[epoch, value] for epoch, value in enumerate(validation, 1)]
    losses = [[epoch, 1.0] for epoch, _ in enumerate(validation, 1)]
    return Fitted(
        None, Outcome({"loss": losses, "validation": points}, max(validation), 1, seconds)
    )


def verdict_on(scratch: list[float], full: list[float], *, certain: bool = False):
    values = {"scratch": np.array(scratch, np.float32), "full": np.array(full, np.float32)}
    trained = {"scratch": fitted_with(8.0, 0.1, 0.2), "full": fitted_with(4.0, 0.2, 0.3)}
    return judged(values, trained, {"scratch": 9.0, "full": 5.0}, certain=certain)


def test_a_gain_is_kept_and_said_with_its_interval() -> None:
    verdict = verdict_on([0.0, 0.5] * 20, [0.2, 0.7] * 20)
    assert verdict.kept == "full"
    assert verdict.message.startswith("full gains +80.0% [")
    assert "chance" not in verdict.message
    assert verdict.modes["full"]["gain"]["difference"] == pytest.approx(0.2)
    assert verdict.modes["full"]["seconds to scratch's best"] == 2.0
    assert verdict.targets == 40


def test_a_loss_falls_back_to_scratch_with_a_clear_message() -> None:
    verdict = verdict_on([0.5, 1.0] * 20, [0.4, 0.9] * 20)
    assert verdict.kept == "scratch"
    assert verdict.message == (
        "transfer hurts here (full -13.3% against scratch): trained from scratch instead"
    )


def test_a_gain_that_may_be_chance_is_said_or_refused() -> None:
    scratch, full = [0.0, 1.0, 0.0, 1.0], [1.0, 0.5, 0.0, 1.0]
    assert "may be chance" in verdict_on(scratch, full).message
    refused = verdict_on(scratch, full, certain=True)
    assert refused.kept == "scratch"
    assert "is not certain: trained from scratch instead" in refused.message


def test_the_time_to_a_quality_is_read_off_the_curve() -> None:
    fitted = fitted_with(10.0, 0.1, 0.3, 0.2, 0.4, 0.4)
    assert reached_after(fitted, 0.3) == 4.0
    assert reached_after(fitted, 0.5) is None


def test_the_guard_trains_every_mode_and_gives_the_best(start: Pretrained) -> None:
    found = guarded(start, TARGET, SPLIT, CONFIG, ["full"])
    assert set(found.trained) == {"scratch", "full"}
    assert found.fitted is found.trained[found.verdict.kept]
    best = max(own["ndcg@10"]["mean"] for own in found.verdict.modes.values())
    assert found.verdict.modes[found.verdict.kept]["ndcg@10"]["mean"] == best
    assert found.fitted.trained.run["guard"]["message"] == found.verdict.message


def test_held_out_values_need_targets(start: Pretrained) -> None:
    fitted = finetune(start, TARGET, SPLIT, CONFIG, "frozen")
    value_N = held_out_values(fitted, SPLIT, CONFIG.train)
    assert ((value_N >= 0) & (value_N <= 1)).all()
    assert value_N.max() > 0
    part = np.where(SPLIT.part == Part.VALID, np.int8(Part.HISTORY), SPLIT.part)
    from dataclasses import replace

    with pytest.raises(DataError, match=r"0 validation target\(s\)"):
        held_out_values(fitted, replace(SPLIT, part=part), CONFIG.train)


def test_few_labels_leave_the_test_and_everyones_history() -> None:
    few = few_labels(SPLIT, 0.2, seed=1)
    assert np.array_equal(few.part == Part.TEST, SPLIT.part == Part.TEST)
    labelled = few.train.lengths > 0
    assert labelled.sum() == 12
    assert np.array_equal(few.valid.lengths > 0, labelled)
    everyone = few.test_histories()
    assert np.array_equal(everyone.item, SPLIT.test_histories().item)
    other = few_labels(SPLIT, 0.2, seed=2).train.lengths > 0
    assert not np.array_equal(labelled, other)


def test_only_what_texts_taught_is_taken_over(tmp_path) -> None:
    """A category's code means another category elsewhere: such columns are fitted anew."""
    first = domain("f", 5, kind=["A", "B", "C"] * 10)
    other = domain("o", 6, kind=["C", "B", "A", "Z", "Y"] * 6)
    made = finetune(pretrain([first], pretraining()), first, leave_one_out(first.events), CONFIG)
    start = Pretrained.of(made.trained)
    assert set(start.encoder.modalities) == {"category", "text"}
    train = CONFIG.train.model_copy(
        update={
            "model": CONFIG.train.model.model_copy(
                update={"modality_settings": {"category": {}}, "modality_dropout": 0.3}
            )
        }
    )
    config = CONFIG.model_copy(update={"train": train})
    fitted = finetune(start, other, leave_one_out(other.events), config, "full")
    encoder = fitted.trained.model.item_encoder
    assert set(encoder.modalities) == {"category", "text"}
    assert encoder.withheld == 0.3
    again = Trained.load(fitted.trained.save(tmp_path / "bundle"))
    np.testing.assert_array_equal(
        again.scorer.scores(again.events), fitted.trained.scorer.scores(fitted.trained.events)
    )
    bare = domain("n", 7)
    assert finetune(start, bare, leave_one_out(bare.events), CONFIG, "frozen")


def test_the_bundle_knows_the_settings_that_it_was_trained_with(start: Pretrained) -> None:
    fitted = finetune(start, TARGET, SPLIT, CONFIG, "frozen")
    loop = fitted.trained.run["config"]["loop"]
    assert loop["tokens_per_batch"] == 200
    assert loop["epochs"] == 2
