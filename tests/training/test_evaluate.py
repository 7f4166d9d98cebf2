import numpy as np
import pytest

from model_store.manifest import Task
from training.evaluate import (
    by_user,
    headline,
    impressions,
    logarithmic,
    losses,
    measure,
    reliability,
    retrieval,
    score,
)
from training.predict import predict, represent
from training.ranking import recall_at

CLICK = Task(name="click", type="binary")
NAN = np.nan


def test_a_task_with_impressions_is_judged_by_them_and_the_others_by_their_type():
    assert headline(CLICK, {"auc": 0.5, "impression_auc": 0.6}) == "impression_auc"
    assert headline(CLICK, {"auc": 0.5}) == "auc"
    kinds = {"multiclass": "accuracy", "multilabel": "macro_auc", "regression": "rmse", "quantile": "pinball"}
    for kind, metric in kinds.items():
        assert headline(Task(name="x", type=kind), {}) == metric


@pytest.mark.parametrize(
    ("metric", "before", "after", "lost"),
    [("auc", 0.8, 0.76, 0.05), ("auc", 0.8, 0.84, -0.05), ("rmse", 2.0, 2.1, 0.05), ("rmse", 2.0, 1.9, -0.05),
     ("rmse", 0.0, 0.3, 0.3), ("pinball", 2.0, 2.1, 0.05)],
)  # fmt: skip
def test_a_loss_is_how_much_worse_it_got_as_a_share(metric, before, after, lost):
    assert losses(metric, before, after) == pytest.approx(lost)


def test_rows_without_a_label_are_not_scored():
    labels, values = np.array([1, NAN, 0, 1, NAN]), np.array([[0.9], [0.1], [0.2], [0.7], [0.8]])
    alone = score(CLICK, labels[[0, 2, 3]], values[[0, 2, 3]])
    assert score(CLICK, labels, values) == alone
    mood = Task(name="mood", type="multiclass", classes=("a", "b"))
    shares = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    assert score(mood, np.array([0, -1, 0]), shares)["accuracy"] == 0.5


def test_a_user_with_labels_of_both_kinds_is_ranked_and_nobody_else():
    users = np.array([0, 0, 0, 1, 1, -1, -1, 2, 2])
    labels = np.array([1, 0, 0, 1, 1, 1, 0, 0, NAN])
    scores = np.array([0.5, 0.4, 0.6, 0.1, 0.2, 0.0, 1.0, 0.3, 0.4])
    assert by_user(users, labels, scores) == {"user_auc": 0.5}
    assert by_user(users[3:], labels[3:], scores[3:]) == {}


def test_a_number_that_is_learned_by_its_logarithm_is_judged_by_that_too():
    labels, values = np.array([0, NAN, 9.0, 99.0]), np.array([[1.0], [5.0], [4.0], [80.0]])
    errors = np.log1p([0, 9, 99]) - np.log1p([1, 4, 80])
    dwell = Task(name="dwell", type="regression")
    found = score(dwell, labels, values) | logarithmic(dwell, labels, values)
    assert found["log_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert found["log_mae"] == pytest.approx(np.mean(np.abs(errors)))
    assert found["spearman"] == pytest.approx(1)
    assert headline(dwell, found) == "log_rmse"


def test_quantiles_are_judged_by_their_pinball_loss_of_logarithms_where_they_are_learned_so():
    read = Task(name="read", type="quantile", quantiles=(0.25, 0.75))
    labels, values = np.array([0, NAN, 9.0]), np.array([[0.0, 4.0], [5.0, 6.0], [4.0, 99.0]])
    found = score(read, labels, values)
    assert headline(read, found) == "pinball"
    assert found["pinball"] == pytest.approx((0 + 0.25 * 4 + 0.25 * 5 + 0.25 * 90) / 4)
    found |= logarithmic(read, labels, values)
    by_hand = 0.25 * (np.log(5) + np.log(10 / 5) + np.log(100 / 10)) / 4
    assert found["log_pinball"] == pytest.approx(by_hand)
    assert headline(read, found) == "log_pinball"
    assert (found["coverage@0.25"], found["coverage@0.75"]) == (0.5, 1)


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
    told = retrieval(dataset, found, found.users, vectors)
    whole = recall_at(found.users, vectors, targets=targets)
    assert {name: told[name] for name in whole} == whole


def test_warm_and_cold_items_are_looked_for_apart_and_beside_the_most_wanted(workbench):
    bench = workbench()
    dataset = bench.dataset
    train = dataset.select("train")
    cold = dataset.rows[dataset.select("test")][0]
    dataset.rows[train[dataset.rows[train] == cold]] = (cold + 1) % len(dataset.item_ids)
    found = predict(bench.network, dataset, represent(bench.network, dataset, bench.texts), "test")
    vectors = np.eye(len(dataset.item_ids), dtype=np.float32)
    told = retrieval(dataset, found, np.ones((len(found.requests), len(vectors)), np.float32), vectors)
    assert {"recall@100 warm", "recall@100 cold", "recall@100 popular"} <= set(told)
    whole = predict(bench.network, dataset, represent(bench.network, dataset, bench.texts), "train")
    seen = retrieval(dataset, whole, np.ones((len(whole.requests), len(vectors)), np.float32), vectors)
    assert "recall@100 cold" not in seen, "what training showed is warm"


def test_every_binary_task_tells_how_true_its_chances_are(bench):
    found = predict(
        bench.network, bench.dataset, represent(bench.network, bench.dataset, bench.texts), "test"
    )
    told = reliability(bench.dataset, found, "test")
    assert set(told) == {task.name for task in bench.dataset.tasks if task.type == "binary"}
    labels = bench.dataset.labels["click"][found.rows]
    assert sum(told["click"]["rows"]) == (~np.isnan(labels)).sum()
