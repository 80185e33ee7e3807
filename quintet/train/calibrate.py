"""What is fitted on held-out users' events so that probabilities mean what they say."""

from __future__ import annotations

import numpy as np
import torch

from quintet.data.interactions import Ints
from quintet.data.split import Part, Split
from quintet.data.states import Moments
from quintet.nn.calibration import FEWEST_EVENTS, Calibration, fit_calibration
from quintet.nn.fusion import Fusion
from quintet.nn.tasks.interaction import Interaction
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer, scenarios_of


def fitted_calibration(
    evidence: EvidenceBuilder, fusion: Fusion, split: Split, rows: Ints
) -> Calibration:
    """Calibration of the interaction task on held-out events of users kept apart for it.

    What follows within the horizon is looked up among events before the test only.
    """
    known_E = split.part != Part.TEST
    rows = (np.cumsum(known_E) - 1)[rows]
    events = split.events.select(known_E)
    shape = evidence.model.shape
    calibration = Calibration(shape.rules, shape.n_levels, len(shape.scenarios))
    calibration = calibration.to(evidence.device)
    if "interaction" not in evidence.model.tasks or len(rows) == 0:
        return calibration
    task = evidence.model.task("interaction")
    assert isinstance(task, Interaction)
    rows = rows[task.rules.targets(events)[rows]]
    moments = Moments.before(events, rows)
    scores = Scorer(evidence, fusion, calibration).pair_scores(moments, events.item[rows])
    fit_calibration(
        calibration,
        scores,
        torch.from_numpy(task.level(events)[rows]).to(evidence.device),
        torch.from_numpy(task.reached(events)[rows]).to(evidence.device),
        torch.from_numpy(scenarios_of(moments)).to(evidence.device),
    )
    return calibration


@torch.no_grad()
def calibrate_strategy(evidence: EvidenceBuilder, split: Split, rows: Ints) -> None:
    """Fit what the strategy task says later than it learned, in place, on held-out events.

    Those that gates were fitted on will do too: gates read nothing of it. With too few of them
    nothing is changed.
    """
    if "strategy" not in evidence.model.tasks:
        return
    task = evidence.model.task("strategy")
    assert isinstance(task, Strategy)
    label_E = task.labeller.label(split.events, in_training=False)
    rows = rows[label_E[rows] >= 0]
    if len(rows) < FEWEST_EVENTS:
        return
    moments = Moments.before(split.events, rows)
    states = evidence.states(moments, ["strategy"])
    features = evidence.task_features("strategy", moments)
    label_N = torch.from_numpy(label_E[rows]).to(evidence.device)
    with torch.enable_grad():
        task.calibrate(states.of("strategy"), features, label_N)
