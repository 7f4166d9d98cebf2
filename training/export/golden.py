"""Golden requests: real moments of the validation part with the answers that training computed for them.

The service answers them through its own path at every load; a difference is training/serving skew. What it has
counted since must not matter: they are answered from the bundle's statistics alone, as those ended. Each asks for the
mean of all tasks that can be weighed, so that the score is checked whatever the bundle's own weights are.
warmup.jsonl holds the same kind of requests without answers.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import limits
from model_store.clock import Times
from model_store.counters import Layout, Statistics
from model_store.features import FeatureSet
from model_store.fusion import Fusion
from model_store.items import Items
from model_store.manifest import Task
from model_store.moment import Met
from training.context import context, unmet
from training.dataset import Dataset
from training.fusion import mapped, scores
from training.model.network import Network
from training.predict import Predictions, Represented, predict

Ints = NDArray[np.int64]

GOLDEN, WARMUP = 12, 64
CANDIDATES = 20
TOP = 5  # classes of a multiclass answer


class Standing:
    """The bundle's statistics as the service reads them before it has counted anything: as if the log ended now."""

    def __init__(self, items: Items, layout: Layout, until: float) -> None:
        self._records, self._layout, self._until = items.statistics, layout, until

    def statistics(self, items: Ints, now: Times) -> Statistics:
        """Counts as of the log's end, times as long ago as they were then."""
        records = self._layout.blank(len(items)) if self._records is None else self._records[items]
        return self._layout.read(records, np.full(1, self._until)).moved((now - self._until)[:, None])

    def shown(self, _users: Ints, items: Ints, _now: Times, /) -> Met:
        """Nothing: the requests name nobody."""
        return unmet(len(items))


def write(
    network: Network, dataset: Dataset, shipped: Represented, *, items: Items, until: float, folder: Path
) -> None:
    """Write golden.jsonl and warmup.jsonl: requests of the validation part and what the network says of them."""
    generator = np.random.default_rng(1)
    known = [number for number in dataset.requests.of("validation") if _plain(dataset, int(number))]
    if not known:
        _lines(folder / "golden.jsonl", [])
        _lines(folder / "warmup.jsonl", [])
        return
    chosen = generator.permutation(np.array(known, dtype=np.int64))[: GOLDEN + WARMUP]
    bodies = [body(dataset, int(number)) for number in chosen]
    part = dataset.cut(chosen[:GOLDEN], [np.array(rows, dtype=np.int64) for _, rows in bodies[:GOLDEN]])
    layout = FeatureSet(dataset.features, dataset.clock).layout
    part = replace(part, context=context(part, Standing(items, layout, until)))
    predictions = predict(network, part, shipped, "validation")
    values = mapped(part, predictions)
    fusion = Fusion("weighted_sum", dict.fromkeys(values, 1.0))
    told = scores(fusion, values)
    golden = []
    for number, (request, _) in enumerate(bodies[:GOLDEN]):
        rows = range(part.requests.starts[number], part.requests.starts[number + 1])
        expected = {
            part.item_ids[part.rows[row]]: _answer(part, predictions, items, row, row) for row in rows
        }
        weighed = {part.item_ids[part.rows[row]]: float(told[row]) for row in rows}
        asked = {**request, "fusion": {"method": fusion.method, "weights": fusion.weights}}
        wants = {
            task.name: served(task, predictions.values[task.name][number], part, part.requests.times[number])
            for task in part.tasks
            if task.inputs == "user" and part.requests.users[number] >= 0
        }
        golden.append({"request": asked, "expected": expected, "scores": weighed, "interests": wants})
    _lines(folder / "golden.jsonl", golden)
    _lines(folder / "warmup.jsonl", [request for request, _ in bodies[GOLDEN:]])


def body(
    dataset: Dataset, number: int, *, limit: int | None = CANDIDATES
) -> tuple[dict[str, Any], list[int]]:
    """One request of the data set as the service takes it, history inline, and its candidate rows."""
    requests, histories = dataset.requests, dataset.histories
    start, stop = requests.history[number]
    names = tuple(dataset.config.history.events)
    history = [
        {
            "item_id": dataset.item_ids[histories.items[place]],
            "event": names[histories.events[place] - 1],
            "timestamp": moment(histories.times[place]),
        }
        for place in range(start, stop)
    ]
    rows = _distinct(dataset, range(requests.starts[number], requests.starts[number + 1]))[:limit]
    request: dict[str, Any] = {
        "history": history,
        "candidates": [dataset.item_ids[dataset.rows[row]] for row in rows],
        "k": max(len(rows), 1),
        "context": {"timestamp": moment(requests.times[number])},
        "exclude_seen": False,
    }
    if requests.queries[number] >= 0:
        request["query"] = dataset.texts[requests.queries[number]]
    for column, codes in dataset.words.items():
        if codes[number] >= 0:
            request["context"][column] = dataset.features.words[column][codes[number]]
    user = requests.users[number]
    if user >= 0 and dataset.profiles[user] >= 0:
        request["profile"] = dataset.records[dataset.user_ids[user]]
    return request, rows


def moment(seconds: float) -> str:
    """Unix seconds as ISO 8601, to the microsecond."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


def _plain(dataset: Dataset, number: int) -> bool:
    """Whether the service would take the request: something to go by, and no text that is longer than it reads."""
    query = dataset.requests.queries[number]
    asked = dataset.texts[query] if query >= 0 else ""
    known = dataset.features.words
    words = [known[name][codes[number]] for name, codes in dataset.words.items() if codes[number] >= 0]
    takes = limits.fits(asked, limits.QUERY) and all(limits.fits(word, limits.WORD) for word in words)
    return takes and (bool(asked.strip()) or dataset.requests.users[number] >= 0)


def _distinct(dataset: Dataset, rows: range) -> list[int]:
    """Rows of a request without items shown twice."""
    seen: dict[int, int] = {}
    for row in rows:
        seen.setdefault(int(dataset.rows[row]), row)
    return list(seen.values())


def _answer(dataset: Dataset, predictions: Predictions, items: Items, row: int, place: int) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    column = 0
    now = dataset.requests.times[dataset.requests.owners[row]]
    for task in dataset.tasks:
        if task.online:
            answer[task.name] = served(task, predictions.values[task.name][place], dataset, now)
        elif task.inputs != "user" and items.outputs is not None:
            values = items.outputs[dataset.rows[row], column : column + task.width]
            column += task.width
            if task.inputs == "item":
                answer[task.name] = served(task, values, dataset, now)
    return answer


def served(task: Task, values: Any, dataset: Dataset, now: float) -> Any:
    """A head's output (w,) in the form in which the service answers it."""
    if task.clock:
        return float(values[dataset.clock.bucket(np.array([now]), task.clock)[0]])
    if task.quantiles:
        return dict(zip(task.levels, values.tolist(), strict=True))
    if not task.classes:
        return float(values[0])
    top = np.argsort(-values, kind="stable")[:TOP]
    return {task.classes[place]: float(values[place]) for place in top}


def _lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
