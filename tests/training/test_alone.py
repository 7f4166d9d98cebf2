"""One task by itself, and what a joint network learns from it."""

import numpy as np
import pytest
import torch

from tests.training import toy
from training import pipeline
from training.alone import answers, only, teachers
from training.errors import ConfigError
from training.predict import predict, represent
from training.run import Run

TASKS = {
    "click": {"type": "binary", "label": "clicked", "taught": 0.5},
    "dwell": {"type": "regression", "label": "dwell", "transform": "log1p"},
    "time": {"type": "multiclass", "inputs": "user_item", "label": "time", "clock": "daypart", "taught": 0.5},
}


@pytest.fixture
def train(workbench, progress, tmp_path):
    """Run the training stage of the pipeline in a folder of that name."""

    def trained(name="run", seed=0, tasks=TASKS, labels=None, **training):
        bench = workbench(seed=seed, tasks=tasks, training=training)
        if labels is not None:
            rows = bench.dataset.select(labels)
            bench.dataset.labels["click"][rows] = 1.0 - bench.dataset.labels["click"][rows]
        run = Run(tmp_path / name)
        run.folder.mkdir(exist_ok=True)
        pipeline.train(bench, run, progress)
        return bench, run

    return trained


def weights(trained) -> torch.Tensor:
    bench, _ = trained
    return bench.network.state_dict()["heads.item.weight"]


def test_the_tasks_that_teach_are_those_that_the_configuration_names():
    assert teachers(toy.settings(tasks=TASKS)) == ["click", "time"]
    assert teachers(toy.settings()) == []
    assert teachers(toy.settings(tasks=TASKS | {"click": {**TASKS["click"], "weight": 0.0}})) == ["time"]


def test_one_task_is_the_same_data_without_the_others_and_without_a_teacher():
    whole = toy.made(tasks=TASKS)
    single = only(whole, "click")
    assert (
        list(single.config.tasks) == list(single.labels) == [task.name for task in single.tasks] == ["click"]
    )
    assert teachers(single.config) == []
    assert single.rows is whole.rows


def test_answers_are_logits_of_the_training_part_in_its_order(workbench):
    bench = workbench(tasks={"time": {**TASKS["time"], "taught": 0.0}})
    found = answers(bench.network, bench.dataset, bench.texts, ["time"])["time"]
    said = predict(
        bench.network, bench.dataset, represent(bench.network, bench.dataset, bench.texts), "train"
    )
    train = bench.dataset.select("train")
    np.testing.assert_array_equal(found[train], said.logits["time"])
    rest = np.setdiff1d(np.arange(len(bench.dataset.rows)), train)
    assert len(rest)
    assert np.isnan(found[rest]).all()


def test_what_is_taught_is_what_each_task_says_that_was_trained_alone(train, progress):
    bench, run = train()
    told = run.told()
    assert set(told) == {"click", "time"}
    single, _ = pipeline.by_itself(bench, run, "click", progress)  # opened, not trained again
    said = answers(single.network, single.dataset, single.texts, ["click"])["click"]
    np.testing.assert_array_equal(told["click"], said)
    assert not (run.folder / "alone" / "dwell").exists()


def test_a_teacher_changes_what_is_learned_and_a_run_goes_on_with_the_one_that_it_had(train):
    plain = train("plain", tasks={name: {**task, "taught": 0.0} for name, task in TASKS.items()})
    assert not plain[1].taught.exists()
    once, again = train("once"), train("again")
    assert torch.equal(weights(once), weights(again))
    assert not torch.equal(weights(once), weights(plain))
    run = once[1]
    run.teach({name: -logits for name, logits in run.told().items()})
    (run.folder / "resume.pt").unlink()
    assert not torch.equal(weights(train("once")), weights(again))


def test_a_network_that_is_taught_much_says_what_its_teacher_says(train):
    lots = {"epochs": 30, "patience": 30}
    click = {**TASKS["click"], "ranking": False}
    apart = {}
    for share in (0.0, 0.99):
        bench, run = train(f"share-{share}", tasks={"click": {**click, "taught": share}}, **lots)
        if share:
            teacher = run.told()["click"]
        joint = answers(bench.network, only(bench.dataset, "click"), bench.texts, ["click"])["click"]
        apart[share] = joint
    rows = ~np.isnan(teacher)
    told = np.corrcoef(apart[0.99][rows], teacher[rows])[0, 1]
    assert told > 0.9
    assert np.abs(apart[0.99] - teacher)[rows].mean() < np.abs(teacher[rows]).mean()


def test_teachers_never_learn_from_validation_not_even_where_the_weights_that_are_served_do(train):
    told = {}
    for part in (None, "validation", "train"):
        _, run = train(str(part), labels=part, epochs=1, refit=True)
        told[part] = run.told()["click"]
    np.testing.assert_array_equal(told[None], told["validation"])
    assert not np.array_equal(told[None], told["train"], equal_nan=True)


@pytest.mark.parametrize(
    "task",
    [
        {"type": "quantile", "label": "dwell"},
        {"type": "multiclass", "inputs": "item", "label": "kind"},
        {"type": "regression", "label": "dwell", "loss": "ordinal", "grades": [1, 2, 3]},
    ],
)
def test_a_task_that_cannot_be_taught_is_refused(task):
    with pytest.raises(
        ConfigError, match="taught is for binary, multiclass and regression tasks without grades"
    ):
        toy.settings(tasks={"click": TASKS["click"], "other": {**task, "taught": 0.3}})


def test_a_teacher_that_would_know_the_labels_is_refused():
    with pytest.raises(ConfigError, match=r"tasks\.click: taught does not go with model.audience"):
        toy.settings(tasks=TASKS, model={"factors": 2, "audience": 20})


def test_a_run_that_goes_on_with_other_tables_is_refused(train):
    _, run = train()
    run.teach({name: logits[1:] for name, logits in run.told().items()})
    with pytest.raises(ConfigError, match="was made of other tables; train again with `chorus-train run`"):
        train()
