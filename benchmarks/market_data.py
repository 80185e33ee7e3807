"""The simulated market as the benchmarks need it: encoded, split, and joined with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quintet.data.clean import clean
from quintet.data.encode import Encoded, encode
from quintet.data.interactions import MICROSECONDS_PER_DAY, seeded_hash
from quintet.data.outcomes import BehaviourRules
from quintet.data.sources.market import as_dataset
from quintet.data.split import Part, Split
from quintet.errors import DataError
from quintet.market import Market, MarketConfig, generate


@dataclass(frozen=True)
class Simulated:
    """A market with its truth by event.

    Attributes:
        market: as generated.
        encoded: its log, encoded.
        truth_row: [E] row of the truth table that tells of each event, -1 where it is no look.
    """

    market: Market
    encoded: Encoded
    truth_row: np.ndarray

    @property
    def rules(self) -> BehaviourRules:
        """How its behaviours hang together."""
        return BehaviourRules.of(self.encoded.behaviours, self.encoded.schema.behaviours)

    def truth(self, column: str, rows: np.ndarray) -> np.ndarray:
        """[N] a numeric column of the truth at the given looks."""
        values = self.market.truth[column].to_numpy(zero_copy_only=False)
        return np.asarray(values[self.truth_row[rows]])

    def kept(self, keep_E: np.ndarray) -> Encoded:
        """The same data set with some of its events."""
        events = self.encoded.events.select(keep_E)
        return replace(self.encoded, events=events, log_row=self.encoded.log_row[keep_E])


def simulate(config: MarketConfig, seed: int) -> Simulated:
    """Generate and encode; every look is found again in the truth.

    Raises:
        DataError: cleaning dropped events, so that rows no longer tell of the truth.
    """
    market = generate(config)
    encoded = encode(clean(as_dataset(market))[0], tie_seed=seed)
    if len(encoded.events) != market.log.num_rows:
        raise DataError("the market's log was cleaned: its truth no longer fits row by row")
    number = pc.utf8_slice_codeunits(market.truth["event_id"], 1)
    place = np.full(market.log.num_rows, -1, np.int64)
    place[number.cast(pa.int64()).to_numpy()] = np.arange(market.truth.num_rows)
    return Simulated(market, encoded, place[encoded.log_row])


def by_user(simulated: Simulated, learn: int, validate: int, days: float, seed: int) -> Split:
    """Some users are learned from, some validate, the others are asked.

    Targets are looks at least ``days`` before the log's end, so that what follows is known.
    """
    events = simulated.encoded.events
    turn_U = np.argsort(np.argsort(seeded_hash(np.arange(events.n_users), seed)))
    role_E = np.searchsorted([learn, learn + validate], turn_U[events.group()], side="right")
    early = events.time <= events.time.max() - days * MICROSECONDS_PER_DAY
    target = simulated.rules.targets(events) & early
    part = np.full(len(events), Part.HISTORY, np.int8)
    part[role_E == 0] = Part.TRAIN
    part[(role_E == 1) & target] = Part.VALID
    part[(role_E == 2) & target] = Part.TEST
    return Split("by_user", events, part)


def at_most(rows: np.ndarray, group: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows of each group, by seeded hash."""
    order = np.lexsort((seeded_hash(rows, seed), group))
    ordered = group[order]
    first = np.searchsorted(ordered, ordered)
    return np.sort(rows[order[np.arange(len(rows)) - first < most]])
