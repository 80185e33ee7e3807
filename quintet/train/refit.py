"""Refit: learn from the validation events too, with everything that was chosen on them kept.

Gates, calibration and the number of epochs were chosen on the validation events and stay. *Counts*
counts the memories and the popularity again on training and validation events. *Full* continues the
training of the towers and tasks on them too, for a few epochs at a lower rate, from the weights
that were chosen. Evidence is free of scale, so that the gates still hold. Attributes are read as
they were in training: a category that got another number would get another's weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from quintet.allocator import handing_back
from quintet.data.encode import Encoded
from quintet.data.split import Part, Split
from quintet.nn.model import QuintetModel
from quintet.serve.trained import Trained
from quintet.train.loop import OnStep, Trainer
from quintet.train.pipeline import Fitted, TrainConfig, counted_anew
from quintet.train.prepare import EntityInputs, TrainingTables, prepared_orders, recounted

Scope = Literal["counts", "full"]


def refit(
    fitted: Fitted,
    encoded: Encoded,
    split: Split,
    config: TrainConfig,
    scope: Scope = "full",
    *,
    on_step: OnStep | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Fitted:
    """A model that has learned from the validation events as well; ``fitted`` stays as it is.

    Args:
        fitted: trained on ``split`` with ``config``.
        encoded: the data set of that training.
        split: the split of that training; its test events stay unseen.
        config: the settings of that training.
        scope: what is learned again.
        on_step: called after every training step.
        on_stage: called with the name of each stage as it starts.
    """
    say = handing_back(on_stage)
    started = time.perf_counter()
    trained = fitted.trained
    tables = _tables(trained, encoded, with_validation(split))
    changes: dict[str, Any] = {}
    if scope == "full":
        say("training on the validation events too")
        evidence = trained.scorer.evidence
        inputs = EntityInputs(evidence.item_inputs, evidence.user_inputs)
        changes["model"] = _continued(trained.model, tables, inputs, config, on_step)
    say("counting memories again")
    changes["memories"] = counted_anew(trained.memories, tables)
    changes["count_I"] = tables.events.item_counts().astype(np.float32)
    seconds = dict(trained.run["seconds"]) | {"refit": time.perf_counter() - started}
    changes["run"] = trained.run | {"refit": scope, "seconds": seconds}
    return Fitted(replace(trained, **changes), fitted.outcome)


def with_validation(split: Split) -> Split:
    """The same events with those of the validation among the training events.

    Of a user who was held out whole, what stood as mere history before the targets is learned too.
    """
    events, part = split.events, split.part.copy()
    held_out_U = np.bincount(events.group()[part == Part.VALID], minlength=events.n_users) > 0
    was_history = (part == Part.HISTORY) & held_out_U[events.group()]
    part[(part == Part.VALID) | was_history] = Part.TRAIN
    return replace(split, part=part)


def _tables(trained: Trained, encoded: Encoded, known: Split) -> TrainingTables:
    return TrainingTables(
        events=known.train,
        items=trained.item_features,
        users=trained.user_features,
        behaviours=encoded.behaviours,
        scenarios=encoded.scenarios,
        schema=encoded.schema,
        devices=encoded.devices,
        friends=encoded.friends,
    )


def _continued(
    learned: QuintetModel,
    tables: TrainingTables,
    inputs: EntityInputs,
    config: TrainConfig,
    on_step: OnStep | None,
) -> QuintetModel:
    """The network trained on from the learned weights."""
    model = recounted(learned, tables)
    device = model.bias_I.device
    orders = prepared_orders(tables, model, device, config.loop.tie_orders, config.seed, inputs)
    loop = config.loop.model_copy(
        update={
            "epochs": config.refit_epochs,
            "learning_rate": config.loop.learning_rate * config.refit_rate,
        }
    )
    Trainer(model, orders, loop, config.seed + 1, on_step=on_step).run()
    return model
