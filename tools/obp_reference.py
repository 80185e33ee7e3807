"""Write what the obp package (Open Bandit Pipeline) makes of a small synthetic log.

    python3.10 -m venv obp && obp/bin/pip install obp==0.5.7
    obp/bin/python tools/obp_reference.py tests/metrics/obp_reference.json

obp needs Python below 3.11, so this runs in an environment of its own and imports nothing of
quintet; the tests compare quintet's estimates with the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from obp import __version__ as obp_version
from obp import ope

ROUNDS, ACTIONS, SLATES, PLACES, GRAIN = 60, 5, 25, 3, 200
CLIP, THRESHOLD = 1.5, 1.2


def main(path: Path) -> None:
    """Draw a log, ask obp, write both."""
    rng = np.random.default_rng(20240521)
    log, slates = draw_log(rng), draw_slates(rng)
    content = {
        "made_by": f"obp {obp_version}, numpy {np.__version__}",
        "clip": CLIP,
        "threshold": THRESHOLD,
        "log": {name: values.tolist() for name, values in log.items()},
        "slates": {name: values.tolist() for name, values in slates.items()},
        "values": {**values_of(log), **slate_values(slates)},
    }
    path.write_text(json.dumps(content) + "\n", encoding="utf8")


def draw_log(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rounds whose probabilities are whole two-hundredths, so that rows sum to 1 as written."""
    logging = some_policy(rng, 1.5)
    policy = some_policy(rng, 0.7)
    action = np.array([rng.choice(ACTIONS, p=row) for row in logging])
    truth = rng.beta(2, 3, size=(ROUNDS, ACTIONS))
    reward = (rng.random(ROUNDS) < truth[np.arange(ROUNDS), action]).astype(int)
    predicted = np.round(np.clip(truth + rng.normal(0, 0.15, truth.shape), 0, 1), 3)
    return {
        "action": action,
        "reward": reward,
        "logging": logging,
        "policy": policy,
        "predicted": predicted,
    }


def some_policy(rng: np.random.Generator, concentration: float) -> np.ndarray:
    """[ROUNDS, ACTIONS] probabilities, none of them 0."""
    rows = rng.dirichlet(np.full(ACTIONS, concentration), size=ROUNDS)
    counts = [rng.multinomial(GRAIN - ACTIONS, row) + 1 for row in rows]
    return np.array(counts) / GRAIN


def draw_slates(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Marginal probabilities of what was shown at each place of each slate."""
    size = SLATES * PLACES
    return {
        "slate": np.repeat(np.arange(SLATES), PLACES),
        "position": np.tile(np.arange(PLACES), SLATES),
        "reward": rng.integers(0, 2, size),
        "propensity": rng.integers(10, 120, size) / GRAIN,
        "target": rng.integers(0, 120, size) / GRAIN,
    }


def values_of(log: dict[str, np.ndarray]) -> dict[str, float]:
    """Each estimator's value of the log."""
    rounds = np.arange(ROUNDS)
    asked: dict[str, Any] = {
        "reward": log["reward"],
        "action": log["action"],
        "pscore": log["logging"][rounds, log["action"]],
        "action_dist": log["policy"][:, :, None],
        "position": np.zeros(ROUNDS, dtype=int),
    }
    model = {"estimated_rewards_by_reg_model": log["predicted"][:, :, None]}
    plain = {
        "ips": ope.InverseProbabilityWeighting(),
        "ips clipped": ope.InverseProbabilityWeighting(lambda_=CLIP),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting(),
    }
    modelled = {
        "direct method": ope.DirectMethod(),
        "doubly robust": ope.DoublyRobust(),
        "doubly robust clipped": ope.DoublyRobust(lambda_=CLIP),
        "switch-dr": ope.SwitchDoublyRobust(lambda_=THRESHOLD),
    }
    values = {name: each.estimate_policy_value(**asked) for name, each in plain.items()}
    for name, each in modelled.items():
        values[name] = each.estimate_policy_value(**asked, **model)
    return {name: float(value) for name, value in values.items()}


def slate_values(slates: dict[str, np.ndarray]) -> dict[str, float]:
    """The item-position model; its self-normalised form as SNIPS of each place, summed."""
    independent = ope.SlateIndependentIPS(len_list=PLACES).estimate_policy_value(
        slate_id=slates["slate"],
        reward=slates["reward"],
        position=slates["position"],
        pscore_item_position=slates["propensity"],
        evaluation_policy_pscore_item_position=slates["target"],
    )
    normalised = 0.0
    for place in range(PLACES):
        at = slates["position"] == place
        target = slates["target"][at]
        normalised += ope.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(
            reward=slates["reward"][at],
            action=np.zeros(at.sum(), dtype=int),
            pscore=slates["propensity"][at],
            action_dist=np.stack([target, 1 - target], axis=1)[:, :, None],
        )
    return {"item-position": float(independent), "item-position normalised": float(normalised)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
