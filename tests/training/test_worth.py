import numpy as np
import pytest

from training.errors import ConfigError
from training.worth import Interval, delta, worth


def record(joint: float, alone: float, error: float = 2.0) -> dict:
    """A run of a task of which more is better, one of which less is, and one that was not trained alone."""
    return {
        "headlines": {"click": "auc", "dwell": "rmse", "kind": "accuracy"},
        "tests": {
            "joint": {"click": {"auc": joint}, "dwell": {"rmse": error}, "kind": {"accuracy": 0.5}},
            "alone": {"click": {"auc": alone}, "dwell": {"rmse": 2.5}},
        },
    }


def test_a_gain_is_positive_where_the_joint_model_is_better_whichever_way_the_metric_goes():
    click, dwell = worth([record(0.8, 0.7)])
    assert (click.task, click.metric, click.joint, click.alone) == ("click", "auc", 0.8, 0.7)
    assert click.gain.mean == pytest.approx(0.1)
    assert dwell.gain.mean == pytest.approx(0.5)
    assert dwell.share.mean == pytest.approx(0.2)
    assert click.gain.half is None


def test_the_interval_is_students_over_the_differences_of_each_run():
    runs = [record(0.80, 0.70), record(0.90, 0.78), record(0.70, 0.62)]
    gain = worth(runs)[0].gain
    differences = np.array([0.10, 0.12, 0.08])
    assert gain.mean == pytest.approx(0.1)
    assert gain.half == pytest.approx(4.3027 * differences.std(ddof=1) / 3**0.5, rel=1e-4)


def test_delta_is_the_mean_share_over_tasks_with_the_spread_over_runs():
    runs = [record(0.8, 0.8), record(0.88, 0.8, error=2.5)]
    found = delta(worth(runs), runs)
    assert found.mean == pytest.approx(np.mean([(0.0 + 0.2) / 2, (0.1 + 0.0) / 2]))
    assert found.half == pytest.approx(12.7062 * np.std([0.1, 0.05], ddof=1) / 2**0.5, rel=1e-4)


def test_intervals_are_written_with_their_sign():
    assert Interval(0.0123, 0.0045).written() == "+0.0123 ± 0.0045"
    assert Interval(-0.5, None).written(1, 100.0) == "-50.0"


@pytest.mark.parametrize(("records", "reason"), [
    ([{"headlines": {"click": "auc"}, "tests": {"joint": {}}}], "no task was trained alone"),
    ([record(0.8, 0.7), {"headlines": {"click": "auc"}, "tests": {}}], "not of the same tasks"),
    ([{"tests": {}}], "not of the same tasks"),
])  # fmt: skip
def test_runs_that_cannot_be_compared_say_why(records, reason):
    with pytest.raises(ConfigError, match=reason):
        worth(records)


def test_a_task_without_a_defined_metric_is_left_out():
    runs = [record(0.8, 0.7), record(float("nan"), 0.7)]
    assert [task.task for task in worth(runs)] == ["dwell"]
    assert delta(worth(runs), runs).mean == pytest.approx(0.2)
