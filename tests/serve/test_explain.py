"""Reasons: their parts make up the score, and what they cite is what the evidence rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quintet.data.interactions import Interactions
from quintet.memory.base import MEMORIES
from quintet.serve.explain import MOST_REASONS, contributions, explain, in_words, occlusion


@pytest.fixture(scope="module")
def trained(recommender):
    return recommender.trained


def without(history: Interactions, item: int) -> Interactions:
    """ONE history that never met ``item``."""
    return history.select(history.item != item)


def people(trained, n: int = 12) -> list[Interactions]:
    return [trained.events.users([user]) for user in range(n)]


def check_parts(trained, history) -> None:
    parts, own = contributions(trained, history)
    scorer = trained.scorer
    plain_IK = (scorer.evidence.evidence(history) * scorer.weights(history))[0].detach().numpy()
    np.testing.assert_allclose(own - parts, np.tile(plain_IK.mean(0), (len(own), 1)), atol=1e-4)
    assert parts.shape == (len(trained.items), len(trained.scorer.evidence.names))
    fused = scorer.scores(history)[0]
    np.testing.assert_allclose(own.sum(1), fused, rtol=1e-3, atol=1e-3)


def test_contributions_add_up_to_the_score_but_for_one_constant(trained) -> None:
    for history in people(trained):
        check_parts(trained, history)


def test_they_add_up_without_a_history_too(silent, recommender, trained) -> None:
    known = recommender.trained.users.ids([0])
    for history in (silent.histories(known), silent.histories(["nobody"])):
        assert len(history) == 0
        check_parts(silent.trained, history)


def test_reasons_are_the_strongest_parts_strongest_first(trained) -> None:
    names = trained.scorer.evidence.names
    for history in people(trained, 5):
        best = int(trained.scorer.rank(history, 1).items_BK[0, 0])
        parts, own = contributions(trained, history)
        part = np.where(own[best] > 0, parts[best], 0)
        reasons = explain(trained, history, best)
        assert 0 < len(reasons) <= MOST_REASONS
        order = np.argsort(-part)[: len(reasons)]
        assert [reason.evidence for reason in reasons] == [names[index] for index in order]
        np.testing.assert_allclose([r.contribution for r in reasons], part[order], atol=1e-4)
        assert all(reason.contribution > 0 and reason.text for reason in reasons)
        met = set(trained.items.ids(history.item))
        assert all(set(reason.because) <= met for reason in reasons)
        assert all(len(reason.because) <= 2 for reason in reasons)


def test_nobody_is_given_reasons_of_a_history(recommender) -> None:
    for one in recommender.recommend(["nobody"], k=3, reasons=True):
        assert [reason.evidence for reason in one.reasons] == ["popularity"]
        assert one.reasons[0].because == []


def test_without_the_cited_item_the_evidence_falls(trained) -> None:
    """Faithfulness, on the evidence as it is served."""
    evidence, tested = trained.scorer.evidence, set()
    for history in people(trained, 15):
        before = evidence.evidence(history)[0]
        for best in trained.scorer.rank(history, 2).items_BK[0]:
            for reason in explain(trained, history, int(best)):
                column = evidence.names.index(reason.evidence)
                for cited in trained.items.rows(reason.because):
                    after = evidence.evidence(without(history, int(cited)))[0]
                    assert after[best, column] < before[best, column], reason
                    tested.add(reason.evidence)
    assert len(tested) >= 4, tested


def test_most_reasons_that_rest_on_a_history_cite_it(trained) -> None:
    cited = [
        bool(reason.because)
        for history in people(trained)
        for reason in explain(trained, history, int(trained.scorer.rank(history, 1).items_BK[0, 0]))
        if reason.evidence not in ("popularity", "trend")
    ]
    assert np.mean(cited) > 0.8


@pytest.mark.parametrize("name", ["identity", "transitions", "user_cosine"])
def test_occlusion_is_the_fall_when_an_item_was_never_met(trained, name) -> None:
    evidence = trained.scorer.evidence
    column = evidence.names.index(name)
    history = max(people(trained, 30), key=len)
    left_out = np.unique(history.item)[:4]
    falls = occlusion(trained, history, 7, name, left_out)
    whole = evidence.evidence(history)[0, 7, column]
    for item, fall in zip(left_out, falls, strict=True):
        rest = evidence.evidence(without(history, int(item)))[0, 7, column]
        assert fall == pytest.approx(float(whole - rest), abs=1e-4)


def test_a_memory_called_like_a_tower_keeps_apart_from_it(trained) -> None:
    """The text memory and the text tower are both called content."""
    memory = MEMORIES.get("content")().fit(trained.events, trained.item_features)
    names = replace(trained, memories={"content": memory}).scorer.evidence.names
    assert names.count("content") == 1
    assert names.index("content") < names.index("content_memory")


def test_a_history_of_one_event_is_explained(recommender, trained) -> None:
    history = recommender.history_of([trained.items.ids([4])[0]])
    check_parts(trained, history)
    best = int(trained.scorer.rank(history, 1).items_BK[0, 0])
    for reason in explain(trained, history, best):
        assert reason.because in ([], trained.items.ids([4]))


def test_every_evidence_has_words_for_a_person() -> None:
    memories = [name for name in MEMORIES.names() if MEMORIES.get(name).evidence]
    plain = {name for name in memories if in_words(name) == name}
    assert not plain
    assert in_words("transitions@view") == in_words("transitions")
