"""Golden requests: real moments of the validation part with the answers that training computed for them.

The service answers them through its own path at every load; a difference is training/serving skew.
warmup.jsonl holds the same kind of requests without answers.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from model_store.items import Items
from model_store.manifest import Task
from training.dataset import Dataset
from training.predict import Predictions

GOLDEN, WARMUP = 12, 64
CANDIDATES = 20
TOP = 5  # classes of a multiclass answer


def write(dataset: Dataset, predictions: Predictions, items: Items, folder: Path) -> None:
    """Write golden.jsonl and warmup.jsonl from the validation part's predictions."""
    generator = np.random.default_rng(1)
    known = [number for number in predictions.requests if _plain(dataset, int(number))]
    chosen = generator.permutation(np.array(known, dtype=np.int64))[: GOLDEN + WARMUP]
    places = {int(row): place for place, row in enumerate(predictions.rows)}
    golden = []
    for number in chosen[:GOLDEN]:
        request, rows = body(dataset, int(number))
        expected = {
            dataset.item_ids[dataset.rows[row]]: _answer(dataset, predictions, items, row, places[row])
            for row in rows
        }
        golden.append({"request": request, "expected": expected})
    _lines(folder / "golden.jsonl", golden)
    _lines(folder / "warmup.jsonl", [body(dataset, int(number))[0] for number in chosen[GOLDEN:]])


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
    user = requests.users[number]
    if user >= 0 and dataset.profiles[user] >= 0:
        request["profile"] = dataset.records[dataset.user_ids[user]]
    return request, rows


def moment(seconds: float) -> str:
    """Unix seconds as ISO 8601, to the microsecond."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


def _plain(dataset: Dataset, number: int) -> bool:
    """Whether the service would take the request: something to go by, and a time that is a date."""
    query = dataset.requests.queries[number]
    has_query = query >= 0 and bool(dataset.texts[query].strip())
    return has_query or dataset.requests.users[number] >= 0


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
        elif items.outputs is not None:
            values = items.outputs[dataset.rows[row], column : column + task.width]
            column += task.width
            if task.inputs == "item":
                answer[task.name] = served(task, values, dataset, now)
    return answer


def served(task: Task, values: Any, dataset: Dataset, now: float) -> Any:
    """A head's output (w,) in the form in which the service answers it."""
    if task.clock:
        return float(values[dataset.clock.bucket(np.array([now]), task.clock)[0]])
    if not task.classes:
        return float(values[0])
    top = np.argsort(-values, kind="stable")[:TOP]
    return {task.classes[place]: float(values[place]) for place in top}


def _lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
