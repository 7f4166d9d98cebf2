"""The ONNX graphs, with everything inside that the service would otherwise have to repeat.

text_encoder   pooling, projection, normalisation, item-only heads and their calibration
user_encoder   attention and normalisation
user_heads     what a user's vector alone tells, where there are such tasks
heads          the factored pair layer, experts, towers, calibration
scorer*        the heads once more, as they are served: scorer.py, and weights.py for the compiled kernel
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from model_store.features import FeatureSet
from model_store.manifest import Task
from training.export import scorer, weights
from training.model.adapters import plain
from training.model.network import Network

OPSET = 23  # the first with a node for attention: the dozen in its place takes a tenth longer


class TextGraph(nn.Module):
    """input_ids, attention_mask (B, L) -> vector (B, d), then each item-only task (B, w)."""

    def __init__(self, network: Network, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.network, self.names = network, [task.name for task in tasks if task.inputs in ("item", "text")]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """As served."""
        network = self.network
        pooled = network.text.pooled(input_ids, attention_mask)
        outputs = [network.readout(name, network.text_heads(name, pooled)) for name in self.names]
        return (network.spoken(pooled), *outputs)


class HeadsGraph(nn.Module):
    """user, query (1, d), items (n, d), context (n, F) -> each online task (n, w)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """As served: the request folded into the first layer's weights."""
        logits = self.network.heads.folded(user, query, items, context)
        return tuple(self.network.readout(name, logit) for name, logit in logits.items())


class UserHeadsGraph(nn.Module):
    """user (n, d) -> each task that reads the user alone (n, w)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, user: Tensor) -> tuple[Tensor, ...]:
        """As served."""
        return tuple(
            self.network.readout(name, logit) for name, logit in self.network.interests(user).items()
        )


def export(network: Network, folder: Path, features: FeatureSet) -> None:
    """Write the graphs, fp32, into the folder."""
    network.eval()
    d = network.width
    batch, length, rows = Dim("batch", min=1), Dim("length", min=2, max=512), Dim("rows", min=1)
    online = [task.name for task in network.tasks if task.online]
    alone = network.text_heads.names
    ids = torch.full((2, 8), 5, dtype=torch.long)
    _write(
        TextGraph(plain(network), network.tasks),
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        ["vector", *alone],
        {name: {0: batch, 1: length} for name in ("input_ids", "attention_mask")},
        folder / "text_encoder.onnx",
    )
    told = ("events", "gaps", "hours")  # a tensor each: the exporter takes one given twice for one input
    history = {
        "vectors": torch.randn(2, 3, d),
        **{name: torch.zeros((2, 3), dtype=torch.long) for name in told},
    }
    span = Dim("events", min=1)
    _write(
        network.user,
        {**history, "mask": torch.ones(2, 3)},
        ["user"],
        {name: {0: batch, 1: span} for name in (*history, "mask")},
        folder / "user_encoder.onnx",
    )
    if network.user_heads.names:
        _write(
            UserHeadsGraph(network),
            {"user": torch.randn(2, d)},
            network.user_heads.names,
            {"user": {0: batch}},
            folder / "user_heads.onnx",
        )
    _write(
        HeadsGraph(network),
        {"user": torch.randn(1, d), "query": torch.randn(1, d), "items": torch.randn(4, d),
         "context": torch.randn(4, features.width)},
        online,
        {"user": None, "query": None, "items": {0: rows}, "context": {0: rows}},
        folder / "heads.onnx",
    )  # fmt: skip
    for served in (scorer, weights):
        served.export(network.heads, network.readout, folder, own=features.own, opset=OPSET)


def _write(
    module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], shapes: dict[str, Any], path: Path
) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():  # the exporter warns of its own dependencies' deprecations
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            kwargs=inputs,
            f=path,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
