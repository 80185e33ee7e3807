"""The report: complete, self-contained, escaped, the same to the byte."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quintet.data.audit import audit
from quintet.data.interactions import Interactions
from quintet.errors import DataError, MissingExtraError
from quintet.train import plots
from quintet.train.markup import duration, label, number, percent, tag
from quintet.train.report import render_report, write_report
from quintet.train.results import Difference, parse_results

HOSTILE = """</script><script>alert(1)</script><img src=x onerror="alert(2)">'"&$x^2$ --> ]]>"""


def figure(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "n": 943}


def full_results(name: str = "BSARec", title: str = "Star Harbour (1994)") -> dict[str, Any]:
    """Every section has something to show; ``name`` and ``title`` stand wherever text can."""
    difference = {"difference": 0.02, "low": 0.01, "high": 0.03}
    relative = {"relative": 0.25, "relative_low": 0.125, "relative_high": 0.375}
    return {
        "dataset": f"MovieLens {title}",
        "protocol": {"split": f"leave-one-out {title}", "masked": True},
        "seeds": [1, 2, 3],
        "models": {
            "quintet": {"ndcg@10": figure(0.1, 0.09, 0.11), "hr@10": 0.2, "log_loss": 0.5},
            name: {"ndcg@10": figure(0.08, 0.07, 0.09), "hr@10": 0.21, "log_loss": 0.4},
        },
        "paired": {name: {"ndcg@10": difference | relative}},
        "tasks": {"interaction": {"auc": 0.75, title: None}},
        "seconds": {"train": 125.0, title: 0.4},
        "peak_memory_mb": 1834.2,
        "command": f"quintet demo {title}",
        "versions": {"torch": "2.13.0", "numpy": title},
        "slices": {title: {"quintet": {"ndcg@10": figure(0.05, 0.04, 0.06)}}},
        "reliability": {title: [{"predicted": 0.2, "observed": 0.3, "count": 50}]},
        "curves": {title: [[0, 2.0], [100, 1.0], [200, None]]},
        "audit": {
            "findings": [{"name": title, "severity": title, "message": title}],
            "distributions": {
                f"{title}_edges": [0, 1, 2, 4],
                f"{title}_counts": [5, 3000, 1],
                "popularity_share": [0.0, 0.8, 1.0],
            },
        },
        "examples": [
            {
                "user_id": title,
                "history": [{"title": f"{title} {n}"} for n in range(11)],
                "profile": {"interests": [{"name": title, "weight": 2.0}], "habits": [title]},
                "slate": [{"item_id": 1, "title": title, "score": 0.9, "reasons": [title]}],
            }
        ],
    }


class Reader(HTMLParser):
    """Collects elements, attributes and text, and checks that elements nest."""

    VOID = frozenset({"meta", "path", "use"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(name)
        self.attributes += attributes
        if name != "meta":
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(name)
        self.attributes += attributes

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_all_sections_are_there_in_order(tmp_path: Path) -> None:
    tables = {"The slate": [{"policy": "order only", "ndcg@10": 0.07}]}
    path = write_report(full_results(), tmp_path / "report.html", tables=tables)
    page = path.read_text(encoding="utf-8")
    assert headings(page) == [
        "Models compared", "Is the difference real?", "Task by task",
        "Where it helps and where not", "Can the probabilities be trusted?", "Training",
        "The data", "Audit of the data", "Example users", "The slate", "How it was measured",
    ]  # fmt: skip
    reader = Reader(page)
    targets = {value for key, value in reader.attributes if key == "href" and value}
    ids = {f"#{value}" for key, value in reader.attributes if key == "id"}
    assert {t for t in targets if not re.match("#[a-z][0-9a-f]{10}", t)} <= ids


def test_what_is_missing_is_left_out() -> None:
    page = render_report({"dataset": "tiny"})
    assert headings(page) == ["How it was measured"]
    Reader(page)


def test_keyword_parts_take_the_place_of_the_results_own(tmp_path: Path) -> None:
    path = write_report(
        {"dataset": "tiny"},
        tmp_path / "report.html",
        curves={"loss": [(0, 1.0), (1, 0.5)]},
        audit={"findings": []},
        examples=[{"user_id": 7}],
    )
    page = path.read_text(encoding="utf-8")
    assert headings(page) == [
        "Training",
        "Audit of the data",
        "Example users",
        "How it was measured",
    ]
    assert "found nothing to heed" in page
    assert "User 7" in page


def test_results_may_be_checked_already(tmp_path: Path) -> None:
    plain = full_results()
    path = write_report(parse_results(plain), tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == render_report(plain)


def test_nothing_is_requested_from_outside() -> None:
    page = render_report(full_results())
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.elements)
    assert all(value and value[0] == "#" for key, value in reader.attributes if "href" in key)


def test_hostile_text_stays_text() -> None:
    page = render_report(full_results(name=HOSTILE, title=HOSTILE))
    reader = Reader(page)
    plain = Reader(render_report(full_results()))
    assert set(reader.elements) == set(plain.elements)
    assert not any(key.startswith("on") for key, _ in reader.attributes)
    assert "<script" not in page
    assert "<img" not in page
    # and the reader still sees what the title says
    assert sum(HOSTILE in text for text in reader.texts) > 15


def test_the_same_results_give_the_same_bytes() -> None:
    assert render_report(full_results()) == render_report(full_results())


def test_the_best_of_each_column_is_bold() -> None:
    page = render_report(full_results())
    table = page[page.index('<section id="models"') : page.index('<section id="differences"')]
    # higher ndcg: quintet; higher hit rate and lower log loss: the baseline
    assert re.findall(r"<td><b>([\d.]+)</b>", table) == ["0.1000", "0.2100", "0.4000"]


def test_the_lead_claims_no_more_than_the_interval_allows() -> None:
    data = full_results()
    assert "25.0 % better than the strongest baseline, BSARec" in render_report(data)
    difference = data["paired"]["BSARec"]["ndcg@10"]
    difference["low"] = -0.01
    assert "within chance" in render_report(data)
    difference |= {"difference": -0.02, "low": -0.03, "high": -0.01, "relative": -0.2}
    assert "20.0 % worse than the strongest baseline" in render_report(data)


def test_the_strongest_rival_is_the_one_least_beaten() -> None:
    data = full_results()
    data["paired"]["popular"] = {"ndcg@10": {"difference": 0.01, "low": 0.0, "high": 0.02}}
    data["models"]["popular"] = {"ndcg@10": 0.09}
    assert "strongest baseline, popular" in render_report(data)


def test_less_is_better_for_errors() -> None:
    data = {
        "dataset": "ratings",
        "models": {"quintet": {"rmse": 0.9}, "mean": {"rmse": 1.0}},
        "paired": {
            "mean": {"rmse": {"difference": -0.1, "low": -0.2, "high": -0.05, "relative": -0.1}}
        },
    }
    page = render_report(data)
    assert "10.0 % better than the strongest baseline, mean" in page
    assert 'class="bad"' not in page
    assert re.search(r"<td><b>0.9000</b>", page)


def test_plots_take_the_colours_and_fonts_of_the_page() -> None:
    drawn = plots.forest({"popular": Difference(difference=0.1, low=-0.1, high=0.3)}, "hr@5", "q")
    assert "var(--muted)" in drawn  # the interval holds 0: neither green nor red
    assert "var(--good)" not in drawn
    assert "#0102" not in drawn
    assert "<metadata" not in drawn
    assert ">popular</text>" in drawn
    assert 'viewBox="0 0 ' in drawn


def test_titles_in_any_script_are_drawn_as_text(recwarn: pytest.WarningsRecorder) -> None:
    drawn = plots.forest({"人気順 $5": Difference(difference=0.1, low=0.05, high=0.3)}, "hr@5", "q")
    assert ">人気順 $5</text>" in drawn
    assert not recwarn.list


def test_plots_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"quintet\[plots\]"):
        render_report(full_results())
    assert "tiny" in render_report({"dataset": "tiny", "models": {"quintet": {"hr@10": 0.5}}})


def test_wrong_results_are_refused() -> None:
    with pytest.raises(DataError, match=r"examples\.0\.user_id: Field required"):
        render_report({"dataset": "d", "examples": [{}]})


def test_findings_stand_gravest_first_and_passed_checks_are_folded() -> None:
    severities = ["ok", "note", "danger", "warning"]
    found = [{"name": f"check_{s}", "severity": s, "message": "m"} for s in severities]
    page = render_report({"dataset": "d", "audit": {"findings": found}})
    order = [page.index(f"Check {s}<") for s in ("danger", "warning", "note", "ok")]
    assert order == sorted(order)
    assert order[2] < page.index("<summary>1 checks passed</summary>") < order[3]


def test_the_audit_of_real_events_is_drawn() -> None:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 40, 500), rng.integers(0, 30, 500) ** 2 // 30
    events = Interactions.build(user, item, n_users=40, n_items=30)
    page = render_report({"dataset": "d", "audit": audit(events).to_dict()})
    assert headings(page)[:2] == ["The data", "Audit of the data"]
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert sorted(captions) == [
        "Events per item", "Events per user", "Share of the popular items",
    ]  # fmt: skip


def test_numbers_in_few_characters() -> None:
    assert [number(v) for v in (None, 0.06559, 0, 12.345, 1234.5, 3.0, -0.5)] == [
        "–", "0.0656", "0.0000", "12.35", "1,234", "3", "-0.5000",
    ]  # fmt: skip
    assert percent(0.1239) == "+12.4 %"
    assert percent(-0.05) == "−5.0 %"
    assert [duration(s) for s in (0.42, 12, 200, 823, 7500)] == [
        "0.4 s", "12 s", "3 min 20 s", "13 min", "2 h 5 min",
    ]  # fmt: skip
    assert [label(n) for n in ("ndcg@10", "log_loss", "cold_ndcg@5", "f1")] == [
        "NDCG@10", "Log loss", "Cold NDCG@5", "F1",
    ]  # fmt: skip


def test_markup_escapes_by_default() -> None:
    assert (
        tag("p", "<b>", tag("i", "&"), class_='"') == '<p class="&quot;">&lt;b&gt;<i>&amp;</i></p>'
    )
