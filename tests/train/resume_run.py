"""A small training run for a process of its own, to be killed and started again."""

from __future__ import annotations

import math
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import scipy.sparse.linalg  # noqa: F401  imported here once, not in every child
import torch
import torch._dynamo
from nn.worlds import log, model_of, prepared, tables
from safetensors.torch import save_file

from quintet.nn.model import QuintetModel
from quintet.train.loop import LoopConfig, Trainer

N_USERS = 60
CONFIG = LoopConfig(epochs=8, tokens_per_batch=80, warmup_steps=10, validate_every=2, patience=9)


def trainer(checkpoints: Path | None, seed: int = 3, **settings) -> Trainer:
    """The run: everything random in it, dropout included, comes from its seed."""
    whole = tables()
    data = replace(
        whole,
        events=log(n_users=N_USERS),
        items=replace(whole.items, texts={}),  # sklearn takes long to import
        users=replace(whole.users, n_rows=N_USERS, categories={}, numbers={}),
    )
    dropout = {"layers": 1, "dropout": 0.2}
    model = model_of(data, backbone_settings=dropout, identity_dropout=0.2)
    events = prepared(data, model)
    return Trainer(model, [events], CONFIG, seed, checkpoints=checkpoints, **settings)


def validate(model: QuintetModel) -> float:
    """Any function of the weights will do; its best epoch is rarely the last."""
    return math.sin(1e4 * float(model.embedding_ID.detach().norm()))


def main(checkpoints: Path, weights: Path, steps: Connection) -> None:
    """Train, tell every step, and leave the final weights behind."""
    torch.set_num_threads(1)
    run = trainer(checkpoints, validate=validate, on_step=lambda *told: steps.send(told))
    run.run()
    save_file(run.model.state_dict(), weights)
