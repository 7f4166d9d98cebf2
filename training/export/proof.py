"""Proof that the graphs compute what torch computes, on real inputs; kept in the bundle to be repeated.

proof.npz   text/<k>/ids (L,), text/<k>/<output> · user/<input>, user/user, user/<task> · heads/<k>/<input>,
            heads/<k>/<output>

An output passes if it differs by at most 1e-4, in units of its own size where that is above 1.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from model_store.bundle import Bundle
from training.batches import Batches
from training.dataset import Dataset
from training.errors import GateError
from training.model.network import Network
from training.predict import Represented
from training.texts import Texts

TOLERANCE = 1e-4
TEXTS, REQUESTS = 64, 32
Arrays = dict[str, NDArray[Any]]


@torch.no_grad()
def record(network: Network, dataset: Dataset, texts: Texts, represented: Represented, path: Path) -> None:
    """Run torch on a sample of real texts and requests and write inputs and outputs."""
    network.eval()
    generator = np.random.default_rng(0)
    arrays: Arrays = {}
    for k, number in enumerate(generator.choice(len(texts), min(TEXTS, len(texts)), replace=False)):
        ids = torch.from_numpy(texts.tokens(int(number)))[None]
        pooled = network.text.pooled(ids, torch.ones_like(ids))
        arrays |= {
            f"text/{k}/ids": ids[0].numpy(),
            f"text/{k}/vector": network.spoken(pooled)[0].numpy(),
        }
        for task in network.tasks:
            if task.inputs in ("item", "text"):
                value = network.readout(task.name, network.text_heads(task.name, pooled))
                arrays[f"text/{k}/{task.name}"] = value[0].numpy()
    pool = dataset.requests.of("validation")
    sample = generator.choice(pool, min(REQUESTS, len(pool)), replace=False)
    batch = Batches(dataset).batch(np.sort(sample), {})
    vectors = represented.vectors[batch.texts]
    users = network.users(batch, vectors)
    arrays |= {"user/vectors": vectors[batch.history].numpy(), "user/user": users.numpy()}
    told = {"events": batch.events, "gaps": batch.gaps, "hours": batch.hours, "mask": batch.history_mask}
    arrays |= {f"user/{name}": value.numpy() for name, value in told.items()}
    wants = network.interests(users).items()
    arrays |= {f"user/{name}": network.readout(name, logit).numpy() for name, logit in wants}
    queries = vectors[batch.queries] * batch.query_mask.unsqueeze(-1)
    logits = network.heads(users, queries, vectors[batch.candidates], batch.context)
    for k in range(len(sample)):
        real = batch.mask[k] > 0
        inputs = {"user": users[k : k + 1], "query": queries[k : k + 1],
                  "items": vectors[batch.candidates[k]][real], "context": batch.context[k][real]}  # fmt: skip
        outputs = {name: network.readout(name, logit[k][real]) for name, logit in logits.items()}
        arrays |= {f"heads/{k}/{name}": value.numpy() for name, value in {**inputs, **outputs}.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def check(bundle: Bundle) -> dict[str, float]:
    """Repeat the proof with the fp32 graphs: output -> largest difference.

    Raises GateError naming the output that differs by more than TOLERANCE.
    """
    arrays: Arrays = dict(np.load(bundle.path("proof.npz"), allow_pickle=False))
    found: dict[str, float] = {}
    text = _session(bundle, "text_encoder.onnx")
    for k in range(_count(arrays, "text")):
        ids = arrays[f"text/{k}/ids"][None]
        outputs = text.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for node, value in zip(text.get_outputs(), outputs, strict=True):
            _note(found, node.name, value[0], arrays[f"text/{k}/{node.name}"])
    user = _session(bundle, "user_encoder.onnx")
    feeds = {node.name: arrays[f"user/{node.name}"] for node in user.get_inputs()}
    _note(found, "user", user.run(None, feeds)[0], arrays["user/user"])
    if bundle.manifest.user_tasks:
        wants = _session(bundle, "user_heads.onnx")
        for node, value in zip(
            wants.get_outputs(), wants.run(None, {"user": arrays["user/user"]}), strict=True
        ):
            _note(found, node.name, value, arrays[f"user/{node.name}"])
    heads = _session(bundle, "heads.onnx")
    for k in range(_count(arrays, "heads")):
        feeds = {node.name: arrays[f"heads/{k}/{node.name}"] for node in heads.get_inputs()}
        for node, value in zip(heads.get_outputs(), heads.run(None, feeds), strict=True):
            _note(found, node.name, value, arrays[f"heads/{k}/{node.name}"])
    for name, difference in found.items():
        if not difference <= TOLERANCE:
            raise GateError(
                f"{bundle.folder}: output {name!r} of the fp32 graphs differs from torch by {difference:.2e}, "
                f"more than {TOLERANCE}; do not serve this bundle, export it again"
            )
    return found


def _note(found: dict[str, float], name: str, ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    difference = float(np.max(np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs)), initial=0.0))
    found[name] = float(np.maximum(found.get(name, 0.0), difference))  # unlike max, it keeps a NaN


def _count(arrays: Arrays, part: str) -> int:
    return len({name.split("/")[1] for name in arrays if name.startswith(f"{part}/")})


def _session(bundle: Bundle, name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(bundle.path(name), options, providers=["CPUExecutionProvider"])
