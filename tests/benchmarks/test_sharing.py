from benchmarks.quality.sharing import ROWS, place, weighed
from tests.training import toy
from training.sections import ModelConfig, TrainingConfig

CLICK = {"type": "binary", "label": "clicked"}


def test_every_row_is_a_way_to_share_and_to_weigh_that_a_configuration_knows():
    for row in ROWS.values():
        ModelConfig(sharing=row.sharing)
        TrainingConfig(balance=row.balance)
        assert row.side is None or row.side > 0.0


def test_a_row_is_told_by_its_name_which_tasks_count_more_and_which_are_taught():
    config = toy.settings(tasks=dict.fromkeys(("click", "query_match"), CLICK))
    found = {row: weighed(config, "shop", row) for row in ROWS}
    assert {row for row, tasks in found.items() if tasks["query_match"].weight > 1.0} == {
        row for row in ROWS if "weighed" in row
    }
    assert {row for row, tasks in found.items() if tasks["click"].taught} == {
        row for row in ROWS if "taught" in row
    }
    assert not any(tasks["query_match"].taught for tasks in found.values())
    assert {row for row, tasks in found.items() if tasks["click"].weight < 1.0} == {
        row for row in ROWS if "side tasks" in row
    }


def test_each_network_has_a_folder_of_its_own():
    places = [place("shop", 7, row) for row in ROWS] + [
        place("shop", 7, "alone", task) for task in ("a", "b")
    ]
    assert len(set(places)) == len(places)
    assert not any(" " in str(each) or "," in str(each) for each in places)
