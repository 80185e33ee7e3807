"""Losses, in log space, averaged over the positions that count.

Shapes: N supervised positions, I items, C classes, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK_ROWS = 256


class _CatalogueSoftmax(torch.autograd.Function):
    """Cross-entropy over the catalogue whose logits never stand in memory at once.

    The gradients are computed in the forward pass, a chunk of rows at a time, so that the [N, I]
    logits are neither kept nor computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        item_ID: Tensor,
        bias_I: Tensor,
        target_N: Tensor,
        weight_N: Tensor,
        low_precision: bool,
    ) -> Tensor:
        dtype = torch.bfloat16 if low_precision else hidden_ND.dtype
        # a catalogue padded to a multiple of 32 lets the matrix product run at full speed
        padding = -len(item_ID) % 32
        items_ID = F.pad(item_ID, (0, 0, 0, padding)).to(dtype)
        bias_I = F.pad(bias_I, (0, padding), value=float("-inf"))
        grad_hidden_ND = torch.empty_like(hidden_ND)
        grad_item_ID = torch.zeros_like(items_ID, dtype=item_ID.dtype)
        grad_bias_I = torch.zeros_like(bias_I)
        total = hidden_ND.new_zeros(())
        for start in range(0, len(hidden_ND), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            hidden_nD = hidden_ND[rows].to(dtype)
            weight_n1 = weight_N[rows, None]
            logits_nI = (hidden_nD @ items_ID.T).to(bias_I.dtype) + bias_I
            logits_nI -= logits_nI.amax(1, keepdim=True)
            at_target_n1 = logits_nI.gather(1, target_N[rows, None])
            probability_nI = logits_nI.exp_()
            sum_n1 = probability_nI.sum(1, keepdim=True)
            total += ((sum_n1.log() - at_target_n1) * weight_n1).sum()
            error_nI = probability_nI.mul_(weight_n1 / sum_n1)
            error_nI.scatter_add_(1, target_N[rows, None], -weight_n1)
            grad_bias_I += error_nI.sum(0)
            error_nI = error_nI.to(dtype)
            grad_hidden_ND[rows] = (error_nI @ items_ID).to(hidden_ND.dtype)
            grad_item_ID += (error_nI.T @ hidden_nD).to(item_ID.dtype)
        real = slice(0, len(item_ID))
        ctx.save_for_backward(grad_hidden_ND, grad_item_ID[real], grad_bias_I[real])
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden_ND, grad_item_ID, grad_bias_I = ctx.saved_tensors
        return grad_hidden_ND * grad, grad_item_ID * grad, grad_bias_I * grad, None, None, None


def catalogue_softmax(
    hidden_ND: Tensor,
    item_ID: Tensor,
    bias_I: Tensor,
    target_N: Tensor,
    weight_N: Tensor | None = None,
    *,
    low_precision: bool = False,
) -> Tensor:
    """Mean full-softmax cross-entropy of the next item over the whole catalogue.

    Formula:
        ``−Σ_n w_n log softmax(h_n · Eᵀ + b)[target_n] / Σ_n w_n``

    Args:
        hidden_ND: [N, D] states.
        item_ID: [I, D] item vectors.
        bias_I: [I] item biases.
        target_N: [N] rows of the items that came next.
        weight_N: [N] weights of the positions; equal when absent.
        low_precision: compute the three products in bfloat16.
    """
    weight_N = hidden_ND.new_ones(len(hidden_ND)) if weight_N is None else weight_N
    weight_N = weight_N / weight_N.sum().clamp_min(1e-9)
    loss: Tensor = _CatalogueSoftmax.apply(  # type: ignore[no-untyped-call]
        hidden_ND, item_ID, bias_I, target_N, weight_N, low_precision
    )
    return loss


def masked_mean(value_N: Tensor, mask_N: Tensor) -> Tensor:
    """Mean of the values where the mask is true; 0 where it is true nowhere."""
    kept = torch.where(mask_N, value_N, torch.zeros_like(value_N))
    return kept.sum() / mask_N.sum().clamp_min(1)


def soft_cross_entropy(logit_NC: Tensor, target_NC: Tensor, mask_N: Tensor) -> Tensor:
    """Cross-entropy against a distribution, over the positions of the mask.

    Formula:
        ``−Σ_c target_c log softmax(logit)_c``, averaged over the mask
    """
    return masked_mean(-(target_NC * logit_NC.log_softmax(-1)).sum(-1), mask_N)


def hard_cross_entropy(logit_NC: Tensor, target_N: Tensor, mask_N: Tensor) -> Tensor:
    """Cross-entropy against a class, over the positions of the mask (targets elsewhere ignored)."""
    safe_N = torch.where(mask_N, target_N, torch.zeros_like(target_N))
    return masked_mean(F.cross_entropy(logit_NC, safe_N, reduction="none"), mask_N)


def binary_cross_entropy(logit_N: Tensor, target_N: Tensor, mask_N: Tensor) -> Tensor:
    """Logistic loss over the entries of the mask; shapes may be [N] or [N, C]."""
    safe_N = torch.where(mask_N, target_N, torch.zeros_like(target_N))
    return masked_mean(
        F.binary_cross_entropy_with_logits(logit_N, safe_N, reduction="none"), mask_N
    )


def info_nce(query_ND: Tensor, key_ND: Tensor, temperature: float) -> Tensor:
    """Symmetric contrast: row n of each side must pick row n of the other (InfoNCE).

    Source:
        van den Oord et al. 2018, equation 4; symmetric as in CLIP (Radford et al. 2021).
    """
    similarity_NN = F.normalize(query_ND, dim=-1) @ F.normalize(key_ND, dim=-1).T / temperature
    target_N = torch.arange(len(query_ND), device=query_ND.device)
    forward = F.cross_entropy(similarity_NN, target_N)
    backward = F.cross_entropy(similarity_NN.T, target_N)
    return (forward + backward) / 2


def bayesian_personalised_ranking(positive_N: Tensor, negative_N: Tensor) -> Tensor:
    """Pairwise logistic loss ``−log σ(s_positive − s_negative)`` (Rendle et al. 2009, BPR-Opt)."""
    return F.softplus(negative_N - positive_N).mean()
