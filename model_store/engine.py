"""The three graphs of a bundle: arrays in, arrays out. No asyncio, no HTTP, no Redis.

Training verifies and measures with it what the service will run with it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.clock import Clock
from model_store.errors import BundleMismatch, DeviceMissing
from model_store.features import FeatureSet
from model_store.history import History
from model_store.manifest import Precision, text_encoder
from model_store.text import TextTokenizer

Vector = NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda"]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

BATCH, EXACT = "batch", "exact"  # metadata of a text encoder that gives a text the same bits in any batch
SLOW = ["SkipLayerNormFusion"]  # on a CPU it takes several times as long as its two parts


def providers(device: Device) -> list[str]:
    """ONNX Runtime's providers for a device; DeviceMissing if CUDA is asked for and absent."""
    have = onnxruntime.get_available_providers()
    if device == "cuda" and CUDA not in have:
        raise DeviceMissing(
            "CHORUS_DEVICE=cuda, but ONNX Runtime sees no CUDA here: install onnxruntime-gpu and a driver, "
            "or set CHORUS_DEVICE=cpu"
        )
    return [CUDA, CPU] if device != "cpu" and CUDA in have else [CPU]


def session(bundle: Bundle, name: str, device: Device, *, keep: bool = False) -> Any:
    """One of the bundle's graphs, opened; keep: hold on to memory between runs, where shapes are bounded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one run a core; parallel requests use the other cores
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = keep  # the arena keeps the worst shape ever seen
    options.enable_mem_pattern = False  # shapes vary with every text
    options.log_severity_level = 3
    found = providers(device)
    return onnxruntime.InferenceSession(
        bundle.path(name), options, providers=found, disabled_optimizers=SLOW if found == [CPU] else []
    )


@dataclass(frozen=True)
class Encoded:
    """One text: its vector (d,) and the outputs of the tasks that read a text alone."""

    vector: Vector
    outputs: dict[str, Vector] = field(default_factory=dict)


class Engine:
    """ONNX Runtime sessions of one bundle, each made by `opener`. May be called from many threads.

    tokenizer: the bundle's, if it is at hand.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device = "auto",
        *,
        precision: Precision | None = None,
        opener: Callable[..., Any] = session,
        tokenizer: TextTokenizer | None = None,
    ) -> None:
        manifest = bundle.manifest
        self.manifest = manifest
        self.device = "cuda" if providers(device)[0] == CUDA else "cpu"
        self.clock = Clock(manifest.timezone)
        self.features = FeatureSet(manifest.features, self.clock)
        file = bundle.path("tokenizer.json")
        self.tokenizer = tokenizer or TextTokenizer.open(file, manifest.max_tokens)
        self._text = opener(bundle, text_encoder(precision or manifest.precision), device)
        self._user = opener(bundle, "user_encoder.onnx", device)
        self._heads = opener(bundle, "heads.onnx", device)
        self._wants = opener(bundle, "user_heads.onnx", device) if manifest.user_tasks else None
        self._check(bundle)

    @property
    def exact(self) -> bool:
        """Whether a text's vector has the same bits whatever it is encoded with."""
        return bool(self._text.get_modelmeta().custom_metadata_map.get(BATCH) == EXACT)

    def text(self, text: str) -> Encoded:
        """Encode one text, alone and unpadded."""
        return self.tokens(self.tokenizer.encode(text))

    def tokens(self, ids: NDArray[np.int64]) -> Encoded:
        """The same from token ids (L,)."""
        vector, *outputs = self._text.run(None, _padded([ids]))
        tasks = (task.name for task in self.manifest.text_tasks)
        return Encoded(vector[0], {name: output[0] for name, output in zip(tasks, outputs, strict=True)})

    def rows(self, texts: Sequence[NDArray[np.int64]]) -> Vector:
        """Vector and outputs side by side, (n, d + W), of n texts' token ids (L,); several are padded."""
        outputs = self._text.run(None, _padded(texts))
        rows: Vector = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)
        return rows

    def user(self, history: History) -> Vector:
        """The user vector (d,) of a history; an empty one has a vector too, the average newcomer's."""
        vector: Vector = self._user.run(None, history.inputs(self.clock))[0][0]
        return vector

    def interests(self, users: Vector) -> Vector:
        """What users' vectors (n, d) tell by themselves, the tasks side by side, (n, W); W is 0 where none does."""
        if self._wants is None:
            return users[:, :0]
        outputs: Vector = np.concatenate(self._wants.run(None, {"user": users}), axis=1)
        return outputs

    def heads(self, user: Vector, query: Vector | None, items: Vector, context: Vector) -> dict[str, Vector]:
        """Every online task for n candidates of one request.

        user (d,), query (d,) or None, items (n, d), context (n, features.width) -> {task: (n, width)}.
        """
        no_query = np.zeros(self.manifest.dimension, dtype=np.float32)
        feeds = {
            "user": user[None],
            "query": (no_query if query is None else query)[None],
            "items": items,
            "context": context,
        }
        outputs = self._heads.run(None, feeds)
        names = (task.name for task in self.manifest.online_tasks)
        return dict(zip(names, outputs, strict=True))

    def _check(self, bundle: Bundle) -> None:
        """Refuse graphs whose names or widths are not those of the manifest."""
        manifest = self.manifest
        d = manifest.dimension
        online = {task.name: task.width for task in manifest.online_tasks}
        alone = {task.name: task.width for task in manifest.text_tasks}
        _expect(bundle, "text encoder", self._text.get_outputs(), {"vector": d, **alone})
        _expect(bundle, "user encoder", self._user.get_outputs(), {"user": d})
        _expect(bundle, "heads", self._heads.get_outputs(), online)
        if self._wants is not None:
            wants = {task.name: task.width for task in manifest.user_tasks}
            _expect(bundle, "user heads", self._wants.get_outputs(), wants)
        inputs = {"user": d, "query": d, "items": d, "context": self.features.width}
        _expect(bundle, "heads", self._heads.get_inputs(), inputs)


def cores() -> int:
    """Cores that this process may use, by affinity: never those of the host."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _padded(texts: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """The text encoder's inputs, each (n, L) of the longest."""
    if len(texts) == 1:
        return {"input_ids": texts[0][None], "attention_mask": np.ones_like(texts[0])[None]}
    lengths = np.array([len(text) for text in texts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = np.concatenate(texts)
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


def _expect(bundle: Bundle, graph: str, found: Any, expected: dict[str, int]) -> None:
    widths = {node.name: node.shape[-1] for node in found}
    if list(widths) != list(expected) or any(widths[name] != expected[name] for name in expected):
        raise BundleMismatch(
            f"{bundle.folder}: the {graph} has {widths}, the manifest says {expected}; export it again"
        )
