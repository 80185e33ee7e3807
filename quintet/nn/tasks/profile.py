"""Profile, p(u | h_u): who this is, what they will care about next, and what they are like.

Three losses: two views of one history must find each other among the batch; the shares of the item
categories in the next window of events; and the user's own attributes, where they were withheld
from the state.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.states import (
    decayed_sums,
    interest_shares,
    next_window_shares,
    state_before,
    state_lengths,
)
from quintet.nn.losses import hard_cross_entropy, info_nce, soft_cross_entropy
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import Arrays, Step, Task, Tensors, mlp, no_loss, zero_last

DECAYS = (1.0, 0.97, 0.85)
SMOOTHING = 3.0


class Profile(Task):
    """Interests as a distribution, identity by contrast, attributes by classification."""

    name = "profile"

    class Config(Task.Config):
        """Settings of the profile task."""

        weight: float = tunable(0.2, low=0.01, high=2, log=True, description="λ of its loss")
        window: int = tunable(10, choices=[5, 10, 20], description="events in the next window")
        contrast: float = tunable(0.1, low=0.0, high=1, description="weight of the two views")
        attributes: float = tunable(0.3, low=0.0, high=1, description="weight of the attributes")
        temperature: float = tunable(0.2, low=0.05, high=0.5, description="of the contrast")

    config: Config
    prior_C: Tensor

    def __init__(self, shape: DataShape, width: int, config: Config | None = None) -> None:
        super().__init__(shape, width, config)
        n = len(shape.interest_names)
        self.counted = nn.Parameter(torch.tensor([0.5, 0.5, 0.0]))
        self.correct = zero_last(mlp(width + n * len(DECAYS) + 1, 2 * width, max(n, 1)))
        self.view = nn.Linear(width, width)
        self.attribute = nn.ModuleList(
            nn.Linear(width, size) for size in shape.user_categories.values()
        )
        self.numbers = nn.Linear(width, max(len(shape.user_numbers), 1))
        self.register_buffer("prior_C", torch.full((max(n, 1),), 1.0 / max(n, 1)))
        self.items: FeatureTable | None = None

    def fit(self, events: Interactions, items: FeatureTable, users: FeatureTable) -> None:
        """See :meth:`Task.fit`."""
        del users
        self.set_items(items)
        if self.shape.interest is not None:
            total = interest_shares(events, items.categories[self.shape.interest]).sum(0) + 1.0
            self.prior_C = torch.tensor(total / total.sum(), dtype=torch.float32)

    def set_items(self, items: FeatureTable) -> None:
        """Take the catalogue whose categories are counted."""
        self.items = items

    def features(self, events: Interactions, *, in_training: bool = False) -> Arrays:
        """Log shares of the categories so far, at three horizons, smoothed by everyone's."""
        del in_training
        if self.shape.interest is None or self.items is None:
            return {}
        share_EC = interest_shares(events, self.items.categories[self.shape.interest])
        prior_C = self.prior_C.cpu().numpy()
        horizons = []
        for decay in DECAYS:
            sums = decayed_sums(events, share_EC, decay) + SMOOTHING * prior_C
            horizons.append(np.log(sums / sums.sum(1, keepdims=True)))
        return {
            "log_share": np.stack(horizons, 1).astype(np.float32),
            "length": (np.log1p(state_lengths(events))[:, None] / 5).astype(np.float32),
        }

    def labels(self, events: Interactions, users: FeatureTable) -> Arrays:
        """Shares of the next window, and the attributes of the event's user (-1: missing)."""
        labels: Arrays = {}
        if self.shape.interest is not None and self.items is not None:
            share_EC = interest_shares(events, self.items.categories[self.shape.interest])
            window = next_window_shares(events, share_EC, self.config.window)
            labels["next_share"] = window[state_before(events)]
        for name in self.shape.user_categories:
            column = users.categories[name]
            first = np.full(users.n_rows, -1, np.int64)
            known = np.diff(column.offsets) > 0
            first[known] = column.codes[column.offsets[:-1][known]]
            labels[f"column_{name}"] = first[events.user]
        for name in self.shape.user_numbers:
            number = users.numbers[name]
            value = np.where(number.present, number.values, np.nan).astype(np.float32)
            labels[f"number_{name}"] = value[events.user]
        return labels

    def interest_logits(self, shared_ND: Tensor, features: Tensors) -> Tensor:
        """[N, C] unnormalised log shares of the next window."""
        log_share_NHC = features["log_share"]
        counted_NC = (log_share_NHC * self.counted[None, :, None]).sum(1)
        inputs = torch.cat([shared_ND, log_share_NHC.flatten(1), features["length"]], dim=1)
        out: Tensor = counted_NC + self.correct(inputs)
        return out

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        total = no_loss(step)
        if "next_share" in labels:
            known_N = labels["next_share"].sum(1) > 0
            logits = self.interest_logits(step.shared_ND, features)
            total = total + soft_cross_entropy(logits, labels["next_share"], known_N)
        if step.views is not None and len(step.views[0]) > 1:
            one, other = (self.view(view) for view in step.views)
            contrast = info_nce(one, other, self.config.temperature)
            total = total + self.config.contrast * contrast
        return total + self.config.attributes * self._attribute_loss(step, labels)

    def _attribute_loss(self, step: Step, labels: Tensors) -> Tensor:
        total = no_loss(step)
        for name, classify in zip(self.shape.user_categories, self.attribute, strict=True):
            code_N = labels[f"column_{name}"]
            mask_N = step.attributes_hidden_N & (code_N >= 0)
            total = total + hard_cross_entropy(classify(step.shared_ND), code_N, mask_N)
        if self.shape.user_numbers:
            predicted_NC = self.numbers(step.shared_ND)
            columns = [labels[f"number_{name}"] for name in self.shape.user_numbers]
            value_NC = torch.stack(columns, 1)
            mask_NC = step.attributes_hidden_N[:, None] & ~value_NC.isnan()
            error_NC = torch.where(mask_NC, predicted_NC - value_NC.nan_to_num(), 0.0) ** 2
            total = total + error_NC.sum() / mask_NC.sum().clamp_min(1)
        return total
