"""The gates: what they mean, and that a fit finds whom to trust."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quintet.nn.fusion import (
    N_CONTEXT,
    Fusion,
    FusionConfig,
    find_rivals,
    fit_fusion,
    item_buckets,
)

B, N_ITEMS, K = 300, 40, 2


def evidence(seed: int = 0) -> Tensor:
    return torch.randn(B, N_ITEMS, K, generator=torch.Generator().manual_seed(seed))


def contexts() -> Tensor:
    """A constant, and whether the user is of the first kind (+1) or the second (-1)."""
    kind = torch.where(torch.arange(B) % 2 == 0, 1.0, -1.0)
    return torch.stack([torch.ones(B), kind, torch.zeros(B)], 1)


def targets(evidence_BIK: Tensor, trusted_BK: Tensor, strength: float = 3.0) -> Tensor:
    """Items drawn from a softmax of the evidence that each user truly goes by."""
    score_BI = strength * torch.einsum("bik,bk->bi", evidence_BIK, trusted_BK)
    return score_BI.softmax(-1).multinomial(1, generator=torch.Generator().manual_seed(1))[:, 0]


def fit(fusion: Fusion, evidence_BIK: Tensor, target_B: Tensor, **changes: Tensor) -> float:
    inputs = {
        "context_BF": contexts(),
        "bucket_I": torch.full((N_ITEMS,), 2),
        "masked_BI": torch.zeros(B, N_ITEMS, dtype=torch.bool),
        **changes,
    }
    return fit_fusion(fusion, find_rivals(fusion, evidence_BIK, target_B=target_B, **inputs))


def moved(fusion: Fusion) -> Fusion:
    """The same fusion with every parameter off its start."""
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return fusion


def test_what_the_history_holds_has_weights_of_its_own_by_hand() -> None:
    fusion = Fusion(torch.tensor([1.0, 2.0]), towers_K=torch.tensor([1.0, 0.0]))
    with torch.no_grad():
        fusion.again_K.copy_(torch.tensor([0.25, 9.0]))  # the second is no tower: its 9 is nothing
        fusion.again_bias.fill_(0.5)
    evidence_BIK = torch.tensor([[[4.0, 1.0], [4.0, 1.0]]])
    asked = (evidence_BIK, torch.zeros(1, N_CONTEXT), torch.tensor([2, 2]))
    score = fusion(*asked, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(score, torch.tensor([[4 + 2, 4 * 0.25 + 2 + 0.5]]))
    torch.testing.assert_close(fusion(*asked), torch.tensor([[6.0, 6.0]]))


def test_a_fit_finds_that_people_come_back_to_what_the_tower_calls_unlikely() -> None:
    """Targets among the met, drawn against the tower there and by it elsewhere."""
    drawn = torch.Generator().manual_seed(5)
    evidence_BIK = evidence()
    met_BI = (torch.rand(B, N_ITEMS, generator=drawn) < 0.1).float()
    sign_BI = 1 - 2 * met_BI
    score_BI = 3 * sign_BI * evidence_BIK[..., 0] + 2 * met_BI
    target_B = score_BI.softmax(-1).multinomial(1, generator=drawn)[:, 0]
    fusion = Fusion(torch.ones(K), towers_K=torch.tensor([1.0, 0.0]))
    fit(fusion, evidence_BIK, target_B, met_BI=met_BI)
    assert fusion.again_K[0] < -0.5
    assert fusion.again_bias > 1


def test_attention_is_positive_with_mean_one() -> None:
    fusion = moved(Fusion(torch.ones(5)))
    alpha_BK = fusion.attention(torch.randn(B, N_CONTEXT))
    assert alpha_BK.shape == (B, 5)
    assert (alpha_BK > 0).all()
    torch.testing.assert_close(alpha_BK.mean(1), torch.ones(B))
    assert alpha_BK.std(0).min() > 0.01, "the gates see the user"


def test_unfitted_scores_are_the_priors_plain_sum() -> None:
    prior = torch.tensor([0.5, 2.0])
    score = Fusion(prior)(evidence(), contexts(), torch.randint(0, 3, (N_ITEMS,)))
    torch.testing.assert_close(score, evidence() @ prior)


def test_scores_by_hand() -> None:
    fusion = Fusion(torch.tensor([1.0, 2.0]))
    with torch.no_grad():
        fusion.bucket_SK.copy_(torch.tensor([[0.0, 3.0], [1, 1], [1, 1]]))
    given = torch.tensor([[[1.0, 10.0], [2.0, 20.0]]])  # one user, two items
    score = fusion(given, torch.zeros(1, N_CONTEXT), torch.tensor([0, 2]))
    # a new item: 0 · 1 · 1 + 3 · 2 · 10; a known one: 1 · 2 + 2 · 20
    torch.testing.assert_close(score, torch.tensor([[60.0, 42.0]]))


@pytest.mark.parametrize("informative", [0, 1])
def test_fit_finds_the_informative_evidence(informative: int) -> None:
    given = evidence()
    trusted = torch.zeros(B, K)
    trusted[:, informative] = 1
    fusion = Fusion(torch.ones(K))
    target_B = targets(given, trusted)
    loss = fit(fusion, given, target_B)
    weight_K = (fusion.weights(contexts()) * fusion.bucket_SK[2]).mean(0)
    assert weight_K[informative] > 5 * weight_K[1 - informative].abs()
    plain = torch.nn.functional.cross_entropy(given.sum(-1), target_B)
    assert loss < plain


def test_gates_learn_when_the_users_state_decides() -> None:
    given, first = evidence(), contexts()[:, 1] > 0
    trusted = torch.stack([first, ~first], 1).float()
    target_B = targets(given, trusted)
    gated, plain = (Fusion(torch.ones(K), FusionConfig(attention=on)) for on in (True, False))
    settled = [fit(fusion, given, target_B) for fusion in (gated, plain)]
    assert settled[0] < settled[1] - 0.1
    weight_BK = gated.weights(contexts())
    assert (weight_BK[first, 0] > 2 * weight_BK[first, 1]).all()
    assert (weight_BK[~first, 1] > 2 * weight_BK[~first, 0]).all()
    # without attention everybody is treated alike
    torch.testing.assert_close(plain.attention(contexts()), torch.ones(B, K))


def test_buckets_learn_whom_new_items_should_trust() -> None:
    given = evidence()
    bucket_I = torch.where(torch.arange(N_ITEMS) < N_ITEMS // 2, 0, 2)
    truth_IK = torch.where(bucket_I[:, None] == 0, torch.tensor([0.0, 1]), torch.tensor([1.0, 0]))
    target_B = (4 * (given * truth_IK).sum(-1)).softmax(-1).multinomial(1)[:, 0]
    fusion = Fusion(torch.ones(K), FusionConfig(penalty=1e-4))
    fit(fusion, given, target_B, bucket_I=bucket_I)
    new_K, known_K = (fusion.strength_K * fusion.bucket_SK[s] for s in (0, 2))
    assert new_K[1] > 2 * new_K[0]
    assert known_K[0] > 2 * known_K[1]


def test_masked_items_do_not_decide() -> None:
    """Evidence that only the history carries is worth nothing once the history is masked."""
    given = evidence()
    masked_BI = torch.zeros(B, N_ITEMS, dtype=torch.bool)
    masked_BI[:, :10] = True
    given[:, :10, 0] += 50
    target_B = 10 + targets(given[:, 10:], torch.tensor([[0.0, 1.0]]).expand(B, K))
    fusion = Fusion(torch.ones(K))
    assert fit(fusion, given, target_B, masked_BI=masked_BI) < 3
    weight_K = fusion.weights(contexts()).mean(0)
    assert weight_K[1] > 5 * weight_K[0].abs()


def test_the_penalty_holds_the_fit_near_the_prior() -> None:
    given = evidence()
    target_B = targets(given, torch.tensor([[1.0, 0.0]]).expand(B, K))
    held = Fusion(torch.ones(K), FusionConfig(penalty=1e3, prior_penalty=1e3))
    fit(held, given, target_B)
    torch.testing.assert_close(held.weights(contexts()), torch.ones(B, K), atol=0.02, rtol=0)
    assert Fusion(torch.ones(K)).penalty() < 0.01
    assert moved(Fusion(torch.ones(K))).penalty() > 0.05


def test_permuted_items_give_permuted_scores() -> None:
    fusion, bucket_I = moved(Fusion(torch.ones(K))), torch.randint(0, 3, (N_ITEMS,))
    order = torch.randperm(N_ITEMS)
    score = fusion(evidence(), contexts(), bucket_I)
    permuted = fusion(evidence()[:, order], contexts(), bucket_I[order])
    torch.testing.assert_close(permuted, score[:, order])


def test_item_buckets() -> None:
    assert item_buckets(torch.tensor([0, 1, 4, 5, 100])).tolist() == [0, 1, 1, 2, 2]


def test_new_items_get_the_weights_that_were_set_apart_for_them() -> None:
    fusion = Fusion(torch.tensor([1.0, 2.0]), new_K=torch.tensor([0.0, 5.0]))
    evidence = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
    context, bucket = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0, 2])
    # the new item: 0 · 1 + 5 · 1; the known one: 1 · 1 + 2 · 1
    assert fusion(evidence, context, bucket).tolist() == [[5.0, 3.0]]
    weights = fusion.item_weights(fusion.weights(context), bucket)
    torch.testing.assert_close((evidence * weights).sum(-1), fusion(evidence, context, bucket))
