"""All evidence about every item for a batch of histories, each on a scale of its own.

Towers are standardised with closed-form moments over the warm catalogue (μ = h·m̄ and
σ = √(hᵀΣh)), so that their weighted sum stays one inner product that an index can serve. Memories
are divided by their largest score, or by 1 where they are chances, and compressed, which keeps
"no evidence" at zero; those that score every item, either way, are standardised too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from quintet.compiled import Compiled, can_compile
from quintet.data.batch import collate, gap_buckets, newest_windows
from quintet.data.interactions import Floats, Interactions, Ints, Mask, Request, rows_of
from quintet.data.states import Moments
from quintet.memory.base import Memory
from quintet.memory.entries import Entries
from quintet.nn.content import Inputs
from quintet.nn.fusion import N_CONTEXT
from quintet.nn.model import ItemTables, QuintetModel, States
from quintet.nn.tasks.base import all_tensors, as_tensors
from quintet.nn.tasks.interaction import Interaction

HISTORIES_PER_BLOCK = 256
#: scores of one kind of evidence held at once: large catalogues take fewer histories a block
CELLS_PER_BLOCK = 1 << 22
RECENT = 10
#: variance of scores that is nothing but rounding
FLAT = 1e-9


@dataclass(frozen=True)
class Standardised:
    """Item side of an inner-product score, with its moments over the warm catalogue.

    Attributes:
        item_IX: [I, X] vectors, then the bias, then a one that takes up the mean.
        mean_E: [E] mean of vector and bias over warm items.
        covariance_EE: [E, E] their covariance.
    """

    item_IX: Tensor
    mean_E: Tensor
    covariance_EE: Tensor

    @classmethod
    def of(
        cls, vector_ID: Tensor, bias_I: Tensor, warm_I: Tensor, *, only_warm: bool = False
    ) -> Standardised:
        """From vectors and biases; the bias becomes one more coordinate.

        With ``only_warm`` the others' vectors say nothing, so that their scores are 0, the mean.
        """
        item_IE = torch.cat([vector_ID, bias_I[:, None]], dim=1).detach()
        warm_JE = item_IE[warm_I] if bool(warm_I.any()) else item_IE
        centred = warm_JE - warm_JE.mean(0)
        if only_warm:
            item_IE = torch.where(warm_I[:, None], item_IE, warm_JE.mean(0))
        one_I1 = item_IE.new_ones(len(item_IE), 1)
        item_IX = torch.cat([item_IE, one_I1], dim=1)
        return cls(item_IX, warm_JE.mean(0), centred.T @ centred / len(warm_JE))

    def query(self, state_BD: Tensor) -> Tensor:
        """[B, X] whose inner products with ``item_IX`` are the standardised scores.

        Zeros where all warm items score the same: there is nothing to tell them apart by, and the
        others would be any number of deviations away.
        """
        state_BE = torch.cat([state_BD, state_BD.new_ones(len(state_BD), 1)], dim=1)
        mean_B1 = state_BE @ self.mean_E[:, None]
        variance_B1 = ((state_BE @ self.covariance_EE) * state_BE).sum(1, keepdim=True)
        query_BX = torch.cat([state_BE, -mean_B1], dim=1) / variance_B1.clamp_min(FLAT).sqrt()
        return query_BX.masked_fill(variance_B1 <= FLAT, 0.0)

    def scores(self, state_BD: Tensor) -> Tensor:
        """[B, I] scores with mean 0 and variance 1 over the warm catalogue, for every row."""
        return self.query(state_BD) @ self.item_IX.T


class EvidenceBuilder:
    """Computes the evidence of one model and its memories; holds no user state.

    Args:
        model: the network.
        memories: counted evidence by name.
        item_inputs: prepared attributes of the catalogue.
        user_inputs: prepared attributes of the users.
        count_I: [I] training events of each item.
        left_out: kinds of evidence not used, by name.
    """

    def __init__(
        self,
        model: QuintetModel,
        memories: Mapping[str, Memory],
        item_inputs: Inputs | None,
        user_inputs: Inputs | None,
        count_I: Floats,
        left_out: Collection[str] = (),
    ) -> None:
        self.model = model.eval()
        self.memories = dict(memories)
        self.left_out = frozenset(left_out)
        self.item_inputs = item_inputs
        self.user_inputs = user_inputs
        self.count_I = count_I
        with torch.no_grad():
            self.tables: ItemTables = model.item_tables(item_inputs)
            towers = self._standardised_towers()
            self.towers = tuple(towers)
            linear = self._linear_sides(towers)
        log_count = np.log1p(count_I)
        warm = count_I > 0
        known = log_count[warm] if warm.any() else np.zeros(1)
        mean, scale = known.mean(), max(float(known.std()), 1e-6)
        self.popularity_I = np.where(warm, (log_count - mean) / scale, 0).astype(np.float32)
        sides = {name: side.item_IX for name, side in linear.items()}
        if "popularity" in self.names:
            sides["popularity"] = torch.from_numpy(self.popularity_I).to(self.device)[:, None]
        #: [I, X] the item sides of all inner products one beside the other, and each by name
        self.joined_IX = torch.cat(
            [torch.zeros(len(count_I), 0).to(self.device), *sides.values()], 1
        )
        parts = self.joined_IX.split_with_sizes([side.shape[1] for side in sides.values()], dim=1)
        self.item_sides = dict(zip(sides, parts, strict=True))
        self.linear = {
            name: replace(side, item_IX=self.item_sides[name]) for name, side in linear.items()
        }

    def _standardised_towers(self) -> dict[str, Standardised]:
        stand_in = self.tables.stand_in
        towers = {
            name: Standardised.of(
                items.vector_ID,
                items.bias_I,
                self.model.warm_I,
                only_warm=name == "identity" and stand_in is None,  # training pushed them down
            )
            for name, items in self.tables.items.items()
        }
        stands_in = "identity" in towers and "item" in self.model.tasks
        if stands_in and stand_in is not None:
            towers["stand_in"] = Standardised.of(
                stand_in.vector_ID, stand_in.bias_I, self.model.warm_I
            )
        return towers

    def _linear_sides(self, towers: Mapping[str, Standardised]) -> dict[str, Standardised]:
        """The item side of every kind of evidence that is an inner product, but popularity."""
        sides = dict(towers)
        for name, memory in self.memories.items():
            vectors = memory.item_vectors()
            if vectors is not None:
                vector_IF = torch.zeros(len(self.count_I), vectors.shape[1], device=self.device)
                vector_IF[: len(vectors)] = torch.from_numpy(vectors)
                bias_I = vector_IF.new_zeros(len(vector_IF))
                sides[self._memory_name(name)] = Standardised.of(vector_IF, bias_I, self._counted())
        if self._rates():
            vector_IR, bias_I = self._rating_task().evidence(self.tables.joint_ID)
            sides["rating"] = Standardised.of(vector_IR, bias_I, self.model.warm_I)
        return {name: side for name, side in sides.items() if name not in self.left_out}

    def _counted(self) -> Tensor:
        return torch.from_numpy(self.count_I > 0).to(self.device)

    def _memory_name(self, memory: str) -> str:
        return f"{memory}_memory" if memory in self.towers else memory

    @property
    def names(self) -> list[str]:
        """The kinds of evidence, in the order of the last axis."""
        rating = ["rating"] if self._rates() else []
        names = [*self.towers, *self.recallable, *rating, "popularity"]
        return [name for name in names if name not in self.left_out]

    @property
    def recallable(self) -> dict[str, Memory]:
        """The memories by the names of their evidence."""
        named = {self._memory_name(name): memory for name, memory in self.memories.items()}
        return {name: memory for name, memory in named.items() if name not in self.left_out}

    def _rates(self) -> bool:
        return "interaction" in self.model.tasks and self.model.shape.n_levels > 0

    # ------------------------------------------------------------------ states

    @torch.no_grad()
    def states(self, moments: Moments, asked: Collection[str] | None = None) -> States:
        """States of the model at the given moments; equal alone and in any batch.

        Args:
            moments: of histories.
            asked: tasks whose states are wanted; all when absent.
        """
        windows = newest_windows(moments, self.model.config.longest)
        gaps = gap_buckets(moments.events)
        order = np.argsort(windows.stop - windows.start, kind="stable")
        parts = []
        for start in range(0, max(len(order), 1), HISTORIES_PER_BLOCK):
            index = order[start : start + HISTORIES_PER_BLOCK]
            batch = collate(moments.events, windows.take(index), gaps).to(self.device)
            request = None if moments.request is None else self._asked(moments.request, index)
            parts.append(self.model.states(batch, self.tables, self.user_inputs, request, asked))
        back = torch.from_numpy(np.argsort(order, kind="stable"))
        hidden: dict[str, Tensor] = {
            name: torch.cat([part.hidden[name] for part in parts])[back]
            for name in self.model.tower_names
        }
        by_task = {
            name: torch.cat([part.by_task[name] for part in parts])[back]
            for name in parts[0].by_task
        }
        return States(hidden, torch.cat([part.shared_BD for part in parts])[back], by_task)

    def _asked(self, request: Request, index: Ints) -> dict[str, Tensor]:
        asked = all_tensors(rows_of(request, index))
        return {name: tensor.to(self.device) for name, tensor in asked.items()}

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.bias_I.device

    def task_features(self, task: str, moments: Moments) -> dict[str, Tensor]:
        """The task's features at the given moments."""
        arrays = self.model.task(task).features(moments.events)
        features = as_tensors(arrays, moments.state)
        return {name: tensor.to(self.device) for name, tensor in features.items()}

    def context(self, histories: Interactions) -> Tensor:
        """[B, F] what the gates see of a user: 1, length, and popularity of the recent items."""
        length = histories.lengths
        recent = histories.tail(RECENT)
        total = np.bincount(
            recent.group(), weights=self.popularity_I[recent.item], minlength=len(length)
        )
        taste = total / np.maximum(recent.lengths, 1)
        context = np.stack([np.ones(len(length)), np.log1p(length) / 2 - 1.5, taste], 1)
        assert context.shape[1] == N_CONTEXT
        return torch.from_numpy(context.astype(np.float32)).to(self.device)

    # ------------------------------------------------------------------ evidence

    @torch.no_grad()
    def evidence(self, histories: Interactions, states: States | None = None) -> Tensor:
        """[B, I, K] scaled evidence, K in the order of :attr:`names`."""
        queries = self.queries(histories, states)
        recallable = self.recallable
        columns = []
        for name in self.names:
            if name in queries:
                columns.append(queries[name] @ self.linear[name].item_IX.T)
            elif name in recallable:
                scores = self.recalled(recallable[name], histories)
                columns.append(torch.from_numpy(scores).to(self.device))
            else:
                popularity_I = torch.from_numpy(self.popularity_I).to(self.device)
                columns.append(popularity_I.expand(histories.n_users, -1))
        return torch.stack(columns, dim=-1)

    @torch.no_grad()
    def queries(
        self,
        histories: Interactions,
        states: States | None = None,
        names: Collection[str] | None = None,
    ) -> dict[str, Tensor]:
        """[B, X] the history side of kinds of evidence in :attr:`linear`: of ``names``, or all."""
        wanted = {
            name: side for name, side in self.linear.items() if names is None or name in names
        }
        if states is None:
            asked = ["interaction"] if "rating" in wanted else []
            states = self.states(Moments.newest(histories), asked)
        queries = {}
        for name, side in wanted.items():
            if name in self.towers:
                state = states.hidden["content" if name == "content" else "identity"]
            elif name == "rating":
                state = self._rating_task().state_side(states.of("interaction"))
            else:
                taste = self.recallable[name].queries(histories)
                state = torch.from_numpy(taste).to(self.device)
            queries[name] = side.query(state)
        return queries

    def recalled(self, memory: Memory, histories: Interactions) -> Floats:
        """[B, I] a memory's scores on the scale that the gates know."""
        score_BI = memory.score(histories)
        if memory.dense:
            return standardised(score_BI, self.count_I > 0)
        return compressed(score_BI, memory.config.full)

    def _rating_task(self) -> Interaction:
        task = self.model.task("interaction")
        assert isinstance(task, Interaction)
        return task

    def blocks(
        self, histories: Interactions, *, apart: bool = False
    ) -> Iterator[tuple[np.ndarray, Interactions]]:
        """The histories in blocks small enough for dense scores: (their rows, the block).

        The shortest come first, so that a block holds little padding. With ``apart`` they are small
        enough for every kind of evidence beside the others (:meth:`evidence`).
        """
        order = np.argsort(histories.lengths, kind="stable")
        cells = histories.n_items * (len(self.names) if apart else 1)
        step = min(HISTORIES_PER_BLOCK, max(1, CELLS_PER_BLOCK // max(cells, 1)))
        for start in range(0, histories.n_users, step):
            rows = order[start : start + step]
            yield rows, histories.users(rows)


def standardised(score_BI: Floats, warm_I: Mask) -> Floats:
    """Scores with mean 0 and variance 1 over the warm catalogue, for every row; flat rows are 0."""
    warm_BW = score_BI[:, warm_I] if warm_I.any() else score_BI
    mean_B1, scale_B1 = warm_BW.mean(1, keepdims=True), warm_BW.std(1, keepdims=True)
    centred_BI = (score_BI - mean_B1) / np.maximum(scale_B1, 1e-12)
    return np.where(scale_B1 > 1e-9, centred_BI, 0).astype(np.float32)


def compressed(score_BI: Floats, full: float | None = None) -> Floats:
    """Memory scores as ``log(1 + 100 x / full) / log 101``: 0 stays 0, ``full`` is 1.

    Without ``full`` every row is divided by its own greatest score.
    """
    full_B1 = np.maximum(score_BI.max(1, keepdims=True), 1e-12) if full is None else full
    relative = np.maximum(score_BI, 0) / full_B1
    scaled_BI: Floats = (np.log1p(100 * relative) / np.log(101)).astype(np.float32)
    return scaled_BI


def compressed_entries(scores: Entries, full_B: Floats) -> Entries:
    """As :func:`compressed`, of what is not 0.

    Args:
        scores: of any memories.
        full_B: [B] the score that is full evidence in each row; 0 for the row's own greatest.
    """
    relative = _relative if can_compile() else _relative_by_arrays
    percent_N = relative(scores.offsets_B, scores.value_N, full_B)
    value_N = np.log1p(percent_N, out=percent_N) * np.float32(1 / np.log(101))
    return Entries(scores.offsets_B, scores.item_N, value_N, scores.n_items)


def _relative_by_arrays(offsets_B: Ints, value_N: Floats, full_B: Floats) -> Floats:
    """[N] what is above 0 as ``100 x / full`` of its row, the rest as 0."""
    percent_N = np.maximum(value_N, 0)
    count_B = np.diff(offsets_B)
    told_B = count_B > 0
    largest = np.maximum.reduceat(percent_N, offsets_B[:-1][told_B]) if told_B.any() else percent_N
    full = np.where(full_B[told_B] > 0, full_B[told_B], largest)
    scale = np.float32(100) / np.maximum(full, np.float32(1e-12))
    percent_N *= np.repeat(scale, count_B[told_B])
    return percent_N


@Compiled
def _relative(offsets_B, value_N, full_B):  # type: ignore[no-untyped-def]
    percent_N = np.empty(len(value_N), np.float32)
    for row in range(len(offsets_B) - 1):
        full = full_B[row]
        if full <= 0:
            full = np.float32(1e-12)
            for entry in range(offsets_B[row], offsets_B[row + 1]):
                full = max(full, value_N[entry])
        scale = np.float32(100) / full
        for entry in range(offsets_B[row], offsets_B[row + 1]):
            percent_N[entry] = max(value_N[entry], np.float32(0)) * scale
    return percent_N
