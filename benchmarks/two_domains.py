"""A folder with one folder a domain, users in common, as one log with a scenario a domain.

``DOMAIN/train.txt`` and ``DOMAIN/test.txt`` hold lines of ``user item ...`` between tabs or spaces;
item numbers count within their domain, user numbers through all of them. Shops of one firm overlap:
one purchase can stand in two domains under two numbers (on the Amazon pair every eighth test line
has its twin in the other domain's training lines), and would tell its own answer. Of items that the
same people bought, :func:`without_twins` drops what would.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.interactions import seeded_hash
from quintet.data.split import Part, Split
from quintet.errors import DataError

#: two items are one when the people who bought both are this share of those who bought either
SAME = 2 / 3
Pairs = dict[tuple[str, str], np.ndarray]


def read_domains(folder: Path, most_users: int, seed: int) -> tuple[Encoded, Split]:
    """The domains as scenarios; of every user and domain the last training line validates.

    The files hold no times. A user's training lines keep their order within a domain, and the
    domains are spread evenly over each other; test lines come last.

    Raises:
        DataError: a file is missing or a line is no pair of numbers; names it.
    """
    domains = sorted(one.name for one in folder.iterdir() if (one / "train.txt").is_file())
    if len(domains) < 2:
        raise DataError(f"{folder}: needs two folders or more, each with train.txt and test.txt")
    rows = {
        (name, part): read_pairs(folder / name / f"{part}.txt")
        for name in domains
        for part in ("train", "test")
    }
    rows = without_twins(rows, domains)
    everyone = np.unique(np.concatenate([pairs[:, 0] for pairs in rows.values()]))
    kept = everyone[np.argsort(seeded_hash(everyone, seed))[:most_users]]
    parts = []
    for place, ((_, part), pairs) in enumerate(rows.items()):
        chosen = pairs[np.isin(pairs[:, 0], kept)]
        test = np.full(len(chosen), part == "test")
        parts.append(
            np.column_stack([chosen, np.full(len(chosen), place // 2), test, turns(chosen)])
        )
    line_N5 = np.concatenate(parts)
    line_N5 = line_N5[np.lexsort((line_N5[:, 2], line_N5[:, 4], line_N5[:, 3], line_N5[:, 0]))]
    names = [domains[int(place)] for place in line_N5[:, 2]]
    log = {
        "user_id": line_N5[:, 0].astype(np.int64),
        "item_id": [f"{name} {int(item)}" for name, item in zip(names, line_N5[:, 1], strict=True)],
        "scenario": names,
    }
    encoded = encode(join(log, name=folder.name), tie_seed=seed)
    return encoded, held_out(encoded, (line_N5[:, 3] == 1)[encoded.log_row])


def without_twins(rows: Pairs, domains: list[str]) -> Pairs:
    """The training lines without purchases that another domain holds out.

    Held out are the test lines and the last training line of every user and domain, which
    validates. Items with nearly the same buyers, test lines included and two at least, are the same
    item. (One that only the tested user bought is in nobody's training, so nothing foretells it.)
    """
    size = 1 + max(int(pairs.max(initial=0)) for pairs in rows.values())
    bought = {
        name: _matrix(np.concatenate([rows[name, "train"], rows[name, "test"]]), size)
        for name in domains
    }
    found = dict(rows)
    for name in domains:
        train = rows[name, "train"]
        told = np.zeros(len(train), dtype=bool)
        for other in domains:
            if other != name:
                held = np.concatenate([rows[other, "test"], newest(rows[other, "train"])])
                twins = _matrix(held, size) @ same_items(bought[other], bought[name])
                told |= np.asarray(twins[train[:, 0], train[:, 1]]).ravel() > 0
        told[_newest_rows(train)] = False  # it validates here as there, and is learned by neither
        found[name, "train"] = train[~told]
    return found


def same_items(one: sparse.csr_matrix, other: sparse.csr_matrix) -> sparse.csr_matrix:
    """[I, J] 1 where the buyers of two items are nearly the same, of [U, I] and [U, J]."""
    both = (one.T @ other).tocoo()
    count_I, count_J = np.asarray(one.sum(0)).ravel(), np.asarray(other.sum(0)).ravel()
    either = count_I[both.row] + count_J[both.col] - both.data
    same = (both.data >= SAME * either) & (both.data > 1)
    value = np.ones(int(same.sum()))
    return sparse.csr_matrix((value, (both.row[same], both.col[same])), shape=both.shape)


def newest(pairs: np.ndarray) -> np.ndarray:
    """[U, 2] the last line of every user."""
    return pairs[_newest_rows(pairs)]


def _newest_rows(pairs: np.ndarray) -> np.ndarray:
    backwards = np.unique(pairs[::-1, 0], return_index=True)[1]
    return len(pairs) - 1 - backwards


def _matrix(pairs: np.ndarray, size: int) -> sparse.csr_matrix:
    """[size, size] 1 for every user and item, numbers below ``size``."""
    matrix = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (size, size))
    matrix.data[:] = 1.0
    return matrix


def held_out(encoded: Encoded, test_E: np.ndarray) -> Split:
    """Test lines are test, and the newest other line of a user and domain validates."""
    events = encoded.events
    part = np.where(test_E, np.int8(Part.TEST), np.int8(Part.TRAIN))
    group = events.group() * len(encoded.scenarios) + events.scenario
    rows = np.flatnonzero(~test_E)
    newest = rows[np.unique(group[rows][::-1], return_index=True)[1] * -1 + len(rows) - 1]
    several = np.bincount(group[rows], minlength=int(group.max()) + 1)[group[newest]] > 2
    part[newest[several]] = Part.VALID
    return Split("domains", events, part)


def turns(pairs: np.ndarray) -> np.ndarray:
    """[N] how far each line stands in its user's lines, from 0 to 1."""
    order = np.argsort(pairs[:, 0], kind="stable")
    user = pairs[order, 0]
    first = np.searchsorted(user, user)
    count = np.searchsorted(user, user, side="right") - first
    turn = np.empty(len(pairs))
    turn[order] = (np.arange(len(pairs)) - first + 0.5) / count
    return turn


def read_pairs(path: Path) -> np.ndarray:
    """[N, 2] user and item of each line.

    Raises:
        DataError: the file is missing, or a line does not begin with two numbers; names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not (fields[0].isdigit() and fields[1].isdigit()):
            raise DataError(f"{path}, line {number}: expected 'user item', found {line[:40]!r}")
        pairs.append((int(fields[0]), int(fields[1])))
    return np.array(pairs, np.int64).reshape(-1, 2)
