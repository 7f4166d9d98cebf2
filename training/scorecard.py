"""What a trained run is worth on the test part: `metrics.json`, from which its report is written.

joint      all tasks in one network
earlier    the run that this one went on from, as it was served
alone      each task by itself
others     baselines that know no text
"""

from typing import Any

from rich.progress import Progress

from training import fusion
from training.alone import teachers
from training.baselines import baselines
from training.cost import cost
from training.evaluate import Table, headline, measure, reliability, retrieval
from training.gates import usage
from training.heritage import Heritage
from training.pipeline import Workbench, by_itself
from training.pipeline import bench as new_bench
from training.predict import Predictions, Represented, predict, represent, sought
from training.run import Run
from training.slices import slices


def evaluate(bench: Workbench, run: Run, progress: Progress, *, alone: bool) -> dict[str, Any]:
    """Test metrics of the joint model, of the baselines, and (if asked) of each task trained alone."""
    represented = represent(bench.network, bench.dataset, bench.texts)
    tested = predict(bench.network, bench.dataset, represented, "test")
    found: dict[str, Any] = {"joint": measure(bench.dataset, tested, "test")}
    found |= baselines(bench.dataset, "test")
    sliced = {"joint": slices(bench.dataset, tested, "test")}
    costs = {"joint": cost(run, bench.network)}
    if heritage := Heritage.of(run):
        found["earlier"] = _before(bench, run, heritage, progress)
    if alone and len(bench.dataset.tasks) > 1:
        found["alone"], sliced["alone"] = {}, {}
        for task in bench.dataset.tasks:
            single, place = by_itself(bench, run, task.name, progress)
            said = _tested(single)
            found["alone"] |= measure(single.dataset, said, "test")
            sliced["alone"] |= slices(single.dataset, said, "test")
            costs[f"{task.name} alone"] = cost(place, single.network)
    record = {
        "tests": found,
        "slices": sliced,
        "costs": costs,
        "taught": teachers(bench.dataset.config),
        "headlines": {task.name: headline(task, found["joint"][task.name]) for task in bench.dataset.tasks},
        "retrieval": _retrieval(bench, represented, tested),
        "gates": usage(bench.network, bench.dataset, represented, "test"),
        "reliability": reliability(bench.dataset, tested, "test"),
        "data": bench.dataset.facts,
    }
    if bench.dataset.config.fusion.goal:
        record["fusion"] = fusion.tested(run.read("fusion.json"), bench.dataset, tested)
    run.write("metrics.json", record)
    return record


def _before(bench: Workbench, run: Run, heritage: Heritage, progress: Progress) -> Table:
    """The same of the run that this one went on from, as it was served."""
    earlier = new_bench(bench.dataset, run.folder.parent / "cache", progress, [])
    heritage.hand(earlier.network, earlier.dataset, served=True)
    return {task: found for task, found in test(earlier).items() if task in heritage.config.tasks}


def test(bench: Workbench) -> Table:
    """Metrics of the network on the test part."""
    return measure(bench.dataset, _tested(bench), "test")


def _tested(bench: Workbench) -> Predictions:
    represented = represent(bench.network, bench.dataset, bench.texts)
    return predict(bench.network, bench.dataset, represented, "test")


def _retrieval(bench: Workbench, represented: Represented, predictions: Predictions) -> dict[str, float]:
    vectors = represented.vectors[: len(bench.dataset.item_ids)].numpy()
    searches = sought(bench.dataset, represented, predictions, bench.network.fetched)
    return retrieval(bench.dataset, predictions, searches, vectors)
