"""Each task's gradient at the representation that all heads read: the rows of its Jacobian."""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.balance.balance import Terms


def rows(losses: Terms, shared: Sequence[Tensor]) -> dict[str, Tensor]:
    """Task -> the gradient (n,) of its loss at all of `shared`, flat; tasks that do not reach it are left out.

    Goes back through the heads once a task, and not through what made `shared`.
    """
    found = {}
    for name, loss in losses.items():
        parts = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True) if shared else ()
        if any(part is not None for part in parts):
            flat = [
                torch.zeros(whole.numel()) if part is None else part.flatten()
                for part, whole in zip(parts, shared, strict=True)
            ]
            found[name] = torch.cat(flat)
    return found
