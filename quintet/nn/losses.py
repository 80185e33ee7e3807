"""Losses, in log space, averaged over the positions that count.

Shapes: N supervised positions, I items, C classes, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: logits that are worked on at once: few enough to stay in the processor's cache from one pass to
#: the next; a GPU wants more of them
CHUNK_LOGITS = {"cpu": 5 << 20, "cuda": 1 << 26}
#: logits within ± this are exponentiated as they are: 10^10 items of e^60 still fit float32
SAFE_EXPONENT = 60.0
#: bias of the items that only pad the catalogue: e^this is 0, and 0 times this is 0
NEVER = -1e9


class _CatalogueSoftmax(torch.autograd.Function):
    """Cross-entropy over the catalogue whose logits never stand in memory at once.

    The gradients are computed in the forward pass, a chunk of rows at a time, so that the [N, I]
    logits are neither kept nor computed twice. A chunk is passed over five times: three products,
    one exponential in place, one sum. What else there is to do is done to the thin matrices: the
    bias and the shift are two more coordinates of the first product, the normaliser scales the
    states and not the probabilities, and the target's share is added outside, in full precision.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        item_ID: Tensor,
        bias_I: Tensor,
        target_N: Tensor,
        weight_N: Tensor,
        correction_I: Tensor | None,
        low_precision: bool,
    ) -> Tensor:
        dtype = torch.bfloat16 if low_precision else hidden_ND.dtype
        needs_hidden, needs_items, needs_bias = ctx.needs_input_grad[:3]
        N, D = hidden_ND.shape
        n_items = len(item_ID)
        target_ND = item_ID[target_N]
        target_logit_N = (hidden_ND * target_ND).sum(1) + bias_I[target_N]
        others_I = bias_I if correction_I is None else bias_I + correction_I
        shift_N, unsafe_N = _shift(hidden_ND, item_ID, others_I, target_logit_N, dtype)
        items_IE = _with_bias(item_ID, others_I, dtype)
        states_NE = hidden_ND.new_zeros(N, items_IE.shape[1])
        states_NE[:, :D], states_NE[:, D : D + 2] = hidden_ND, 1.0
        states_N1 = states_NE[:, : D + 1]
        low_states_NE = states_NE.to(dtype)
        low_states_NE[:, D + 2] = -shift_N
        rows_at_once = _chunk_rows(N, len(items_IE), hidden_ND.device)
        buffer_nI = items_IE.new_empty(rows_at_once, len(items_IE))
        sum_N = torch.empty_like(target_logit_N)
        grad_hidden_ND = torch.empty_like(hidden_ND) if needs_hidden else None
        # width first, so that no product needs its large factor transposed
        grad_item_EI: Tensor | None = None
        for start in range(0, N, rows_at_once):
            rows = slice(start, start + rows_at_once)
            logits_nI = torch.mm(low_states_NE[rows], items_IE.T, out=buffer_nI[: N - start])
            if correction_I is not None:
                own_n1 = (target_logit_N - shift_N)[rows, None].to(dtype)
                logits_nI.scatter_(1, target_N[rows, None], own_n1)
            if unsafe_N is not None:
                shift_N[rows] += _subtract_maximum(logits_nI, unsafe_N[rows])
            odds_nI = logits_nI.exp_()
            sum_N[rows] = _row_sums(odds_nI)
            scale_n1 = (weight_N[rows] / sum_N[rows])[:, None]
            if grad_hidden_ND is not None:
                grad_hidden_ND[rows] = (odds_nI @ items_IE[:, :D]) * scale_n1
            if needs_items or needs_bias:
                part_EI = (states_N1[rows] * scale_n1).T.to(dtype) @ odds_nI
                grad_item_EI = _added(grad_item_EI, part_EI, hidden_ND.dtype)
        grad_item_ID = grad_bias_I = None
        if grad_hidden_ND is not None:
            grad_hidden_ND.addcmul_(target_ND, weight_N[:, None], value=-1)
        if grad_item_EI is not None and needs_items:
            grad_item_ID = grad_item_EI[:D, :n_items].T.contiguous()
            grad_item_ID.index_add_(0, target_N, hidden_ND * weight_N[:, None], alpha=-1)
        if grad_item_EI is not None and needs_bias:
            grad_bias_I = grad_item_EI[D, :n_items].clone()
            grad_bias_I.index_add_(0, target_N, weight_N, alpha=-1)
        ctx.save_for_backward(grad_hidden_ND, grad_item_ID, grad_bias_I)
        return ((sum_N.log() + shift_N - target_logit_N) * weight_N).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        as_it_is = grad.device.type == "cpu" and bool(grad == 1)
        grads = (own if own is None or as_it_is else own * grad for own in ctx.saved_tensors)
        return *grads, None, None, None, None


def _chunk_rows(n_rows: int, n_items: int, device: torch.device) -> int:
    rows = CHUNK_LOGITS["cpu" if device.type == "cpu" else "cuda"] // n_items
    return max(1, min(max(rows // 32 * 32, 32), n_rows))


def _with_bias(item_ID: Tensor, bias_I: Tensor, dtype: torch.dtype) -> Tensor:
    """[I + padding, D + 3 + padding] vectors, bias in two coordinates (what the first loses), 1.

    The matrix products run at full speed over a catalogue padded to a multiple of 32, and in
    bfloat16 over a width padded to one of 8.
    """
    n_items, D = item_ID.shape
    width = D + 3
    if dtype == torch.bfloat16:
        width += -width % 8
    items_IE = item_ID.new_zeros(n_items + -n_items % 32, width, dtype=dtype)
    items_IE[:n_items, :D] = item_ID
    items_IE[:n_items, D] = bias_I
    items_IE[:n_items, D + 1] = bias_I - items_IE[:n_items, D]
    items_IE[:, D + 2] = 1
    items_IE[n_items:, D] = NEVER
    return items_IE


def _added(total: Tensor | None, part: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum in full precision; the first part starts it."""
    return part.to(dtype) if total is None else total.add_(part)


def _shift(
    hidden_ND: Tensor, item_ID: Tensor, bias_I: Tensor, target_logit_N: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """[N] what to subtract from a row's logits, and where its maximum must be subtracted besides.

    The largest logit lies between the target's and the bound of Cauchy and Schwarz. Where those
    are near enough, nothing over- or underflows after a shift that costs no pass over the logits.
    """
    bound_N = hidden_ND.norm(dim=1) * item_ID.norm(dim=1).max() + bias_I.max()
    shift_N = (bound_N - SAFE_EXPONENT).clamp_min(0).minimum(target_logit_N + SAFE_EXPONENT)
    shift_N = shift_N.to(dtype).to(hidden_ND.dtype)
    unsafe_N = ~(bound_N - target_logit_N <= 2 * SAFE_EXPONENT)
    return shift_N, unsafe_N if bool(unsafe_N.any()) else None


def _row_sums(value_nI: Tensor) -> Tensor:
    """[n] sums over an even number of columns, in full precision but for the first step.

    A sum that casts as it goes makes a copy first; 32 partial sums in bfloat16 cost half of that,
    and their roundings (2⁻⁹ each, independent) average out to 10⁻⁴.
    """
    partial_n32 = value_nI.view(len(value_nI), 32, -1).sum(2)
    return partial_n32.sum(1, dtype=torch.promote_types(value_nI.dtype, torch.float32))


def _subtract_maximum(logits_nI: Tensor, rows_n: Tensor) -> Tensor:
    """Subtract the maximum of the given rows in place; returns what was subtracted, 0 elsewhere."""
    maximum_n = torch.where(rows_n, logits_nI.amax(1), logits_nI.new_zeros(()))
    logits_nI -= maximum_n[:, None]
    return maximum_n


def catalogue_softmax(
    hidden_ND: Tensor,
    item_ID: Tensor,
    bias_I: Tensor,
    target_N: Tensor,
    weight_N: Tensor | None = None,
    *,
    correction_I: Tensor | None = None,
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
        correction_I: [I] added to the logits of all items but a row's own target (see
            ``nn/catalogue_sample.py``); nothing when absent.
        low_precision: compute the three products in bfloat16.
    """
    weight_N = hidden_ND.new_ones(len(hidden_ND)) if weight_N is None else weight_N
    weight_N = weight_N / weight_N.sum().clamp_min(1e-9)
    loss: Tensor = _CatalogueSoftmax.apply(  # type: ignore[no-untyped-call]
        hidden_ND, item_ID, bias_I, target_N, weight_N, correction_I, low_precision
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


def bayesian_personalised_ranking(
    positive_N: Tensor, negative_N: Tensor, weight_N: Tensor | None = None
) -> Tensor:
    """Pairwise logistic loss ``−log σ(s_positive − s_negative)``, weighted mean over the positions.

    Source:
        Rendle et al. 2009, BPR-Opt.
    """
    loss_N = F.softplus(negative_N - positive_N)
    if weight_N is None:
        return loss_N.mean()
    return (loss_N * weight_N).sum() / weight_N.sum().clamp_min(1e-9)
