import pytest

from benchmarks.speed.answers import compare, difference


def item(item_id, score, click=0.5):
    return {"item_id": item_id, "score": score, "tasks": {"click": click}}


MINE = [item("a", 0.9), item("b", 0.8), item("c", 0.7)]


def test_equal_answers_differ_by_nothing():
    assert difference(MINE, MINE) == 0.0


def test_items_that_score_like_the_last_one_may_take_its_place():
    assert difference(MINE, [*MINE[:2], item("d", 0.70003)]) == pytest.approx(3e-5)


def test_another_item_among_the_first_is_another_answer():
    assert difference([item("z", 0.9), *MINE[1:]], MINE) == 1.0


def test_a_head_s_value_counts_as_well_as_the_score():
    assert difference(MINE, [item("a", 0.9, click=0.4), *MINE[1:]]) == pytest.approx(0.1)


def test_a_shorter_answer_ends_the_benchmark_with_the_contender_s_name():
    with pytest.raises(SystemExit, match="mosec answers otherwise"):
        compare("mosec", {50: [MINE[:2]]}, {50: [MINE]})
