"""SASRec of RecBole 1.2.1, loss CE, on its own data path; run by its own interpreter.

``.peers/recbole/bin/python -m benchmarks.peers.recbole_sasrec FILE --epochs 3 --out LINES``

RecBole makes an example of every prefix, pads it to 50 and predicts the event that follows. Its
epoch (``Trainer._train_epoch``) is timed alone; augmentation, done once, is told apart. Nothing of
it is changed: with NumPy 1 and without its quick start (which wants ray) it runs as it is.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.options import arguments, parse
from benchmarks.peers.protocol import Clock, Ints, Record, Sequences

NAME, LENGTH, PARTS = "sequences", 50, 8
SETTINGS: dict[str, Any] = {
    "hidden_size": 64,
    "inner_size": 256,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "loss_type": "CE",
    "train_neg_sample_args": None,
    "learning_rate": 1e-3,
    "MAX_ITEM_LIST_LENGTH": LENGTH,
    "eval_args": {
        "split": {"LS": "valid_and_test"},
        "group_by": "user",
        "order": "TO",
        "mode": "full",
    },
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "use_gpu": False,
    "show_progress": False,
    "reproducibility": False,
}


def main() -> None:
    """Train epoch by epoch."""
    options = parse(arguments(__doc__, batch=2048))
    sys.argv = sys.argv[:1]  # RecBole reads the command line too
    torch.set_num_threads(options.threads)
    data = Sequences.read(options.sequences)
    record = Record(options.out, data, options.patience, options.in_step)
    shown = {name: SETTINGS[name] for name in SETTINGS if name != "load_col"}
    record.started(
        "RecBole SASRec",
        {
            **shown,
            "train_batch_size": options.batch,
            "threads": options.threads,
            "skip_padding": options.skip_padding,
        },
        {name: importlib.metadata.version(name) for name in ("recbole", "torch", "numpy")},
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes its logs where it stands
        clock = Clock()
        clock.start()
        trainer, loader, column_I = build(data, Path(folder), options)
        record.write(event="prepared", **clock.stop(), n_examples=len(loader.dataset))
        for epoch in range(options.epochs):
            record.begin()
            loss = trainer._train_epoch(loader, epoch)
            score = scorer(trainer.model, column_I) if options.validate else None
            if not record.end(score, loss=loss / len(loader)):
                break


def build(data: Sequences, folder: Path, options: Namespace) -> tuple[Any, Any, Ints]:
    """The library's trainer and loader, and its row of each of our items."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    logging.disable(logging.WARNING)
    write_atomic_file(data, folder / NAME)
    place = {"data_path": str(folder), "seed": options.seed}
    settings = {**SETTINGS, **place, "train_batch_size": options.batch}
    config = Config(model="SASRec", dataset=NAME, config_dict=settings)
    init_seed(options.seed, reproducibility=False)
    dataset = create_dataset(config)
    loader, _, _ = data_preparation(config, dataset)
    model = (without_padding(SASRec) if options.skip_padding else SASRec)(config, loader.dataset)
    row_of = dataset.field2token_id["item_id"]
    column_I = np.array([row_of[f"i{row}"] for row in range(len(data.items))])
    return Trainer(config, model), loader, column_I


def without_padding(network: Any) -> Any:
    """The same network, fed rows of like length together: a state never sees what follows it."""

    class Trimmed(network):  # type: ignore[misc]
        """Padding stands on the right, behind every state that is read."""

        def forward(self, item_seq: Any, item_seq_len: Any) -> Any:
            """[B, D] states, in the order of the rows given."""
            order_B = item_seq_len.argsort()
            parts = []
            for rows in order_B.tensor_split(PARTS):
                if len(rows):
                    longest = int(item_seq_len[rows].max())
                    parts.append(super().forward(item_seq[rows, :longest], item_seq_len[rows]))
            return torch.cat(parts)[order_B.argsort()]

    return Trimmed


def write_atomic_file(data: Sequences, folder: Path) -> None:
    """The whole log in RecBole's format, which holds out the last two events itself."""
    folder.mkdir()
    with (folder / f"{NAME}.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, items in enumerate(data.events):
            file.writelines(f"u{user}\ti{item}\t{time}\n" for time, item in enumerate(items))


def scorer(model: Any, column_I: Ints) -> Any:
    """Scores of our catalogue for our histories, from the model as it stands."""

    def score(histories: Sequence[Ints]) -> Any:
        items_BL = torch.zeros(len(histories), LENGTH, dtype=torch.long)
        for row, history in enumerate(histories):
            last = column_I[history[-LENGTH:]]
            items_BL[row, : len(last)] = torch.from_numpy(last)
        length_B = (items_BL > 0).sum(1)
        model.eval()
        with torch.no_grad():
            batch = {model.ITEM_SEQ: items_BL, model.ITEM_SEQ_LEN: length_B}
            return model.full_sort_predict(batch).numpy()[:, column_I]

    return score


if __name__ == "__main__":
    main()
