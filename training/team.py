"""The processes that train one network together, each on its part of every batch: torchrun starts them.

batch ─▶ parts ─▶ each its rows' losses ─▶ added up: the losses and the gradient of the batch ─▶ the same step for all

The run is that of one process with the same batches, up to rounding and dropout, whatever the balance, where labels
are missing too. Only the vectors' own objective sees less: of its negatives, those of its part of the batch.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from model_store.engine import cores

PATIENCE = timedelta(days=1)  # for the first, who encodes the texts, trains teachers and validates


class Part(NamedTuple):
    """A mean loss and the number of rows, or whatever it is a mean of; without any, 0 and 0."""

    mean: Tensor
    rows: Tensor | float


@dataclass(frozen=True)
class Team:
    """One of `size` processes; by itself, a team of one, which sends nothing."""

    rank: int = 0
    size: int = 1

    @classmethod
    @contextmanager
    def joined(cls) -> Iterator["Team"]:
        """The processes of one torchrun, which share the cores of their machine."""
        if not distributed.is_torchelastic_launched():
            yield cls()
            return
        torch.set_num_threads(max(1, cores() // int(os.environ["LOCAL_WORLD_SIZE"])))
        distributed.init_process_group("gloo", timeout=PATIENCE)
        try:
            yield cls(distributed.get_rank(), distributed.get_world_size())
        finally:
            distributed.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and tells people."""
        return self.rank == 0

    @contextmanager
    def turns(self) -> Iterator[None]:
        """The first goes before the others, who find the files that it made."""
        if not self.leads:
            self._meet()
        yield
        if self.leads:
            self._meet()

    def part(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's rows; where there are fewer than processes, each has all of them."""
        return rows if len(rows) < self.size else rows[self.rank :: self.size]

    def losses(self, parts: Mapping[str, Sequence[Part]]) -> dict[str, Tensor]:
        """Each task's loss over the whole batch, the sum of its parts; tasks without any rows are left out.

        The values are the same in all processes, the gradients those of the process's own rows.
        """
        several = [part for each in parts.values() for part in each]
        if not several:
            return {}
        rows = torch.tensor([float(part.rows) for part in several])
        means = torch.stack([part.mean for part in several])
        sums, counts = self.sum(torch.stack([means.detach() * rows, rows]))
        counted = counts > 0
        own = means * (rows / counts.clamp(min=1e-12))
        whole = own + (sums / counts.clamp(min=1e-12) - own).detach()
        ends = np.cumsum([len(each) for each in parts.values()]).tolist()
        places = {
            name: slice(end - len(each), end) for (name, each), end in zip(parts.items(), ends, strict=True)
        }
        return {name: whole[place].sum() for name, place in places.items() if counted[place].any()}

    def gradients(self, network: nn.Module) -> None:
        """Add up what all of them found; a parameter that nobody has a gradient of keeps none."""
        if self.size == 1:
            return
        learning = [each for each in network.parameters() if each.requires_grad]
        found = [each.grad if each.grad is not None else torch.zeros_like(each) for each in learning]
        had = torch.tensor([float(each.grad is not None) for each in learning])
        whole = self.sum(torch.cat([had, *(each.flatten().cpu() for each in found)]))
        sizes = [len(had), *(each.numel() for each in learning)]
        had, *added = torch.split(whole, sizes)
        for each, some, gradient in zip(learning, had.tolist(), added, strict=True):
            if some:
                each.grad = gradient.view_as(each).to(each.device, copy=True)

    def sum(self, values: Tensor) -> Tensor:
        """Added up over the processes, element by element."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def same(self, values: Tensor) -> Tensor:
        """What the first process has of it."""
        if self.size > 1:
            values = values.contiguous()
            distributed.broadcast(values, src=0)
        return values

    def all(self, values: Tensor) -> Tensor:
        """Those of each process, (size, ...)."""
        if self.size == 1:
            return values[None]
        found = [torch.empty_like(values) for _ in range(self.size)]
        distributed.all_gather(found, values)
        return torch.stack(found)

    def _meet(self) -> None:
        if self.size > 1:
            distributed.barrier()


SOLO = Team()
