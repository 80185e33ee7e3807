import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.data.vocab import SMALL, Vocabulary
from quintet.errors import ColumnError, DataError, UnknownIdError

TEXT = st.text(alphabet="0159-+ aé", max_size=4)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


def test_rows_stand_in_order_of_first_appearance():
    vocabulary = Vocabulary.from_arrow(["z", "a", "z", "m"])
    assert vocabulary.ids([0, 1, 2]) == ["z", "a", "m"]
    assert vocabulary.rows(["m", "nobody", "z"]).tolist() == [2, -1, 0]
    assert len(vocabulary) == 3
    assert "a" in vocabulary
    assert "b" not in vocabulary


def test_the_other_type_matches_by_its_usual_form_only():
    numbers = Vocabulary.from_arrow([5, 0, -3])
    assert numbers.rows(["5", "05", "+5", "5.0", " 5", "-3", "-0", "0", ""]).tolist() == (
        [0, -1, -1, -1, -1, 2, -1, 1, -1]
    )
    assert numbers.rows([5.0, 5.5, True, None]).tolist() == [0, -1, -1, -1]
    texts = Vocabulary.from_arrow(["5", "05", "True"])
    assert texts.rows([5, "05", True, 5.0, None]).tolist() == [0, 1, -1, -1, -1]


@given(st.lists(INTEGERS, unique=True, max_size=20), st.lists(TEXT | INTEGERS, max_size=20))
def test_different_ids_never_collide_in_an_integer_vocabulary(known, asked):
    vocabulary = Vocabulary.from_arrow(pa.array(known, pa.int64()))
    for one, row in zip(asked, vocabulary.rows(asked), strict=True):
        if row >= 0:
            assert str(known[row]) == str(one)
        else:
            assert str(one) not in {str(number) for number in known}


@given(st.lists(TEXT, unique=True, max_size=20), st.lists(TEXT | INTEGERS, max_size=20))
def test_different_ids_never_collide_in_a_text_vocabulary(known, asked):
    vocabulary = Vocabulary.from_arrow(pa.array(known, pa.string()))
    expected = [known.index(str(one)) if str(one) in known else -1 for one in asked]
    assert vocabulary.rows(asked).tolist() == expected


@given(st.lists(TEXT, max_size=30), st.lists(TEXT, max_size=30))
def test_bulk_and_single_lookups_agree(known, asked):
    for vocabulary in (
        Vocabulary.from_arrow(pa.array(known, pa.string())),
        Vocabulary.from_arrow(pa.array(range(-20, 20), pa.int64())),
    ):
        bulk = vocabulary.rows(pa.array(asked, pa.string()))
        assert bulk.tolist() == vocabulary.rows(asked).tolist()
        assert [one in vocabulary for one in asked] == (bulk >= 0).tolist()


@pytest.mark.parametrize(
    "ids",
    [
        np.array([5, 9], np.int32),
        np.array([5.0, 9.5]),
        np.array(["5", "9"]),
        np.array([5, "9"], dtype=object),
        pa.chunked_array([[5], [9]]),
        pa.array(["5", "9"], pa.large_string()),
        pa.array(["5", "9"]).dictionary_encode(),
        [5] * (SMALL + 1),
    ],
    ids=lambda ids: str(getattr(ids, "dtype", getattr(ids, "type", "long list"))),
)
@pytest.mark.parametrize("known", [[3, 5], ["3", "5"]])
def test_ids_may_come_in_any_array(ids, known):
    vocabulary = Vocabulary.from_arrow(known)
    text_from_float = known == ["3", "5"] and getattr(ids, "dtype", None) == np.float64
    assert vocabulary.rows(ids)[0] == (-1 if text_from_float else 1)
    if len(ids) == 2:
        assert vocabulary.rows(ids)[1] == -1


def test_the_longest_integers_neither_overflow_nor_get_lost():
    ends = [2**63 - 1, -(2**63), 1_234_567_890_123_456_789, -5]
    vocabulary = Vocabulary.from_arrow(ends)
    texts = [str(one) for one in ends] + [str(2**63), str(-(2**63) - 1), "9" * 19, "9" * 30]
    expected = [0, 1, 2, 3, -1, -1, -1, -1]
    assert vocabulary.rows(texts).tolist() == expected
    assert vocabulary.rows(pa.array(texts)).tolist() == expected
    wrapped = pa.array([2**64 - 5, 2**63 - 1], pa.uint64())
    assert vocabulary.rows(wrapped).tolist() == [-1, 0]
    assert vocabulary.rows(np.array([-5.0, 2.0**63, np.nan])).tolist() == [3, -1, -1]


def test_ids_come_back_in_the_callers_type():
    assert Vocabulary.from_arrow(np.array([7, 8], np.int16)).ids([1]) == [8]
    assert Vocabulary.from_arrow(["007"]).ids(np.array([0])) == ["007"]
    with pytest.raises(UnknownIdError, match="row -1 is outside the vocabulary of 1 ids"):
        Vocabulary.from_arrow(["a"]).ids([0, -1])


def test_a_vocabulary_survives_its_table():
    for ids in (["b", "a"], [2, 1]):
        table = Vocabulary.from_arrow(ids).to_arrow()
        assert Vocabulary.from_arrow_table(table).ids([0, 1]) == ids
    with pytest.raises(DataError, match="holds an id twice"):
        Vocabulary.from_arrow_table(pa.table({"id": ["a", "a"]}))
    with pytest.raises(DataError, match="needs a column 'id'"):
        Vocabulary.from_arrow_table(pa.table({"x": ["a"]}))


def test_new_ids_are_added_at_the_end():
    vocabulary = Vocabulary.from_arrow([1, 2])
    assert vocabulary.extended(["2", "9"]).ids([0, 1, 2]) == [1, 2, 9]
    assert vocabulary.extended([2]) is vocabulary
    with pytest.raises(DataError, match="new ids are string, the vocabulary's are int64"):
        vocabulary.extended(["x"])


def test_ids_must_be_there_and_sound():
    with pytest.raises(DataError, match="row 1: the id is missing"):
        Vocabulary.from_arrow(["a", None])
    with pytest.raises(ColumnError, match="must be text or whole numbers, not bool"):
        Vocabulary.from_arrow([True])
    assert len(Vocabulary.from_arrow([])) == 0
    assert Vocabulary.from_arrow([]).rows(["a"]).tolist() == [-1]
