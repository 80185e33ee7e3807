import pyarrow as pa
import pytest
from rich.console import Console

from quintet.data.dataset import join
from quintet.data.frames import Catalogue, EventLog, Relations, Users
from quintet.data.schema import DataSchema
from quintet.errors import ColumnError, ConfigError, DataError

CLICKS = {"user": ["a", "b", "b"], "item": [1, 2, 9], "event": ["view", "view", "buy"]}


def test_the_report_counts_what_matched():
    items = Catalogue.read({"item_id": [2, 1, 77], "genre": ["x", "y", "z"]})
    users = Users.read({"user_id": ["b", "zoe", "yan"], "age": [1, 2, 3]})
    edges = Relations.read(
        {
            "from": ["a", "a", "1"],
            "to": ["zoe", "stranger", "9"],
            "kind": ["user-user"] * 2 + ["item-item"],
        }
    )
    report = join(EventLog.read(CLICKS, name="clicks"), items, users, edges, name="shop").report
    plain = report.to_dict()
    assert (plain["events"], plain["users"], plain["items"]) == (3, 2, 3)
    assert plain["logs"] == [{"name": "clicks", "events": 3, "timed": 0, "rejected": 0}]
    assert plain["tables"][0] == {
        "table": "items",
        "name": "catalogue",
        "rows": 3,
        "matched": 2,
        "only_in_table": 1,
        "only_in_log": 1,
        "events_described": 2,
        "events": 3,
        "rejected": 0,
        "log_matched_percent": 66.67,  # 2 of the log's 3 items
        "table_matched_percent": 66.67,  # 2 of the table's 3 rows
        "events_described_percent": 66.67,  # item 9's event is not described
    }
    assert plain["tables"][1]["log_matched_percent"] == 50.0  # b of a, b
    assert plain["tables"][1]["table_matched_percent"] == 33.33
    assert plain["relations"] == [
        {"kind": "user-user", "edges": 2, "matched": 1},
        {"kind": "item-item", "edges": 1, "matched": 1},
    ]
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report)
    assert "2 (66.7 % of the log's items)" in console.export_text()


def test_several_logs_stand_one_after_the_other():
    other = EventLog.read(
        {"user": ["c"], "item": [1], "ts": [5], "rating": [4.0]}, behaviour="rate"
    )
    joined = join([EventLog.read(CLICKS), other])
    assert joined.log.to_arrow().to_pylist()[2:] == [
        {"user_id": "b", "item_id": 9, "timestamp": None, "behaviour": "buy", "value": None},
        {"user_id": "c", "item_id": 1, "timestamp": 5_000_000, "behaviour": "rate", "value": 4.0},
    ]
    assert [log.events for log in joined.report.logs] == [3, 1]
    assert [behaviour.name for behaviour in joined.schema.behaviours] == ["view", "buy", "rate"]


def test_several_tables_give_one_row_an_item():
    texts = Catalogue.read({"item": [1, 2], "title": ["one", None], "price": [1, 2]})
    images = Catalogue.read(
        {"item": [2, 3, 1], "title": ["two", "three", "uno"], "img": ["2.png", "3.png", None]}
    )
    joined = join(EventLog.read(CLICKS), [texts, images])
    assert joined.items.to_arrow().to_pylist() == [
        {"item_id": 1, "title": "one", "price": 1, "img": None},
        {"item_id": 2, "title": "two", "price": 2, "img": "2.png"},
        {"item_id": 3, "title": "three", "price": None, "img": "3.png"},
    ]


def test_integer_and_text_ids_meet_where_every_text_is_a_whole_number(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,tag\n2,x\n1,y\n")
    joined = join(EventLog.read(CLICKS), Catalogue.read(tmp_path / "items.csv"))
    assert joined.items.to_arrow()["item_id"].to_pylist() == [2, 1]
    assert joined.report.tables[0].matched == 2
    assert joined.report.notes == [
        "item_id is text in items.csv and whole numbers elsewhere: read as whole numbers"
    ]


def test_the_report_tells_of_columns_that_look_misspelt():
    joined = join(EventLog.read({"user": [1], "item": [2], "timestmp": [3]}, name="shop.csv"))
    (note,) = joined.report.notes
    assert note.startswith("shop.csv: column 'timestmp' is not read; if it is the timestamp,")


def test_one_odd_text_makes_all_ids_text(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,tag\n2,x\n02,y\n")
    joined = join(EventLog.read(CLICKS), Catalogue.read(tmp_path / "items.csv"))
    assert joined.log.to_arrow()["item_id"].to_pylist() == ["1", "2", "9"]
    assert joined.report.tables[0].matched == 1  # 02 is another item than 2


def test_identity_edges_merge_devices_into_the_first_of_the_log():
    log = EventLog.read({"user": ["x", "phone", "tv", "laptop"], "item": [1, 2, 3, 4]})
    users = Users.read({"user": ["laptop", "x"], "age": [30, 40]})
    edges = Relations.read(
        {
            "source": ["laptop", "tablet", "phone", "tv", "x"],
            "target": ["tablet", "phone", "phone", "x", "laptop"],
            "kind": ["identity"] * 3 + ["user-user"] * 2,
        }
    )
    joined = join(log, users=users, relations=edges)
    assert joined.log.to_arrow()["user_id"].to_pylist() == ["x", "phone", "tv", "phone"]
    assert joined.users.to_arrow()["user_id"].to_pylist() == ["phone", "x"]
    assert joined.report.merged_ids == 2  # laptop and tablet
    ends = joined.relations.to_arrow().to_pylist()
    assert [(edge["source_id"], edge["target_id"]) for edge in ends] == [
        ("laptop", "tablet"),
        ("tablet", "phone"),
        ("phone", "phone"),
        ("tv", "x"),
        ("x", "phone"),
    ]


def test_integer_users_are_merged_as_integers():
    log = EventLog.read({"user": [10, 20, 30], "item": [1, 2, 3]})
    edges = Relations.read({"source": [30], "target": [20]}, kind="identity")
    assert join(log, relations=edges).log.to_arrow()["user_id"].to_pylist() == [10, 20, 20]


def test_identity_edges_of_strangers_change_nothing():
    log = EventLog.read({"user": [1, 2], "item": [1, 2]})
    edges = Relations.read({"source": ["p"], "target": ["q"]}, kind="identity")
    assert join(log, relations=edges).log.to_arrow()["user_id"].to_pylist() == [1, 2]


def test_the_schema_is_completed_from_the_data():
    schema = DataSchema.model_validate(
        {"behaviours": [{"name": "buy", "weight": 3}], "items": {"genre": "text"}}
    )
    items = Catalogue.read({"item_id": [1], "genre": ["x"], "price": [2.0]})
    log = EventLog.read({**CLICKS, "event": ["view", None, "dislike"]})
    found = join(log, items, schema=schema).schema
    assert [(one.name, one.polarity, one.weight) for one in found.behaviours] == [
        ("buy", 1, 3),
        ("view", 1, 1),
        ("dislike", -1, 1),
        ("interaction", 1, 1),  # the event that says nothing
    ]
    assert found.items == {"genre": "text", "price": "number"}
    assert found.scenario_names == ["default"]
    with pytest.raises(ConfigError, match="no column 'genr'; columns: item_id, genre, price"):
        join(log, items, schema=DataSchema.model_validate({"items": {"genr": "text"}}))


def test_a_single_declared_behaviour_names_a_silent_log():
    log = EventLog.read({"user": [1], "item": [2]})
    schema = DataSchema.model_validate({"behaviours": [{"name": "watch"}]})
    assert [one.name for one in join(log, schema=schema).schema.behaviours] == ["watch"]
    assert [one.name for one in join(log).schema.behaviours] == ["interaction"]


def test_anything_readable_can_be_joined_as_it_is():
    joined = join(CLICKS, items={"item_id": [1]}, users=[{"user_id": "a"}])
    assert len(joined.log) == 3
    assert joined.report.tables[1].matched == 1


def test_joining_nothing_or_columns_of_two_kinds_is_an_error():
    with pytest.raises(DataError, match="join needs at least one log"):
        join([])
    one = Catalogue.read({"item": [1], "tags": [["a"]]}, name="one")
    other = Catalogue.read({"item": [1], "tags": ["a"]}, name="other")
    with pytest.raises(
        ColumnError, match="column 'tags' has kinds of its own in each of one, other"
    ):
        join(CLICKS, [one, other])


def test_rejects_of_all_sources_are_kept():
    rows = {"user": [1, 2], "item": [1, 2], "rating": ["5", "x"]}
    joined = join([EventLog.read(rows, name="one"), EventLog.read(rows, name="two")])
    assert joined.log.rejects["table"].to_pylist() == ["one", "two"]
    assert isinstance(joined.log.rejects, pa.Table)


@pytest.mark.parametrize(("ids", "told"), [([" a", " b", " c"], True), (["a", "b", "z"], False)])
def test_a_table_of_another_log_is_told_with_an_id_of_each(ids, told):
    log = EventLog.read(pa.table({"user_id": ["u"] * 3, "item_id": ["a", "b", "c"]}))
    items = Catalogue.read(pa.table({"item_id": ids, "title": ["x", "y", "z"]}), name="shop")
    notes = join(log, items).report.notes
    expected = "shop describes 0 of the log's 3 items: it has no 'a', but has ' a', which"
    assert any(note.startswith(expected) for note in notes) == told
