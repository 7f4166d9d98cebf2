"""What users did, as `chorus-serve load` takes it: one JSON object a line, histories and lists that were shown.

{"user_id": "u42", "profile": {...}, "events": [{"item_id", "event", "timestamp"}, ...],
 "shown": [{"timestamp", "item_ids"}, ...]}                                    oldest first
"""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from model_store.moment import SHOWN_LISTS
from training.dataset import Dataset
from training.export.golden import moment


def write(dataset: Dataset, path: Path, until: float) -> None:
    """Each user's newest events, profile and lists up to a time, unix seconds; then the profiles of all others."""
    with gzip.open(path, "wt") as file:
        for number, user in enumerate(dataset.user_ids):
            record = {
                "user_id": user,
                "profile": dataset.records.get(user),
                "events": _events(dataset, number, until),
                **({"shown": _shown(dataset, number, until)} if dataset.lists else {}),
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        known = set(dataset.user_ids)
        for user, profile in dataset.records.items():
            if user not in known:
                file.write(json.dumps({"user_id": user, "profile": profile}, ensure_ascii=False) + "\n")


def _events(dataset: Dataset, user: int, until: float) -> list[dict[str, Any]]:
    config, told = dataset.config, dataset.histories
    names = tuple(config.history.events)
    begin, end = told.starts[user : user + 2]
    stop = begin + int(np.searchsorted(told.times[begin:end], until, side="right"))
    start = max(begin, stop - config.history.limit)
    return [
        {"item_id": dataset.item_ids[told.items[place]], "event": names[told.events[place] - 1],
         "timestamp": moment(told.times[place])}
        for place in range(start, stop)
    ]  # fmt: skip


def _shown(dataset: Dataset, user: int, until: float) -> list[dict[str, Any]]:
    if dataset.lists is None:
        return []
    found = dataset.lists.newest(user, until, SHOWN_LISTS)
    return [
        {"timestamp": moment(time), "item_ids": [dataset.item_ids[item] for item in items]}
        for time, items in found
    ]
