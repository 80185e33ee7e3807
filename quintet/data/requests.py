"""What is known of a request besides the history: where, when, on what device, and for what.

Training reads it off the event that came next, service off the call; both as integer arrays by
name, -1 where nothing is known:

- ``scenario`` [B]: index into the scenarios;
- ``time`` [B]: microseconds since 1970 UTC;
- ``device`` [B]: index into the devices;
- ``query`` [B, T]: hashed words of the query text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quintet.data.interactions import Ints
from quintet.data.words import WORDS

FIELDS = ("scenario", "time", "device", "query")
QUERY_WORDS = 8
QUERY_HASHES = 1 << 13
#: a column with more values tells single devices apart, not kinds of them
MOST_DEVICES = 50
#: words, and in scripts written without spaces single characters
SEARCHED = re.compile(WORDS)


def query_tokens(queries: Sequence[str | None]) -> Ints:
    """[B, T] hashed words of each query, -1 where there are no more; the same on all machines."""
    tokens_BT = np.full((len(queries), QUERY_WORDS), -1, np.int64)
    for row, text in enumerate(queries):
        words = SEARCHED.findall((text or "").lower())[:QUERY_WORDS]
        tokens_BT[row, : len(words)] = [zlib.crc32(one.encode()) % QUERY_HASHES for one in words]
    return tokens_BT


def encoded_queries(column: pa.ChunkedArray) -> Ints:
    """[E, T] the hashed words of a log's queries; each distinct text is read once."""
    coded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    tokens_QT = query_tokens([*coded.dictionary.to_pylist(), None])
    row_E: Ints = pc.fill_null(coded.indices, len(tokens_QT) - 1).to_numpy()
    return tokens_QT[row_E]


def encoded_devices(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """[E] the kind of device of each event, and the kinds; none where there are too many."""
    coded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    names = coded.dictionary.to_pylist()
    if len(names) > MOST_DEVICES:
        return np.full(len(column), -1, np.int64), []
    return pc.fill_null(coded.indices, -1).to_numpy().astype(np.int64), names
