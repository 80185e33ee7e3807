"""The turn of states towards a request: what each task reads, given where and for what it asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from quintet.config import build
from quintet.nn.experts.base import EXPERTS
from quintet.nn.request import RequestEncoder
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import TASKS

if TYPE_CHECKING:
    from quintet.nn.model import ModelConfig

#: tasks that read the towers' states; the others read the shared one
ORDERING = ("ranking", "item")


class Turn(nn.Module):
    """Experts on every tower's state and on the shared state, moved by the request.

    Args:
        shape: of the data set.
        config: of the model.
        towers: names of the towers.
        own: tasks that have a tower of their own.
        fields: of the request that are read.
    """

    def __init__(
        self,
        shape: DataShape,
        config: ModelConfig,
        towers: Sequence[str],
        own: Sequence[str],
        fields: Sequence[str],
    ) -> None:
        super().__init__()
        self.request = RequestEncoder(config.width, shape, fields, config.context_dropout)
        apart = (*ORDERING, *config.off, *own)
        self.others = [name for name in TASKS.names() if name not in apart]
        part = EXPERTS.get(config.experts)
        settings = build(part.Config, config.expert_settings, "expert_settings")
        readers = {name: ["ranking"] for name in towers} | {name: [name] for name in own}
        readers["shared"] = self.others
        self.experts = nn.ModuleDict(
            {
                name: part(config.width, read, len(shape.scenarios), settings)
                for name, read in readers.items()
                if read
            }
        )

    def forward(
        self,
        hidden: Mapping[str, Tensor],
        shared_ND: Tensor,
        own: Mapping[str, Tensor],
        request: Mapping[str, Tensor] | None,
        asked: Collection[str],
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """By tower, shared, and by task: all [N, D].

        Args:
            hidden: [N, D] by tower.
            shared_ND: of all towers.
            own: [N, D] by task that has a tower of its own.
            request: [N, ...] by field; what is absent is unknown.
            asked: tasks whose states are wanted.
        """
        told = self.request.told(request, len(shared_ND))
        request_ND = self.request(told)
        scenario_N = told.get("scenario")
        if scenario_N is None:
            scenario_N = torch.full((len(shared_ND),), -1, device=shared_ND.device)
        turned = {
            name: self.experts[name](state_ND, request_ND, scenario_N)["ranking"]
            for name, state_ND in hidden.items()
        }
        by_task = {}
        if not set(self.others).isdisjoint(asked):
            by_task = self.experts["shared"](shared_ND, request_ND, scenario_N)
        for name, state_ND in own.items():
            by_task |= self.experts[name](state_ND, request_ND, scenario_N)
        return turned, shared_ND, by_task
