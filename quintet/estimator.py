"""``Quintet``: the whole product behind one object with scikit-learn manners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from quintet.config import build
from quintet.errors import ConfigError, NotFittedError

if TYPE_CHECKING:
    import pyarrow as pa

    from quintet.data.dataset import Dataset
    from quintet.data.encode import Encoded
    from quintet.data.split import Split
    from quintet.serve.recommender import Recommendation, Recommender
    from quintet.train.finetune import Verdict
    from quintet.train.pipeline import Fitted, TrainConfig
    from quintet.train.pretrained import Pretrained
    from quintet.train.refit import Scope


class Quintet:
    """One model that profiles, represents, predicts, ranks and chooses the strategy.

    Settings are given by their dotted groups, as in a configuration file::

        model = Quintet(seed=1, loop={"epochs": 20})
        model.fit("events.csv", items="items.csv")
        model.recommend(["alice"], k=10)

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    def __init__(self, **settings: Any) -> None:
        from quintet.train.pipeline import TrainConfig

        self.config: TrainConfig = build(TrainConfig, settings, "Quintet")
        self._recommender: Recommender | None = None
        self._encoded: Encoded | None = None
        self._split: Split | None = None
        self._measured: Recommender | None = None
        self.verdict_: Verdict | None = None

    def __repr__(self) -> str:
        state = "not fitted" if self._recommender is None else "fitted"
        return f"Quintet({state}, seed={self.config.seed})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn asks for them."""
        del deep
        return self.config.model_dump()

    def __sklearn_clone__(self) -> Quintet:
        return type(self)(**self.get_params())

    def set_params(self, **settings: Any) -> Self:
        """Change settings before the next :meth:`fit`.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        self.config = build(type(self.config), {**self.config.model_dump(), **settings}, "Quintet")
        return self

    def fit(
        self,
        log: Any,
        items: Any = None,
        users: Any = None,
        relations: Any = None,
        *,
        schema: Any = None,
        refit: Scope | None = None,
        progress: bool = False,
    ) -> Self:
        """Train on an event log: a path, a frame, an ``EventLog`` or a whole ``Dataset``.

        The newest event of each user is kept for :meth:`evaluate` and the one before it for
        validation; neither is learned from, and both are known as history when answering. With
        ``refit`` the latter is learned too, once all is chosen: by what is counted alone, or by
        the towers as well.

        Raises:
            DataError: the log cannot be used as given; names the row or column and the remedy.
            ConfigError: ``refit`` names no scope.
        """
        from quintet.data.split import leave_one_out
        from quintet.train.pipeline import train
        from quintet.train.progress import progress_bar
        from quintet.train.refit import refit as fit_again

        if refit not in (None, "counts", "full"):
            raise ConfigError(f"refit={refit!r}: counts, full, or None")
        encoded = self._encode(log, items, users, relations, schema)
        split = leave_one_out(encoded.events)
        with progress_bar(progress) as (on_step, on_stage):
            told: Any = {"on_step": on_step, "on_stage": on_stage}
            fitted = train(encoded, split, self.config, **told)
            if refit is not None:
                fitted = fit_again(fitted, encoded, split, self.config, refit, **told)
        return self._keep(encoded, split, fitted)

    def finetune(
        self,
        start: str | Path | Pretrained,
        log: Any,
        items: Any = None,
        users: Any = None,
        relations: Any = None,
        *,
        schema: Any = None,
        mode: str = "auto",
        label_share: float = 1.0,
        progress: bool = False,
    ) -> Self:
        """Train as :meth:`fit` does, from what was pre-trained: see :func:`quintet.pretrain`.

        Args:
            start: what was pre-trained, its folder, or the bundle of another model.
            log: as for :meth:`fit`, like the tables after it.
            items: the catalogue; what was pre-trained reads its texts.
            users: the users' attributes.
            relations: edges between users or items.
            schema: behaviours, scenarios and column types.
            mode: ``frozen``, ``adapter``, ``full``, ``scratch``, or ``auto``: all of them, compared
                on validation, with scratch where transfer hurts. ``verdict_`` says what was found.
            label_share: share of the users that is learned from.
            progress: whether to show a bar.

        Raises:
            DataError: the log cannot be used as given, or has no text to read.
            BundleError: there is no bundle at ``start``, or it has nothing that transfers.
            ConfigError: there is no such mode.
        """
        from quintet.data.split import few_labels, leave_one_out
        from quintet.train.finetune import FinetuneConfig, by_mode
        from quintet.train.pretrained import Pretrained
        from quintet.train.progress import progress_bar

        pretrained = start if isinstance(start, Pretrained) else Pretrained.load(start)
        encoded = self._encode(log, items, users, relations, schema)
        split = leave_one_out(encoded.events)
        if label_share < 1:
            split = few_labels(split, label_share, self.config.seed)
        config = FinetuneConfig(train=self.config)
        with progress_bar(progress) as (on_step, on_stage):
            fitted, self.verdict_ = by_mode(
                pretrained, encoded, split, config, mode, on_step=on_step, on_stage=on_stage
            )
        fitted.trained.run["label_share"] = label_share
        return self._keep(encoded, split, fitted)

    def _keep(self, encoded: Encoded, split: Split, fitted: Fitted) -> Self:
        from quintet.serve.recommender import Recommender

        self._encoded, self._split = encoded, split
        self._recommender = self._measured = Recommender(fitted.trained)
        return self

    def _encode(self, log: Any, items: Any, users: Any, relations: Any, schema: Any) -> Encoded:
        from quintet.data.dataset import Dataset, join

        if not isinstance(log, Dataset):
            return self._prepare(join(log, items, users, relations, schema))
        tables = {"items": items, "users": users, "relations": relations, "schema": schema}
        given = [name for name, table in tables.items() if table is not None]
        if given:
            raise ConfigError(
                f"the log is a data set, to which its tables are joined already: give "
                f"{' and '.join(given)} to what made it"
            )
        return self._prepare(log)

    def _prepare(self, dataset: Dataset) -> Encoded:
        from quintet.data.clean import clean
        from quintet.data.encode import encode

        cleaned, self.clean_report_ = clean(dataset)
        return encode(cleaned, tie_seed=self.config.seed)

    @property
    def recommender(self) -> Recommender:
        """What answers, once fitted or loaded.

        Raises:
            NotFittedError: before either.
        """
        if self._recommender is None:
            raise NotFittedError("this model is not fitted: call fit(log) or quintet.load(folder)")
        return self._recommender

    def recommend(self, users: Sequence[Any], k: int = 10, **options: Any) -> list[Recommendation]:
        """The best ``k`` items for each user; see :meth:`Recommender.recommend`."""
        return self.recommender.recommend(users, k, **options)

    def add_items(self, items: Mapping[Any, Mapping[str, Any]]) -> Self:
        """Add items to the catalogue, or change them, with nothing refitted.

        What is said of a new item decides who is shown it::

            model.add_items({"lamp-2": {"title": "Leselampe aus Messing"}})

        Args:
            items: attributes by item id; columns that are not named are missing in that item.

        Raises:
            DataError: an attribute is no column of the catalogue, or does not fit it.
        """
        self._recommender = self.recommender.with_items(items)
        return self

    def predict(self, pairs: Sequence[tuple[Any, Any]], **options: Any) -> pa.Table:
        """Calibrated answers for (user, item) pairs; see :meth:`Recommender.predict`."""
        return self.recommender.predict(pairs, **options)

    def profile(self, user: Any) -> dict[str, Any]:
        """Interests, next strategy and habits of a user."""
        return self.recommender.profile(user)

    def similar(self, item: Any, k: int = 10) -> list[dict[str, Any]]:
        """The items nearest to one."""
        return self.recommender.similar(item, k)

    def session(self, items: Sequence[Any], k: int = 10, **options: Any) -> list[Recommendation]:
        """The best ``k`` items after those of an anonymous session; see :meth:`Related.session`."""
        return self.recommender.related.session(items, k, **options)

    def bought_together(self, item: Any, k: int = 10, **options: Any) -> list[dict[str, Any]]:
        """What shares baskets with an item; see :meth:`Related.bought_together`."""
        return self.recommender.related.bought_together(item, k, **options)

    def next_basket(self, user: Any, k: int | None = None, **options: Any) -> list[dict[str, Any]]:
        """What a user's next basket holds; see :meth:`Related.next_basket`."""
        return self.recommender.related.next_basket(user, k, **options)

    def evaluate(self, ks: Sequence[int] = (5, 10, 20)) -> dict[str, Any]:
        """Metrics with intervals on the held-out newest events, through the same recommender.

        Raises:
            NotFittedError: the model was loaded, not fitted here: it holds no held-out events.
        """
        from quintet.train.evaluate import evaluate_ranking

        if self._split is None or self._measured is None:
            raise NotFittedError("evaluate() needs the held-out events of fit(); call fit first")
        masked = bool(self._measured.trained.run["mask_history"])
        lists = evaluate_ranking(
            self._measured.scorer, self._split, ks=tuple(ks), mask_history=masked
        )
        return lists.summary()

    def save(self, folder: str | Path) -> Path:
        """Write the bundle; see ``quintet.load``.

        Raises:
            BundleError: something that is no bundle stands at ``folder``.
        """
        return self.recommender.trained.save(folder)


def load(folder: str | Path, device: str = "cpu") -> Quintet:
    """The model of a bundle, ready to answer.

    Raises:
        BundleError: there is none, it is damaged, or of a version that is not read.
    """
    from quintet.serve.recommender import Recommender

    model = Quintet()
    model._recommender = Recommender.load(folder, device)
    return model


def pretrain(*logs: Any, progress: bool = False, **settings: Any) -> Pretrained:
    """Learn from unlabelled histories what :meth:`Quintet.finetune` can start from.

    Every log is a domain of its own; what their items have in common is words::

        start = quintet.pretrain(shop, films, objectives={"causal": {}, "contrast": {}})
        start.save("start")

    Args:
        logs: data sets (:func:`quintet.open_dataset`) whose catalogues have texts.
        progress: whether to show a bar.
        settings: by dotted groups, as for :class:`Quintet`; see ``PretrainConfig``.

    Raises:
        DataError: there is no data set, or a catalogue has no text.
        ConfigError: a setting is unknown or out of range.
    """
    from quintet.data.clean import clean
    from quintet.data.encode import encode
    from quintet.train.pretrain import PretrainConfig
    from quintet.train.pretrain import pretrain as run
    from quintet.train.progress import progress_bar

    config = build(PretrainConfig, settings, "pretrain")
    domains = [encode(clean(dataset)[0], tie_seed=config.seed) for dataset in logs]
    with progress_bar(progress) as (on_step, _):
        return run(domains, config, on_step=on_step)
