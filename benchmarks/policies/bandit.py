"""A bandit whose truth is known: contexts, actions, clicks, two policies, a fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.metrics.off_policy import (
    BanditLog,
    PolicyValue,
    direct_method,
    doubly_robust,
    expected_reward,
    ips,
    snips,
    switch,
    switch_dr,
    switch_threshold,
)

ACTIONS, WIDTH = 6, 4


@dataclass(frozen=True)
class Rounds:
    """What was logged, what the target would do, and a model's predictions from other folds."""

    reward_N: np.ndarray
    action_N: np.ndarray
    logging_NA: np.ndarray
    policy_NA: np.ndarray
    predicted_NA: np.ndarray

    def of_action(self, table_NA: np.ndarray) -> np.ndarray:
        """[N] the column of the logged action."""
        return table_NA[np.arange(len(self.action_N)), self.action_N]

    def estimates(self, **how: int) -> dict[str, PolicyValue]:
        """Every estimator's answer; SWITCH chooses its threshold from the log."""
        log = BanditLog(
            self.reward_N, self.of_action(self.logging_NA), self.of_action(self.policy_NA)
        )
        model = (
            self.of_action(self.predicted_NA),
            expected_reward(self.policy_NA, self.predicted_NA),
        )
        tables = self.logging_NA, self.policy_NA, self.predicted_NA
        threshold = switch_threshold(log, *tables, greatest_reward=1.0)
        return {
            "IPS": ips(log, **how),
            "SNIPS": snips(log, **how),
            "direct method": direct_method(log, model[1], **how),
            "doubly robust": doubly_robust(log, *model, **how),
            "SWITCH": switch(log, *tables, threshold, **how),
            "SWITCH-DR": switch_dr(log, *model, threshold, **how),
        }


class Bandit:
    """Clicks follow a logistic law; the target likes what is clicked more than the log does."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.taste_WA = rng.normal(0, 0.8, (WIDTH, ACTIONS))
        self.level_A = rng.normal(-1, 0.5, ACTIONS)
        self.habit_WA = self.taste_WA / 2 + rng.normal(0, 0.5, (WIDTH, ACTIONS))

    def click(self, context_NW: np.ndarray) -> np.ndarray:
        """[N, A] true click probabilities."""
        return 1 / (1 + np.exp(-(context_NW @ self.taste_WA + self.level_A)))

    def logging(self, context_NW: np.ndarray) -> np.ndarray:
        """[N, A] probabilities under the logging policy; none is 0."""
        return 0.8 * softmax(context_NW @ self.habit_WA) + 0.2 / ACTIONS

    def policy(self, context_NW: np.ndarray) -> np.ndarray:
        """[N, A] probabilities under the target policy."""
        return softmax(2 * (context_NW @ self.taste_WA + self.level_A))

    def truth(self, n: int = 400_000) -> float:
        """The target's expected clicks a round, over n contexts."""
        context_NW = np.random.default_rng(99).normal(size=(n, WIDTH))
        return float((self.policy(context_NW) * self.click(context_NW)).sum(axis=1).mean())

    def draw(self, n: int, seed: int) -> Rounds:
        """Log n rounds and fit the model."""
        rng = np.random.default_rng([7, seed])
        context_NW = rng.normal(size=(n, WIDTH))
        logging_NA = self.logging(context_NW)
        action_N = (logging_NA.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, ACTIONS - 1)
        reward_N = (rng.random(n) < self.click(context_NW)[np.arange(n), action_N]).astype(float)
        predicted_NA = cross_fitted(context_NW, action_N, reward_N)
        return Rounds(reward_N, action_N, logging_NA, self.policy(context_NW), predicted_NA)


def cross_fitted(context_NW: np.ndarray, action_N: np.ndarray, reward_N: np.ndarray) -> np.ndarray:
    """[N, A] ridge regression for each action, fitted on the other half of the rounds."""
    design_NV = np.concatenate([np.ones((len(context_NW), 1)), context_NW], axis=1)
    predicted_NA = np.zeros((len(action_N), ACTIONS))
    half_N = np.arange(len(action_N)) % 2
    for half in (0, 1):
        for action in range(ACTIONS):
            own = (half_N != half) & (action_N == action)
            gram = design_NV[own].T @ design_NV[own] + np.eye(design_NV.shape[1])
            weight_V = np.linalg.solve(gram, design_NV[own].T @ reward_N[own])
            predicted_NA[half_N == half, action] = design_NV[half_N == half] @ weight_V
    return predicted_NA


def softmax(logit_NA: np.ndarray) -> np.ndarray:
    power_NA = np.exp(logit_NA - logit_NA.max(axis=1, keepdims=True))
    return power_NA / power_NA.sum(axis=1, keepdims=True)


def coverage(runs: int, rounds: int, resamples: int) -> dict[str, dict[str, float]]:
    """By estimator: bias, RMSE and how often each interval holds the truth, over fresh logs."""
    bandit = Bandit()
    truth = bandit.truth()
    found: dict[str, list[PolicyValue]] = {}
    for run in range(runs):
        for name, each in bandit.draw(rounds, run).estimates(seed=run, resamples=resamples).items():
            found.setdefault(name, []).append(each)

    def share(own: list[PolicyValue], low: str, high: str) -> float:
        return float(np.mean([getattr(v, low) <= truth <= getattr(v, high) for v in own]))

    return {
        name: {
            "truth": truth,
            "bias": float(np.mean([each.value for each in own])) - truth,
            "rmse": float(np.sqrt(np.mean([(each.value - truth) ** 2 for each in own]))),
            "normal": share(own, "low", "high"),
            "bootstrap": share(own, "bootstrap_low", "bootstrap_high"),
            "effective_n": float(np.mean([each.effective_n for each in own])),
        }
        for name, own in found.items()
    }
