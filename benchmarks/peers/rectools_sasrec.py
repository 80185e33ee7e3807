"""SASRec of RecTools 0.19, loss softmax, on its own data path; run by its own interpreter.

``.peers/rectools/bin/python -m benchmarks.peers.rectools_sasrec FILE --epochs 3 --out LINES``

RecTools pads each user's last 51 events to a row of 50 and predicts the next event at every place,
with the logits of padding computed too. What Lightning calls a training epoch is timed alone. With
``--tests``, FILE has one anonymous session a line, as :mod:`benchmarks.sessions` reads it.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from torch.nn.functional import cross_entropy

from benchmarks.peers.options import arguments, parse
from benchmarks.peers.protocol import Ints, Record, Sequences
from benchmarks.peers.sessions import Sessions

LENGTH = 50
SETTINGS: dict[str, Any] = {
    "n_factors": 64,
    "n_blocks": 2,
    "n_heads": 2,
    "dropout_rate": 0.5,
    "session_max_len": LENGTH,
    "loss": "softmax",
    "lr": 1e-3,
}


class Recorder(Callback):
    """Hands the epochs of Lightning to the record."""

    def __init__(self, record: Record, items: int, validate: bool) -> None:
        self.record = record
        self.items = items
        self.validate = validate

    def __deepcopy__(self, _: dict[int, Any]) -> Recorder:
        """RecTools copies the trainer with its callbacks; the record must stay one."""
        return self

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """The clock starts."""
        del trainer, pl_module
        self.record.begin()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """The clock stops; what follows is ours."""
        score = scorer(pl_module, self.items) if self.validate else None
        loss = float(trainer.callback_metrics.get("train_loss", float("nan")))
        trainer.should_stop = not self.record.end(score, loss=loss)
        pl_module.train()


class WithoutPadding(TransformerLightningModule):
    """The same loss; the logits of padding, which it ignores, are not computed."""

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Mean cross-entropy over the real places (every weight is 1)."""
        del batch_idx
        real_BL = batch["y"] != 0
        vectors_ID = self.torch_model.item_model.get_all_embeddings()
        hidden_ND = self.torch_model.encode_sessions(batch, vectors_ID)[real_BL]
        loss = cross_entropy(hidden_ND @ vectors_ID.T, batch["y"][real_BL])
        self.log(self.train_loss_name, loss, on_step=False, on_epoch=True)
        return loss


def main() -> None:
    """Train to the end, or until validation stops improving."""
    parser = arguments(__doc__, batch=128)
    parser.add_argument(
        "--tests", type=Path, help="of anonymous sessions: prefix, tab, item a line"
    )
    options = parse(parser)
    torch.set_num_threads(options.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    if options.tests is None:
        data = Sequences.read(options.sequences)
    else:
        data = Sessions.read_files(options.sequences, options.tests)
    record = Record(options.out, data, options.patience, options.in_step)
    packages = ("rectools", "pytorch-lightning", "torch", "numpy")
    record.started(
        "RecTools SASRec",
        {
            **SETTINGS,
            "batch_size": options.batch,
            "threads": options.threads,
            "skip_padding": options.skip_padding,
        },
        {name: importlib.metadata.version(name) for name in packages},
    )

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=options.epochs,
            min_epochs=1,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[Recorder(record, len(data.items), options.validate)],
        )

    seed_everything(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # Lightning writes its logs where it stands
        module = WithoutPadding if options.skip_padding else TransformerLightningModule
        model = SASRecModel(
            **SETTINGS,
            batch_size=options.batch,
            get_trainer_func=trainer,
            lightning_module_type=module,
        )
        model.fit(Dataset.construct(interactions(data)))


def interactions(data: Sequences) -> pd.DataFrame:
    """The training events as RecTools asks for them; places in the sequence stand for days."""
    length_U = [len(own) for own in data.train]
    day = np.concatenate([np.arange(length) for length in length_U])
    return pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(length_U)), length_U),
            Columns.Item: np.concatenate(data.train),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(day, unit="D"),
        }
    )


def scorer(module: Any, n_items: int) -> Any:
    """Scores of our catalogue for our histories, from the model as it stands.

    An item that no training event names is unknown to RecTools: it stands last.
    """
    known = np.asarray(module.data_preparator.get_known_item_ids(), np.int64)
    row_I = np.zeros(n_items, np.int64)
    row_I[known] = module.data_preparator.item_id_map.convert_to_internal(known)
    network = module.torch_model

    def score(histories: Sequence[Ints]) -> Any:
        items_BL = torch.zeros(len(histories), LENGTH, dtype=torch.long)
        for row, history in enumerate(histories):
            last = row_I[history]
            last = last[last > 0][-LENGTH:]
            if len(last):
                items_BL[row, -len(last) :] = torch.from_numpy(last)
        network.eval()
        with torch.no_grad():
            vectors_ID = network.item_model.get_all_embeddings()
            hidden_BD = network.encode_sessions({"x": items_BL}, vectors_ID)[:, -1]
            scores_BI = (hidden_BD @ vectors_ID.T).numpy()[:, row_I]
        scores_BI[:, row_I == 0] = -np.inf
        return scores_BI

    return score


if __name__ == "__main__":
    main()
