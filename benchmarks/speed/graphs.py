"""The heads as a team exports them that does not fold: every block of the pair for every candidate.

The same weights and the same function as heads.onnx, with the same inputs and outputs.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from training.export.graphs import OPSET
from training.model.network import Network


class Unfolded(nn.Module):
    """user, query (1, d), items (n, d), context (n, F) -> each online task (n, w)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """The network's forward over n pairs, as in training: user and query stand beside each item."""
        n = items.shape[0]
        logits = self.network.heads(
            user.expand(n, -1), query.expand(n, -1), items.unsqueeze(1), context.unsqueeze(1)
        )
        return tuple(self.network.readout(name, logit.squeeze(1)) for name, logit in logits.items())


def write(network: Network, path: Path, *, context: int) -> None:
    """Export to ONNX; `context`: columns of the features."""
    d, rows = network.text.projection.out_features, Dim("rows", min=1)
    inputs = {
        "user": torch.randn(1, d),
        "query": torch.randn(1, d),
        "items": torch.randn(4, d),
        "context": torch.randn(4, context),
    }
    with warnings.catch_warnings():  # the exporter warns of its own dependencies' deprecations
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Unfolded(network).eval(),
            kwargs=inputs,
            f=path,
            input_names=list(inputs),
            output_names=[task.name for task in network.tasks if task.online],
            dynamic_shapes={"user": None, "query": None, "items": {0: rows}, "context": {0: rows}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
