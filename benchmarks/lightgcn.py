"""LightGCN as a baseline: vectors of people that are averaged along friendships, learned by BPR.

He et al., SIGIR 2020: no weights but the first vectors, symmetric normalisation, the mean of all
layers, a pair's score their inner product. The graph may hold what people listened to as well: one
more node an artist. Training stops where validation stops rising.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quintet.data.interactions import Floats, Ints, Mask


@dataclass(frozen=True)
class Settings:
    """What is tuned.

    Attributes:
        listens: whether artists are nodes of the graph.
        layers: steps along the edges.
        ridge: on the first vectors of a batch, as in the paper.
        width: of the vectors.
        rate: of Adam.
        epochs: at most; each looks at every friendship from both sides.
        batch: directed friendships a step.
    """

    listens: bool = False
    layers: int = 3
    ridge: float = 1e-3
    width: int = 64
    rate: float = 1e-2
    epochs: int = 150
    batch: int = 4096


def grid() -> Iterator[Settings]:
    """What is tried."""
    for listens, layers, ridge in itertools.product((False, True), (2, 3), (1e-3, 1e-2)):
        yield Settings(listens=listens, layers=layers, ridge=ridge)


#: validation is looked at this often, and training ends after so many looks without a rise
EVERY, PATIENCE = 10, 3


def fit(
    pairs_P2: Ints,
    listens: tuple[Ints, Ints],
    n_people: int,
    settings: Settings,
    seed: int,
    validate: Callable[[Floats], float] | None = None,
) -> tuple[Floats, int, float]:
    """[U, U] scores, epochs and validation figure of the best look; of the last without looks.

    Args:
        pairs_P2: friendships, each once.
        listens: [N] people and [N] artists.
        n_people: U.
        settings: how it learns.
        seed: of first vectors, order and rivals.
        validate: a figure of scores, higher is better.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    nodes = n_people + (int(listens[1].max(initial=-1)) + 1 if settings.listens else 0)
    walk = _walk(pairs_P2, listens if settings.listens else None, n_people, nodes)
    first = torch.nn.Parameter(torch.randn(nodes, settings.width) * 0.1)
    optimizer = torch.optim.Adam([first], lr=settings.rate)
    both = np.concatenate([pairs_P2, pairs_P2[:, ::-1]])
    friends = np.zeros((n_people, n_people), np.bool_)
    friends[tuple(both.T)] = True
    np.fill_diagonal(friends, True)
    best, best_epoch, best_scores = -1.0, 0, np.zeros((0, 0), np.float32)
    for epoch in range(1, settings.epochs + 1):
        for chosen in np.array_split(rng.permutation(len(both)), _steps(len(both), settings)):
            _step(first, optimizer, walk, both[chosen], _strangers(both[chosen], friends, rng),
                  settings)  # fmt: skip
        if validate is not None and epoch % EVERY == 0:
            scores = _scores(first, walk, settings, n_people)
            figure = validate(scores)
            if figure > best:
                best, best_epoch, best_scores = figure, epoch, scores
            if epoch - best_epoch >= EVERY * PATIENCE:
                break
    if validate is None:
        return _scores(first, walk, settings, n_people), settings.epochs, best
    return best_scores, best_epoch, best


def _steps(n: int, settings: Settings) -> int:
    return max(1, round(n / settings.batch))


def _walk(pairs_P2: Ints, listens: tuple[Ints, Ints] | None, n_people: int, nodes: int) -> Tensor:
    """[V, V] the graph's edges over the roots of both degrees."""
    one, other = pairs_P2.T
    if listens is not None:
        one, other = np.r_[one, listens[0]], np.r_[other, listens[1] + n_people]
    row, column = np.r_[one, other], np.r_[other, one]
    degree = np.maximum(np.bincount(row, minlength=nodes), 1)
    value = torch.from_numpy(1 / np.sqrt(degree[row] * degree[column])).float()
    where = torch.from_numpy(np.stack([row, column]))
    edges = torch.sparse_coo_tensor(where, value, (nodes, nodes), check_invariants=True)
    return edges.coalesce()


def _propagated(first: Tensor, walk: Tensor, layers: int) -> Tensor:
    """[V, D] the mean of all layers."""
    layer, total = first, first
    for _ in range(layers):
        layer = walk @ layer
        total = total + layer
    return total / (layers + 1)


def _strangers(pairs_N2: Ints, friends: Mask, rng: np.random.Generator) -> Ints:
    """[N] somebody whom the first of each pair does not know, drawn evenly."""
    drawn = rng.integers(0, len(friends), len(pairs_N2))
    for _ in range(20):
        known = np.flatnonzero(friends[pairs_N2[:, 0], drawn])
        if not len(known):
            break
        drawn[known] = rng.integers(0, len(friends), len(known))
    return drawn


def _step(
    first: torch.nn.Parameter,
    optimizer: torch.optim.Optimizer,
    walk: Tensor,
    pairs_N2: Ints,
    stranger_N: Ints,
    settings: Settings,
) -> None:
    vector = _propagated(first, walk, settings.layers)
    rows = [torch.from_numpy(own) for own in (*pairs_N2.T.copy(), stranger_N)]
    person, friend, stranger = (vector[own] for own in rows)
    loss = F.softplus((person * (stranger - friend)).sum(1)).mean()
    ridge = sum(first[own].square().sum() for own in rows) / (2 * len(stranger_N))
    optimizer.zero_grad()
    (loss + settings.ridge * ridge).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.no_grad()
def _scores(first: Tensor, walk: Tensor, settings: Settings, n_people: int) -> Floats:
    vector = _propagated(first, walk, settings.layers)[:n_people]
    scores: Floats = (vector @ vector.T).numpy()
    return scores
