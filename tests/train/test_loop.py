"""How long a training goes on, and at what rate it ends."""

from __future__ import annotations

import pytest

from quintet.train.loop import LoopConfig, learning_rate, passes

from .resume_run import trainer


@pytest.mark.parametrize(
    ("most", "steps_each", "expected"),
    [(2400, 97, 16), (2400, 388, 6), (2400, 10_000, 1), (2400, 1500, 2), (None, 10_000, 16)],
)
def test_a_long_log_is_passed_over_fewer_times(most, steps_each, expected) -> None:
    assert passes(LoopConfig(epochs=16, most_steps=most), steps_each) == expected


def test_nothing_is_learned_in_no_pass() -> None:
    assert passes(LoopConfig(epochs=0), 10) == 0


def test_the_rate_has_fallen_when_the_steps_are_over() -> None:
    told: list[tuple[int, int]] = []
    run = trainer(None, on_step=lambda step, total, _: told.append((step, total)))
    each = sum(1 for _ in run._batches(0))
    run.config = run.config.model_copy(update={"most_steps": 3 * each - 1})
    outcome = run.run()
    assert told[-1] == (3 * each, 3 * each)
    assert [epoch for epoch, _ in outcome.curves["loss"]] == [1, 2, 3]
    last = learning_rate(run.config, 3 * each - 1, 3 * each)
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(last)
    assert last < 0.2 * run.config.learning_rate
