"""From the first layer to a task's part of its logit: experts, a gate and a tower a task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_store.manifest import Task
from training.model.levels import Level
from training.sections import ModelConfig

TOWER = 32


class Towers(nn.Module):
    """Mixture of experts by task gates, then a small tower a task.

    shared_bottom  one expert for all          mmoe  several, each task with its gate (KDD'18)
    alone          one expert a task           ple   mmoe's, and experts of each task's own that the gates of
                                                     others do not see (CGC, RecSys'20), in one level
                                                     or several: levels.py
    """

    def __init__(self, tasks: Sequence[Task], config: ModelConfig) -> None:
        super().__init__()
        self.names = [task.name for task in tasks]
        self.hidden = config.hidden
        shared = {"alone": 0, "shared_bottom": 1}.get(config.sharing, config.experts)
        own = {"alone": 1, "ple": config.own_experts}.get(config.sharing, 0)
        self.experts = max(1, shared + own * len(tasks))
        self.seen = {  # by each task: the shared experts, then its own
            name: [*range(shared), *range(shared + own * place, shared + own * (place + 1))]
            for place, name in enumerate(self.names)
        }
        self.choices = shared + own
        self.shared, self.gated = shared, self.choices > 1
        self.towers = nn.ModuleDict(
            {task.name: _tower(config.hidden, task.width, config.dropout) for task in tasks}
        )
        self.levels = nn.ModuleList(
            Level(self.seen, shared, self.hidden, last=number == config.levels)
            for number in range(2, config.levels + 1 if tasks else 0)
        )

    @property
    def width(self) -> int:
        """Columns that the first layer must give: experts side by side, then the gates of each task.

        Where there are levels above it, then the gate of what is shared.
        """
        gates = self.choices * len(self.names) if self.gated else 0
        return self.experts * self.hidden + gates + (self.experts if self.levels else 0)

    def rows(self, first: Tensor) -> list[Tensor]:
        """The first layer (..., width), and what each level above it makes of the one below."""
        rows = [first]
        for level in self.levels:
            rows.append(level(rows[-1]))
        return rows

    def forward(self, row: Tensor, name: str) -> Tensor:
        """Of the last level (..., columns) what a task makes, (..., width of the task)."""
        seen = self.seen[name]
        experts = row[..., : self.experts * self.hidden].reshape(*row.shape[:-1], self.experts, self.hidden)
        experts = torch.relu(experts if len(seen) == self.experts else experts[..., seen, :])
        if not self.gated:
            return self.towers[name](experts.squeeze(-2))  # type: ignore[no-any-return]
        mixed = (experts * self.gate(row, name).unsqueeze(-1)).sum(dim=-2)
        return self.towers[name](mixed)  # type: ignore[no-any-return]

    def gate(self, row: Tensor, name: str) -> Tensor:
        """What a task lets through of each expert that it sees at a level (..., columns): (..., choices)."""
        start = self.experts * self.hidden + self.choices * self.names.index(name)
        return torch.softmax(row[..., start : start + self.choices], dim=-1)


def _tower(width: int, out: int, dropout: float) -> nn.Sequential:
    last = nn.Linear(TOWER, out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, TOWER), nn.ReLU(), nn.Dropout(dropout), last)
