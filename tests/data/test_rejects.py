import pyarrow as pa
import pyarrow.parquet as pq

from quintet.data import engine, rejects
from quintet.data.columns import ROW, TABLE
from quintet.data.rejects import Rule


def numbers():
    rows = {"x": [5, -1, None, 50], TABLE: ["t"] * 4, ROW: [1, 2, 3, 4]}
    return engine.load(pa.table(rows))


def test_the_first_broken_rule_names_the_reason():
    table = numbers()
    rules = [
        Rule("missing", "x", table.x.isnull()),
        Rule("small", "x", table.x < 10),
        Rule("negative", "x", table.x < 0, value=-table.x),
    ]
    kept, refused = rejects.apply(table, rules)
    assert engine.fetch(kept)["x"].to_pylist() == [50]
    assert [tuple(row.values()) for row in refused.to_pylist()] == [
        ("t", 1, "small", "x", "5"),
        ("t", 2, "small", "x", "-1"),
        ("t", 3, "missing", "x", None),
    ]
    assert rejects.counts(refused) == {"t": {"small": 2, "missing": 1}}


def test_nothing_is_changed_where_no_rule_is_broken():
    table = numbers()
    for rules in ([], [Rule("huge", "x", table.x > 1000)]):
        kept, refused = rejects.apply(table, rules)
        assert kept is table
        assert refused.schema == rejects.REJECTS
        assert not len(refused)


def test_rejects_are_parquet(tmp_path):
    _, refused = rejects.apply(numbers(), [Rule("big", "x", numbers().x.isnull())][:0])
    rejects.write(rejects.concat([refused, refused]), tmp_path / "deep" / "rejects.parquet")
    assert pq.read_schema(tmp_path / "deep" / "rejects.parquet").equals(rejects.REJECTS)
