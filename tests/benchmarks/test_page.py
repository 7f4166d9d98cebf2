import json
from types import SimpleNamespace

from benchmarks.chaos import page
from benchmarks.chaos.alone import Outcome
from benchmarks.speed.targets import Target


def drill(line, *targets):
    return SimpleNamespace(LINE=line, TOLD="How it is done.", bounds=lambda _: targets)


DRILLS = {
    "swap": drill(3, Target("failed requests", 2, 0, below=True), Target("roll back, s", 0.1, 1, below=True)),
    "flood": drill(1, Target("goodput", 0.93, 0.9)),
    "late": drill(5, Target("runs", 0, 0, below=True)),
}
OUTCOMES = {
    "swap": Outcome(3.0, {"failed": 2, "roll back, s": 0.1}),
    "flood": Outcome(1.0, {"rate": 650.5}),
    "late": Outcome(90.0, failed="not done after 90 s"),
}


def test_rows_come_by_lines_and_say_what_is_met_and_what_is_short():
    told = [(row.line, row.met, row.cells[2]) for row in page.rows(DRILLS, OUTCOMES)]
    assert told == [
        (1, True, "goodput"),
        (3, False, "failed requests"),
        (3, True, "roll back, s"),
        (5, False, "to be measured"),
    ]


def test_a_drill_that_failed_is_a_row_with_its_reason():
    last = page.rows(DRILLS, OUTCOMES)[-1]
    assert last.cells == [5, "late", "to be measured", "", "not done after 90 s", "**SHORT**"]


def test_both_files_have_every_row_and_the_numbers_behind_it(tmp_path):
    page.write(DRILLS, OUTCOMES, page.rows(DRILLS, OUTCOMES), tmp_path)
    found = json.loads((tmp_path / "chaos.json").read_text())
    assert [row["met"] for row in found["bounds"]] == [True, False, True, False]
    assert found["drills"]["flood"]["found"] == {"rate": 650.5}
    assert {"date", "commit", "machine", "protocol"} <= set(found)
    text = (tmp_path / "chaos.md").read_text()
    assert "| 1 | flood | goodput | ≥ 0.9 | 0.93 | met |" in text
    assert "## late, 90 s\n\nHow it is done.\n\nnot done after 90 s\n" in text


def test_numbers_of_the_same_names_share_a_table_and_others_have_their_own():
    found = {"rate": 5.0, "faults": {"refused": {"lost": 0}, "full": {"lost": 1}}, "memory": {"growth": 0.1}}
    assert page.tables(found).split("\n\n")[:3] == [
        "|  | found |\n| --- | --- |\n| rate | 5 |",
        "| faults | lost |\n| --- | --- |\n| refused | 0 |\n| full | 1 |",
        "| memory | found |\n| --- | --- |\n| growth | 0.1 |",
    ]


def test_what_was_done_again_and_again_is_numbered():
    told = page.tables({"swap": [{"took": 1}, {"took": 2}]})
    assert told == "| swap | took |\n| --- | --- |\n| 1 | 1 |\n| 2 | 2 |\n\n"
