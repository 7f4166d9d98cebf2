"""Bundles that must not serve: what is wrong with each, and what the service says of it.

Harm is done to a copy: to its files before they are hashed, to fields of its manifest, or to what was published.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from model_store.bundle import MANIFEST

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Harm:
    """Part of the reason; `before` files are hashed, `fields` of the manifest, `after` it was published."""

    reason: str
    before: Change | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    after: Change | None = None


def _rewritten(name: str, change: Callable[[dict[str, Any]], None]) -> Change:
    """Each line of a file of JSON lines changed."""

    def work(draft: Path) -> None:
        lines = [json.loads(line) for line in (draft / name).read_text().splitlines()]
        for line in lines:
            change(line)
        (draft / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    return work


def _weighed(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    """The largest weights of a graph changed."""

    def work(draft: Path) -> None:
        graph = onnx.load(draft / name)
        weights = max(graph.graph.initializer, key=lambda each: len(each.raw_data))
        weights.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weights)), weights.name))
        onnx.save(graph, draft / name)

    return work


def _halved(draft: Path) -> None:
    rows = np.load(draft / "items.vectors.npy")
    np.save(draft / "items.vectors.npy", rows[: len(rows) // 2])


def _lie(line: dict[str, Any]) -> None:
    for tasks in line["expected"].values():
        for task, told in tasks.items():
            tasks[task] = told + 0.5 if isinstance(told, float) else told


def _rename(line: dict[str, Any]) -> None:
    line["request"]["history"] = [{"item_id": "x", "event": "sneeze", "timestamp": "2025-01-01T00:00:00Z"}]


def _shorten(folder: Path) -> None:
    content = (folder / "heads.onnx").read_bytes()
    (folder / "heads.onnx").write_bytes(content[: len(content) // 2])


def _flip(folder: Path) -> None:
    content = bytearray((folder / "user_encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "user_encoder.onnx").write_bytes(content)


def _modernise(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(told | {"format": 99}))


def _written(name: str, content: bytes) -> Change:
    def work(draft: Path) -> None:
        (draft / name).write_bytes(content)

    return work


def _without(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


HARMS: Mapping[str, Harm] = {
    "a graph cut short": Harm("heads.onnx has", after=_shorten),
    "a bit that fell over": Harm("user_encoder.onnx is not the file that the manifest names", after=_flip),
    "a file that is missing": Harm("is missing", after=_without("tokenizer.json")),
    "a copy without its manifest": Harm("has no manifest", after=_without(MANIFEST)),
    "a newer format": Harm("has format 99", after=_modernise),
    "another dimension": Harm("the manifest says", fields={"dimension": 8}),
    "no graph": Harm(
        "could not be opened", _written("text_encoder.onnx", b"no graph"), {"precision": "fp32"}
    ),
    "no tokenizer": Harm("could not be opened", _written("tokenizer.json", b"{}")),
    "weights that are NaN": Harm(
        "not finite", _weighed("user_encoder.onnx", lambda each: np.full_like(each, np.nan))
    ),
    "heads of another training": Harm("heads.onnx differ", _weighed("heads.onnx", lambda each: each + 1.0)),
    "half a catalogue": Harm("the items are", _halved),
    "other golden answers": Harm("where the bundle was made", _rewritten("golden.jsonl", _lie)),
    "golden requests of another model": Harm(
        "is no event of this model", _rewritten("golden.jsonl", _rename)
    ),
}
