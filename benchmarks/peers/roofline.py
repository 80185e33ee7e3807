"""Work that an epoch needs, against what the machine's matrix product reaches.

Counted from the architecture on real events alone, a multiplication and an addition as two: what a
library spends on padding, dropout or casts is no useful work and so lowers its share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.peers.protocol import Ints, Sequences

SHAPE = (12_800, 64, 12_000)


def epoch_flops(
    histories: Sequence[Ints],
    n_items: int,
    *,
    width: int,
    layers: int,
    expansion: int,
    longest: int,
) -> dict[str, float]:
    """Floating-point operations of one epoch of a SASRec with full softmax, forward and backward.

    For a window of T tokens and T targets (a start token before T − 1 events, each of the T events
    a target), per layer: ``2·T·(4 + 2·expansion)·D²`` for the projections and the MLP and
    ``4·D·T(T+1)/2`` for causal attention; ``2·T·I·D`` for the logits; the backward pass costs twice
    the forward. Longer histories are cut into windows of ``longest + 1`` events.
    """
    length = np.array([len(own) for own in histories], np.int64)
    full, rest = np.divmod(length, longest + 1)
    window = np.concatenate([np.repeat(longest + 1, full.sum()), rest[rest > 0]]).astype(np.float64)
    tokens = window.sum()
    dense = layers * 2 * tokens * (4 + 2 * expansion) * width**2
    attention = layers * 4 * width * (window * (window + 1) / 2).sum()
    logits = 2 * tokens * n_items * width
    return {
        "targets": float(tokens),
        "encoder_gflop": 3 * (dense + attention) / 1e9,
        "softmax_gflop": 3 * logits / 1e9,
        "gflop": 3 * (dense + attention + logits) / 1e9,
    }


def gemm_peak(dtype: torch.dtype, threads: int, repeats: int = 7) -> float:
    """GFLOP/s of the best of several products of 12,800 × 64 by 64 × 12,000."""
    torch.set_num_threads(threads)
    rows, inner, columns = SHAPE
    left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    best = np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        torch.matmul(left, right, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best / 1e9


def roofline(
    data: Sequences, seconds: dict[str, float], threads: int
) -> dict[str, float | dict[str, float]]:
    """Useful GFLOP/s of each side's median epoch, and its share of the peaks measured now."""
    work = epoch_flops(data.train, len(data.items), width=64, layers=2, expansion=4, longest=50)
    peaks = {
        "bf16": gemm_peak(torch.bfloat16, threads),
        "fp32": gemm_peak(torch.float32, threads),
    }
    table: dict[str, float | dict[str, float]] = {
        "work": work,
        "gemm_peak_gflop_s": peaks,
    }
    for side, own in seconds.items():
        reached = work["gflop"] / own
        shares = {f"share_of_{name}_peak": reached / peak for name, peak in peaks.items()}
        table[side] = {"useful_gflop_s": reached, **shares}
    return table
