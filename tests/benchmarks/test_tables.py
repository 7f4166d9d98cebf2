import numpy as np

from benchmarks.quality.tables import LOGS, logged
from tests.training import toy


def test_each_request_is_in_one_log_and_each_log_has_its_own_tasks():
    whole = toy.made()
    tasks = {True: {"match"}, False: {"click", "dwell"}}
    logs = {
        asked: logged(
            whole,
            whole.config.model_copy(update={"tasks": {name: whole.config.tasks[name] for name in names}}),
            asked=asked,
        )
        for asked, names in tasks.items()
    }
    for asked, log in logs.items():
        assert {task.name for task in log.tasks} == set(log.labels) == tasks[asked]
        kept = log.requests.splits >= 0
        assert ((whole.requests.queries >= 0)[kept] == asked).all()
        np.testing.assert_array_equal(log.requests.splits[kept], whole.requests.splits[kept])
    parts = [log.requests.splits >= 0 for log in logs.values()]
    np.testing.assert_array_equal(parts[0] ^ parts[1], whole.requests.splits >= 0)


def test_no_task_is_of_two_logs():
    names = [name for tasks in LOGS.values() for name in tasks]
    assert len(set(names)) == len(names)
