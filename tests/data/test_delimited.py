"""Text files that look odd and are sound."""

import pytest

from quintet.data.frames import EventLog

READ_AS_THEY_ARE = {
    "BOM": (b"\xef\xbb\xbfuser_id,item_id\nu,i\n", ["u"], ["i"]),
    "mixed newlines": (b"user_id,item_id\na,1\r\nb,2\nc,3\rd,4", list("abcd"), list("1234")),
    "old Mac newlines": (b"user_id,item_id\ra,1\rb,2\r", ["a", "b"], ["1", "2"]),
    "blank lines": (b"user_id,item_id\n\na,1\n\n\nb,2\n\n", ["a", "b"], ["1", "2"]),
    "one user": (b"user_id,item_id\na,1\na,2\n", ["a", "a"], ["1", "2"]),
    "one item": (b"user_id,item_id\na,1\nb,1\n", ["a", "b"], ["1", "1"]),
    "unicode": (
        "user_id,item_id\n用户,💄\nÅsa,e\u0301\n".encode(),
        ["用户", "Åsa"],
        ["💄", "e\u0301"],
    ),
    "spaces around ids": (b"user_id,item_id\n a,b \n", [" a"], ["b "]),
    "leading zeros": (b"user_id,item_id\n007,7\n7,07\n", ["007", "7"], ["7", "07"]),
    "ids that look like numbers": (b"user_id,item_id\n5.0,1e3\n", ["5.0"], ["1e3"]),
    "ids that look like words for missing": (b"user_id,item_id\nNA,null\n", ["NA"], ["null"]),
    "quotes, commas and newlines in ids": (
        b'user_id,item_id\n"a,b","c""d"\n"e\nf",g\n',
        ["a,b", "e\nf"],
        ['c"d', "g"],
    ),
    "semicolons": (b"user_id;item_id\na;1,5\n", ["a"], ["1,5"]),
}


@pytest.mark.parametrize("case", READ_AS_THEY_ARE)
def test_odd_but_sound_files_are_read_exactly(tmp_path, case):
    content, users, items = READ_AS_THEY_ARE[case]
    (tmp_path / "e.csv").write_bytes(content)
    log = EventLog.read(tmp_path / "e.csv")
    assert log.to_arrow().to_pydict() == {"user_id": users, "item_id": items}
    assert not len(log.rejects)


@pytest.mark.parametrize("bad", [[3], [1, 2], [1, 4, 5, 400, 997, 998]])
def test_row_numbers_count_the_refused_rows_between(tmp_path, bad):
    rows = ["short" if n in bad else f"u{n},i{n}" for n in range(1, 1001)]
    (tmp_path / "e.csv").write_text("\n".join(["user_id,item_id", *rows]))
    log = EventLog.read(tmp_path / "e.csv")
    assert log.rejects["row_number"].to_pylist() == bad
    wrong = log.table.filter(log.table.user_id != "u" + log.table["__row"].cast("string"))
    assert (len(log), len(log.with_table(wrong))) == (1000 - len(bad), 0)
