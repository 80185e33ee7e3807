"""Trainings side by side: processes of one thread each."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch


def workers(jobs: int) -> ProcessPoolExecutor:
    """So many processes, started afresh, one thread each: two of those beat one with two."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,))
