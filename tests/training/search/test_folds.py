import numpy as np
import pytest

from tests.training import toy
from training.dataset import TEST, TRAIN, VALIDATION
from training.errors import DataError
from training.search.folds import parts
from training.search.section import SearchConfig


def search(**keys):
    return SearchConfig(space={"training.seed": [1]}, **keys)


@pytest.fixture(scope="module")
def dataset():
    return toy.made()


def of(part, split):
    """Requests of a split."""
    return np.flatnonzero(part.requests.splits == split)


@pytest.mark.parametrize(
    "keys", [{}, *({"folds": 3, "group": each} for each in ("user", "query", "item", "time"))]
)
def test_no_part_has_a_row_or_a_text_of_the_test_part(dataset, keys):
    tested = dataset.requests.times[dataset.requests.of("test")]
    found = parts(dataset, search(**keys))
    assert len(found) == keys.get("folds", 1)
    for part in found:
        assert set(part.requests.splits) == {TRAIN, VALIDATION}
        assert part.requests.times.max() < tested.min()
        assert all(TEST not in labels.splits for labels in part.alone.values())
        assert len(part.context) == len(part.rows) == len(part.labels["click"]) == part.requests.starts[-1]


def test_without_folds_training_and_validation_are_those_of_the_configuration(dataset):
    [part] = parts(dataset, search())
    for split in ("train", "validation"):
        np.testing.assert_array_equal(part.rows[part.select(split)], dataset.rows[dataset.select(split)])
        np.testing.assert_array_equal(
            part.context[part.select(split)], dataset.context[dataset.select(split)]
        )


@pytest.mark.parametrize("group", ["user", "query", "item"])
def test_what_a_fold_holds_out_is_nowhere_in_its_training(dataset, group):
    whole = {"user": dataset.requests.users, "query": dataset.requests.queries, "item": dataset.rows}[group]
    held = []
    for part in parts(dataset, search(folds=3, group=group)):
        column = {"user": part.requests.users, "query": part.requests.queries, "item": part.rows}[group]
        train, validation = (
            set(column[part.select(split) if group == "item" else of(part, number)]) - {-1}
            for split, number in (("train", TRAIN), ("validation", VALIDATION))
        )
        assert train
        assert not train & validation
        held += list(validation)
    assert len(held) == len(set(held)) > 1
    assert set(held) <= set(whole)


def test_every_row_is_held_out_once(dataset):
    [rest] = parts(dataset, search())
    for group in ("user", "query", "item"):
        folds = parts(dataset, search(folds=3, group=group))
        rows = np.concatenate([part.context[part.select("validation")] for part in folds])
        assert len(rows) == len(rest.rows)
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(rest.context, axis=0))


def test_windows_of_time_follow_each_other_and_training_grows(dataset):
    folds = parts(dataset, search(folds=3, group="time"))
    for part in folds:
        times = part.requests.times
        assert times[of(part, TRAIN)].max() <= times[of(part, VALIDATION)].min()
    assert np.all(np.diff([len(of(part, TRAIN)) for part in folds]) > 0)


def test_more_folds_than_groups_are_refused(dataset):
    with pytest.raises(
        DataError, match=r"search.folds = 20: there are \d+ of what 'item' keeps whole; take fewer"
    ):
        parts(dataset, search(folds=20, group="item"))
