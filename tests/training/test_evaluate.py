import numpy as np
import pytest

from model_store.manifest import Task
from training.evaluate import headline, impressions, losses, measure, retrieval, score
from training.predict import predict, represent
from training.ranking import recall_at

CLICK = Task(name="click", type="binary")
NAN = np.nan


def test_a_task_with_impressions_is_judged_by_them_and_the_others_by_their_type():
    assert headline(CLICK, {"auc": 0.5, "impression_auc": 0.6}) == "impression_auc"
    assert headline(CLICK, {"auc": 0.5}) == "auc"
    kinds = {"multiclass": "accuracy", "multilabel": "macro_auc", "regression": "rmse"}
    for kind, metric in kinds.items():
        assert headline(Task(name="x", type=kind), {}) == metric


@pytest.mark.parametrize(
    ("kind", "metric", "before", "after", "lost"),
    [("binary", "auc", 0.8, 0.76, 0.05), ("binary", "auc", 0.8, 0.84, -0.05), ("regression", "rmse", 2.0, 2.1, 0.05),
     ("regression", "rmse", 2.0, 1.9, -0.05), ("regression", "rmse", 0.0, 0.3, 0.3)],
)  # fmt: skip
def test_a_loss_is_how_much_worse_it_got_as_a_share(kind, metric, before, after, lost):
    assert losses(Task(name="x", type=kind), {metric: before}, {metric: after}) == pytest.approx(lost)


def test_rows_without_a_label_are_not_scored():
    labels, values = np.array([1, NAN, 0, 1, NAN]), np.array([[0.9], [0.1], [0.2], [0.7], [0.8]])
    alone = score(CLICK, labels[[0, 2, 3]], values[[0, 2, 3]])
    assert score(CLICK, labels, values) == alone
    mood = Task(name="mood", type="multiclass", classes=("a", "b"))
    shares = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    assert score(mood, np.array([0, -1, 0]), shares)["accuracy"] == 0.5


def test_impressions_are_ranked_one_by_one_without_their_unlabelled_rows():
    labels = np.array([1, 0, 0, 1, NAN, 1, 1])
    values = np.array([[0.9], [0.1], [0.4], [0.3], [0.99], [0.5], [0.2]])
    found = score(CLICK, labels, values, np.array([1, 1, 2, 2, 2, 3, 3]))
    assert (found["impressions"], found["impression_auc"]) == (2, 0.5)


def test_without_an_impression_of_both_kinds_there_is_nothing_to_rank():
    assert impressions(np.array([1, 1, 2]), np.array([1, 1, 0]), np.array([0.1, 0.2, 0.3])) == {}


def test_everything_that_is_served_is_measured(bench):
    found = predict(
        bench.network, bench.dataset, represent(bench.network, bench.dataset, bench.texts), "test"
    )
    table = measure(bench.dataset, found, "test")
    assert list(table) == [task.name for task in bench.dataset.tasks]
    assert 0 < table["click"]["impressions"] <= len(bench.dataset.requests.of("test"))
    click = found.values["click"][:, 0]
    labels = bench.dataset.labels["click"][found.rows]
    first = bench.dataset.requests.owners[found.rows]
    assert table["click"]["impression_auc"] == impressions(first, labels, click)["impression_auc"]


def test_retrieval_looks_for_the_clicked_in_the_whole_catalogue(bench):
    dataset = bench.dataset
    represented = represent(bench.network, dataset, bench.texts)
    found = predict(bench.network, dataset, represented, "test")
    vectors = represented.vectors[: len(dataset.item_ids)].numpy()
    targets = []
    for number in found.requests:
        rows = np.arange(*dataset.requests.starts[number : number + 2])
        targets.append(dataset.rows[rows[dataset.labels["click"][rows] == 1]])
    assert retrieval(dataset, found, vectors) == recall_at(found.users, vectors, targets=targets)
