"""Jobs of the other four tasks: what they are worth against what one would count by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.demo import setting
from benchmarks.demo.ranking import Ranking
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.data.split import Part, Split, global_time, hold_out_items, leave_one_out
from quintet.data.states import interest_shares, state_before
from quintet.data.strategies import STRATEGIES
from quintet.memory.base import MEMORIES, Memory
from quintet.metrics import (
    binary_metrics,
    calibration_bins,
    cluster_mean,
    log_loss_terms,
    mae,
    paired_bootstrap,
    rmse,
)
from quintet.serve.scorer import Scorer
from quintet.train.evaluate import evaluate_ranking
from quintet.train.evaluate_tasks import (
    LikeFigures,
    interest_loss,
    interest_targets,
    like_figures,
    strategy_labels,
    strategy_loss,
)
from quintet.train.pipeline import train
from quintet.train.profile_baselines import (
    LabelTransitions,
    cross_entropy,
    frequency_distribution,
    next_label_target,
    one_hot_labels,
    prior_shares,
    tune_frequency,
    tune_last_label,
)
from quintet.train.rating_baselines import RatedPairs, tune_rating

Figures = dict[str, Any]


def over_time() -> tuple[Ranking, dict[str, Figures], dict[str, Any]]:
    """Train before a moment in time and answer for what came after it.

    Returns:
        The ranking row; figures by task; points of the reliability diagram.
    """
    started = time.perf_counter()
    encoded = setting.encoded(setting.TIE_SEEDS[0])
    split = global_time(encoded.events)
    trained = train(encoded, split, setting.config(0)).trained
    scorer = trained.scorer
    result = evaluate_ranking(scorer, split, ks=setting.KS, items=trained.item_features)
    ranking = Ranking.of(result, split, started)
    rows = np.flatnonzero(split.part == Part.TEST)
    likes = like_figures(scorer, split.events, rows, setting.LIKE_AT)
    interaction, reliability = _interaction(likes, split)
    tasks = {
        "interaction": interaction,
        "profile": _profile(scorer, split, rows),
        "strategy": _strategy(scorer, split, rows),
    }
    return ranking, tasks, {"rating of 4 or more, given that it is rated": reliability}


# ---------------------------------------------------------------------- interaction


def _interaction(likes: LikeFigures, split: Split) -> tuple[Figures, list[dict[str, float]]]:
    own = binary_metrics(likes.like_N, likes.probability_N)
    figures: Figures = {
        "events": len(likes.like_N),
        "auc": own["auc"],
        "log_loss": own["log_loss"],
        "accuracy": own["accuracy"],
        "f1": own["f1"],
        "calibration_error": own["calibration_error"],
        "rmse": rmse(likes.value_N, likes.expected_N),
        "mae": mae(likes.value_N, likes.expected_N),
    }
    valid, test = RatedPairs.of(split, Part.VALID), RatedPairs.of(split, Part.TEST)
    own_loss_N = log_loss_terms(likes.like_N, likes.probability_N)
    for name in ("bias", "bias_online", "svd"):
        tuned = tune_rating(name, split.train, valid, setting.TRIALS, 0)
        fitted = tuned.fit(split.train, valid, setting.LIKE_AT)
        chance_N, rating_N = fitted.probabilities(test), fitted.ratings(test)
        theirs = binary_metrics(likes.like_N, chance_N)
        figures |= {
            f"auc of {name}": theirs["auc"],
            f"log_loss of {name}": theirs["log_loss"],
            f"calibration_error of {name}": theirs["calibration_error"],
            f"rmse of {name}": rmse(likes.value_N, rating_N),
        }
        their_loss_N = log_loss_terms(likes.like_N, chance_N)
        gain = cluster_mean(their_loss_N - own_loss_N, likes.user_N)
        figures |= _interval(f"log loss saved against {name}", gain)
    bins = calibration_bins(likes.like_N, likes.probability_N)
    points = [{"predicted": b.predicted, "observed": b.observed, "count": b.count} for b in bins]
    return figures, points


def _interval(name: str, gain: Any) -> Figures:
    return {name: gain.mean, f"{name}, low": gain.low, f"{name}, high": gain.high}


# ---------------------------------------------------------------------- profile


def _profile(scorer: Scorer, split: Split, rows: Ints) -> Figures:
    """Interests in the next window against the user's own tuned frequency."""
    events = split.events
    chosen, target_NC = interest_targets(scorer, events, rows)
    own = interest_loss(scorer, events, chosen, target_NC)
    valid = np.flatnonzero(split.part == Part.VALID)
    valid, valid_target_NC = interest_targets(scorer, events, valid)
    task: Any = scorer.evidence.model.task("profile")
    column = task.items.categories[task.shape.interest]
    share_EC = interest_shares(events, column)
    prior_C = prior_shares(interest_shares(split.train, column))
    before = state_before(events)
    target_SC = np.zeros((len(events) + events.n_users, share_EC.shape[1]), np.float32)
    target_SC[before[valid]] = valid_target_NC
    valid_S = np.zeros(len(target_SC), np.bool_)
    valid_S[before[valid]] = True
    tuned = tune_frequency(events, share_EC, target_SC, valid_S, prior_C, setting.TRIALS, 0)
    counted_SC = frequency_distribution(events, share_EC, prior_C=prior_C, **tuned.values)
    their_loss_N = cross_entropy(target_NC, counted_SC[before[chosen]])
    gain = cluster_mean(their_loss_N - own.loss_N, own.user_N)
    return {
        "moments": len(chosen),
        "log_loss": float(own.loss_N.mean()),
        "log_loss of own frequency": float(their_loss_N.mean()),
        **_interval("log loss saved against own frequency", gain),
    }


# ---------------------------------------------------------------------- strategy


def _strategy(scorer: Scorer, split: Split, rows: Ints) -> Figures:
    """The next strategy against the user's frequency and the last label."""
    events, n = split.events, len(STRATEGIES)
    task: Any = scorer.evidence.model.task("strategy")
    label_E = strategy_labels(scorer, events)
    train_label_E = task.labeller.label(split.train, in_training=True)
    own = strategy_loss(scorer, events, rows, label_E[rows])
    before = state_before(events)
    valid_S = np.zeros(len(events) + events.n_users, np.bool_)
    valid_S[before[split.part == Part.VALID]] = True
    one_hot_EC = one_hot_labels(label_E, n)
    prior_C = prior_shares(one_hot_labels(train_label_E, n))
    target_SC = next_label_target(events, label_E, n)
    tuned = tune_frequency(events, one_hot_EC, target_SC, valid_S, prior_C, setting.TRIALS, 0)
    last = tune_last_label(
        split.train, train_label_E, events, label_E, valid_S, n, setting.TRIALS, 0
    )
    table = LabelTransitions.fit(split.train, train_label_E, n, last.values["smoothing"])
    counted = {
        "own frequency": frequency_distribution(
            events, one_hot_EC, prior_C=prior_C, **tuned.values
        ),
        "last label": table.distribution(events, label_E),
    }
    figures: Figures = {"moments": len(rows), "log_loss": float(own.loss_N.mean())}
    for name, predicted_SC in counted.items():
        their_loss_N = cross_entropy(target_SC[before[rows]], predicted_SC[before[rows]])
        gain = cluster_mean(their_loss_N - own.loss_N, own.user_N)
        figures[f"log_loss of {name}"] = float(their_loss_N.mean())
        figures |= _interval(f"log loss saved against {name}", gain)
    shares = np.bincount(label_E[rows], minlength=n) / len(rows)
    figures |= {f"share of {name}": float(s) for name, s in zip(STRATEGIES, shares, strict=True)}
    return figures


# ---------------------------------------------------------------------- item


def cold_items(draw: int) -> Figures:
    """Items without any event in training, ranked among themselves by their attributes alone."""
    encoded = setting.encoded(setting.TIE_SEEDS[0])
    held = hold_out_items(encoded.events, setting.COLD_SHARE, draw)
    split = leave_one_out(held.events)
    trained = train(encoded, split, setting.config(0)).trained
    users = np.flatnonzero(np.bincount(held.held_out.user, minlength=held.events.n_users))
    histories, wanted = held.events.users(users), held.held_out.users(users)

    def own(batch: Interactions, k: int) -> Ints:
        return trained.scorer.rank(batch, k, allowed_I=held.cold).items_BK

    recall = {"quintet": recall_of(own(histories, 20), wanted)}
    features = trained.item_features
    titles = type(features)(features.n_rows, texts=features.texts)
    for name, table in (
        ("TF-IDF kNN on titles", titles),
        ("TF-IDF kNN on titles and genres", features),
    ):
        memory = MEMORIES.get("content")().fit(split.train, table)
        recall[name] = recall_of(_cold_lists(memory, histories, held.cold, 20), wanted)
    figures: Figures = {"cold items": int(held.cold.sum()), "users": len(users)}
    for name, values in recall.items():
        figures[f"recall@20 of {name}"] = float(values.mean())
    for name in list(recall)[1:]:
        pair = paired_bootstrap(recall["quintet"], recall[name])
        figures |= {
            f"times {name}": 1 + pair.relative,
            f"times {name}, low": 1 + pair.relative_low,
            f"times {name}, high": 1 + pair.relative_high,
        }
    return figures


def _cold_lists(memory: Memory, histories: Interactions, cold_I: np.ndarray, k: int) -> Ints:
    from quintet.train.baselines import top_items

    scores_BI = memory.score(histories)
    scores_BI[:, ~cold_I] = -np.inf
    return top_items(scores_BI, k)


def recall_of(lists_BK: Ints, wanted: Interactions) -> Floats:
    """[B] share of each user's held-out items that stand in the list."""
    relevant_BI = np.zeros((wanted.n_users, wanted.n_items + 1), np.bool_)
    relevant_BI[wanted.group(), wanted.item] = True
    hits_BK = np.take_along_axis(relevant_BI, np.where(lists_BK < 0, wanted.n_items, lists_BK), 1)
    return (hits_BK.sum(1) / wanted.lengths).astype(np.float64)
