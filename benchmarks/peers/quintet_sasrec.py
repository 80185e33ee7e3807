"""quintet's identity tower alone, in the shape of the peers' SASRec.

``python -m benchmarks.peers.quintet_sasrec FILE --epochs 3 --out LINES``

The same network: 64 wide, 2 blocks of 2 heads, dropout .5, 50 events, full softmax. Every training
event supervises, a user's first too (its state is the start token), which the peers leave out: a
sixth more targets than theirs on a file of short histories. ``--share`` keeps a share of the users
and the whole catalogue, to see how the cost of an event grows. ``--batch`` is in events.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.peers.options import arguments, parse
from benchmarks.peers.protocol import Clock, Ints, Record, Sequences
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import Catalogue, EventLog
from quintet.data.interactions import Interactions
from quintet.data.split import Split, leave_one_out
from quintet.nn.model import QuintetModel
from quintet.serve.evidence import EvidenceBuilder
from quintet.train.loop import Trainer
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, training_tables
from quintet.train.prepare import PreparedEvents, build_model

OTHERS = ("profile", "item", "interaction", "strategy")
SETTINGS: dict[str, Any] = {
    "width": 64,
    "longest": 50,
    "towers": ["identity"],
    "identity_dropout": 0.0,
    "backbone_settings": {"layers": 2, "heads": 2, "dropout": 0.5, "expansion": 4},
    "off": list(OTHERS),
}


def main() -> None:
    """Train epoch by epoch."""
    parser = arguments(__doc__, batch=TrainConfig().loop.tokens_per_batch)
    parser.add_argument("--share", type=float, default=1.0, help="of the users, drawn by the seed")
    options = parse(parser)
    torch.set_num_threads(options.threads)
    data = Sequences.read(options.sequences)
    record = Record(options.out, data, options.patience, options.in_step)
    record.started(
        "quintet identity tower",
        {**SETTINGS, "tokens_per_batch": options.batch, "threads": options.threads},
        environment()["versions"],
    )
    clock = Clock()
    clock.start()
    encoded = encoded_share(data, options.share, options.seed)
    split = leave_one_out(encoded.events)
    trainer = prepared(encoded, split, options)
    record.write(event="prepared", **clock.stop(), n_examples=len(split.train), share=options.share)
    runs(trainer, record, encoded, options)


def encoded_share(
    data: Sequences, share: float = 1.0, seed: int = 0, items: Path | None = None
) -> Encoded:
    """Events of a share of the users; the catalogue stays whole, with its content where given."""
    n_users = len(data.users)
    drawn = np.random.default_rng(seed).permutation(n_users)[: max(1, round(share * n_users))]
    chosen = np.sort(drawn)
    events = [data.events[user] for user in chosen]
    log = pa.table(
        {
            "user_id": [data.users[user] for user in chosen for _ in data.events[user]],
            "item_id": [data.items[item] for own in events for item in own],
        }
    )
    catalogue = Catalogue.read(items if items else pa.table({"item_id": data.items}))
    return encode(join(EventLog.read(log), catalogue, name="sequences"))


def prepared(encoded: Encoded, split: Split, options: Namespace) -> Trainer:
    """The loop, ready to run; validation ends every epoch."""
    loop = {
        "epochs": options.epochs,
        "tokens_per_batch": options.batch,
        "validate_every": 1,
        "patience": options.patience or options.epochs,
    }
    config = TrainConfig.model_validate({"model": SETTINGS, "loop": loop, "seed": options.seed})
    tables, _, _ = training_tables(encoded, split)
    model = build_model(tables, config.model, config.seed)
    orders = [PreparedEvents(tables, model, torch.device("cpu"))]
    return Trainer(model, orders, config.loop, config.seed)


def runs(trainer: Trainer, record: Record, encoded: Encoded, options: Namespace) -> None:
    """Train; the clock stands still while validation asks."""

    def validate(model: QuintetModel) -> float:
        score = scorer(model, trainer, encoded, record.data) if options.validate else None
        record.end(score)
        if record.epoch < options.epochs:
            record.begin()
        return record.last

    trainer.validate = validate
    record.begin()
    trainer.run()


def scorer(model: QuintetModel, trainer: Trainer, encoded: Encoded, data: Sequences) -> Any:
    """Scores of the file's catalogue for its histories, from the tower as it stands."""
    row_I = encoded.items.rows(data.items)
    count_I = trainer.orders[0].events.item_counts().astype(np.float32)
    evidence = EvidenceBuilder(model, {}, None, None, count_I)

    def score(histories: Sequence[Ints]) -> Any:
        user = np.repeat(np.arange(len(histories)), [len(own) for own in histories])
        item = row_I[np.concatenate(histories)]
        block = Interactions.build(user, item, n_users=len(histories), n_items=len(row_I))
        return evidence.evidence(block)[..., 0].numpy()[:, row_I]

    return score


if __name__ == "__main__":
    main()
