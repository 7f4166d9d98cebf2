from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from training import pipeline
from training.config import read
from training.fit import fit
from training.run import Run
from training.search import outcome
from training.search.space import Space
from training.search.trials import Course, Trials


def trials(path: Path, folder: Path, progress) -> Trials:
    folder.mkdir(parents=True, exist_ok=True)
    return Trials(Space(path, read(path)), folder, progress)


def searched(path: Path, folder: Path, progress, count: int | None = None) -> optuna.Study:
    return trials(path, folder, progress).run(count, read(path))


def told(study: optuna.Study) -> list[tuple]:
    return [(trial.params, trial.value, trial.intermediate_values) for trial in study.trials]


@pytest.fixture(scope="module")
def found(written, tmp_path_factory, progress):
    """A search of three trials: its configuration, its folder, its study."""
    root = tmp_path_factory.mktemp("search")
    path = written(root / "data")
    return path, root / "runs" / "s", searched(path, root / "runs" / "s", progress)


def test_the_first_trial_has_the_settings_as_they_are_and_all_are_made(found):
    study = found[2]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[0].params == {"training.lr_heads": 3e-3, "model.sharing": "mmoe"}
    assert all(len(trial.intermediate_values) == 2 for trial in study.trials)


def test_the_best_file_trains_to_the_very_value_that_the_search_tells(found, tmp_path, progress):
    path, folder, study = found
    space = Space(path, read(path))
    record = outcome.record(space, study)
    config = read(outcome.write(space, record, source=path, folder=folder))
    bench = pipeline.prepare(config, tmp_path / "cache", progress)
    (tmp_path / "run").mkdir()
    state = fit(bench.network, bench.dataset, bench.texts, Run(tmp_path / "run"), progress)
    assert -state.best == record["best"]["value"]


def test_the_test_part_changes_nothing(found, written, tmp_path, progress):
    path, _, study = found
    config = read(path)
    dataset = pipeline.build(config, pipeline.tables.read(config))
    begin = dataset.requests.times[dataset.requests.of("test")].min()
    other = written(tmp_path / "data", flipped_after=begin)
    flipped = pipeline.build(read(other), pipeline.tables.read(read(other)))
    assert np.any(flipped.labels["click"] != dataset.labels["click"])
    assert told(searched(other, tmp_path / "runs" / "s", progress)) == told(study)


def test_a_search_goes_on_where_it_was_and_makes_a_killed_trial_again(written, tmp_path, progress):
    path, folder = written(tmp_path / "data"), tmp_path / "runs" / "s"
    before = trials(path, folder, progress)
    first = told(before.run(1, read(path)))
    killed = before._study().ask()
    params = {"training.lr_heads": killed.suggest_float("training.lr_heads", 1e-4, 1e-1, log=True)}
    study = searched(path, folder, progress, count=3)
    assert told(study)[:1] == first
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params["training.lr_heads"] == params["training.lr_heads"]
    assert len({trial.params["training.lr_heads"] for trial in study.trials}) == 3
    assert told(searched(path, folder, progress, count=3)) == told(study)


def test_a_grid_makes_every_point_once(written, tmp_path, progress):
    keys = {"training.lr_heads": [1e-3, 1e-2], "model.projections": [True, False]}
    path = written(tmp_path / "data", method="grid", space=keys, trials=9)
    study = searched(path, tmp_path / "runs" / "s", progress)
    points = {tuple(trial.params.values()) for trial in study.trials}
    assert len(study.trials) == len(points) == 4


def test_a_trial_that_diverges_is_told_and_the_others_go_on(written, tmp_path, progress):
    path = written(tmp_path / "data", method="grid", space={"training.lr_heads": [1e30, 3e-3]})
    study = searched(path, tmp_path / "runs" / "s", progress)
    record = outcome.record(Space(path, read(path)), study)
    states = {trial["values"]["training.lr_heads"]: trial["state"] for trial in record["trials"]}
    assert states == {1e30: "failed", 3e-3: "whole"}
    assert any("click:auc is undefined on the validation part" in line for line in outcome.markdown(record))


def test_with_folds_a_trial_is_the_mean_of_each_folds_best(written, tmp_path, progress):
    path = written(tmp_path / "data", folds=2, trials=1)
    [trial] = searched(path, tmp_path / "runs" / "s", progress).trials
    bests = [
        min(record["decides"] for record in Run(tmp_path / "runs" / "s" / "trials" / f"0-{fold}").epochs)
        for fold in range(2)
    ]
    assert trial.value == pytest.approx(np.mean(bests))
    assert sorted(trial.intermediate_values) == [0, 1, 2, 3]


def test_tables_are_read_anew_only_where_the_values_change_what_they_say(written, tmp_path, progress):
    path = written(tmp_path)
    made = trials(path, tmp_path / "s", progress)
    space = Space(path, read(path))
    one, two, three = (
        made.datasets(space.config(values))[0]
        for values in ({"training.lr_heads": 0.1}, {"model.sharing": "ple"}, {"features.use": ["hour"]})
    )
    assert one.context is two.context
    assert (one.config.training.lr_heads, two.config.model.sharing) == (0.1, "ple")
    assert three.context.shape[1] < one.context.shape[1]


def test_a_trial_that_falls_behind_is_given_up():
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    for value in (-0.7, -0.8):
        course = Course(trial := study.ask())
        course.begin(0)
        course.tell(value)
        study.tell(trial, course.value)
    course = Course(study.ask())
    course.begin(0)
    with pytest.raises(optuna.TrialPruned):
        course.tell(-0.6)
