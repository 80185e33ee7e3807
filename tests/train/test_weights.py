"""What a behaviour's weight does to a trained ranking, on a log with a known right answer."""

from __future__ import annotations

import numpy as np
import pytest

from quintet import Quintet
from quintet.data.dataset import join
from quintet.data.schema import Behaviour, DataSchema

N_USERS, N_ITEMS, LOOKS = 60, 12, 8


def log(rng: np.random.Generator) -> dict[str, list]:
    """Everybody looks at items at random; even ones are bought a day later, odd ones are not."""
    rows = []
    for user in range(N_USERS):
        for day, item in enumerate(rng.choice(N_ITEMS, LOOKS, replace=False)):
            rows.append((user, int(item), "view", 3 * day))
            if item % 2 == 0:
                rows.append((user, int(item), "buy", 3 * day + 1))
    user, item, behaviour, day = zip(*rows, strict=True)
    return {
        "user_id": [f"u{one}" for one in user],
        "item_id": [f"i{one}" for one in item],
        "behaviour": list(behaviour),
        "timestamp": [1_700_000_000 + 86_400 * one for one in day],
    }


def lead_of_bought(weight: float, loss: str) -> float:
    """How far the network itself, without any count, puts what is bought before what is not."""
    schema = DataSchema(
        behaviours=[Behaviour(name="view", weight=weight), Behaviour(name="buy", implies=["view"])]
    )
    shop = join(log(np.random.default_rng(0)), schema=schema)
    model = Quintet(
        model={"width": 16, "tasks": {"ranking": {"loss": loss}}, "off": ["strategy", "profile"]},
        loop={"epochs": 12, "patience": 12, "tokens_per_batch": 200},
        memories={},
    ).fit(shop)
    trained = model.recommender.trained
    evidence = trained.scorer.evidence
    column = evidence.evidence(trained.events)[..., evidence.names.index("identity")]
    bought_I = np.array([int(one[1:]) % 2 == 0 for one in trained.items.values.to_pylist()])
    score_I = column.cpu().numpy().mean(0)
    return float(score_I[bought_I].mean() - score_I[~bought_I].mean())


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_what_counts_for_more_is_ranked_before_what_counts_for_less(loss) -> None:
    alike, bought_first = lead_of_bought(1.0, loss), lead_of_bought(0.02, loss)
    assert bought_first > alike + 0.8
