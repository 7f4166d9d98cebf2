"""The heads: one factored pair layer, shared experts, one gate and one tower a task.

pair = [u, i, q, u⊙i, q⊙i, i⊙i, c] ─▶ first layer ─▶ E experts ─▶ gate of the task ─▶ tower ─▶ logit
logit = a·(u·i) + b·(q·i) + tower, whose last layer is zero at first: training begins near the dot product.
A `pair` task also has a tower on c alone: what happens now is learned in few steps, and must not wait for the texts.

Every block of the first layer is linear in i or i⊙i once u and q are known. `folded` uses that:
one (d, h) product a candidate, whatever the number of blocks; it is what the service runs.
What a task may not see is zero for it: `user_item` has no q and c, `query_item` no u and c.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_store.manifest import Task
from training.sections import ModelConfig

KINDS = ("pair", "user_item", "query_item")
TOWER = 32
OUTLIER = 5.0  # spreads from the mean at which a column of the context ends


class Towers(nn.Module):
    """Mixture of shared experts by task gates (MMoE, KDD'18), then a small tower a task."""

    def __init__(self, tasks: Sequence[Task], hidden: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.names = [task.name for task in tasks]
        self.hidden, self.experts = hidden, experts
        self.gated = experts > 1
        self.towers = nn.ModuleDict({task.name: _tower(hidden, task.width, dropout) for task in tasks})

    @property
    def width(self) -> int:
        """Columns that the first layer must give: experts side by side, then the gates of each task."""
        return self.experts * (self.hidden + (len(self.names) if self.gated else 0))

    def forward(self, first: Tensor, name: str) -> Tensor:
        """first (..., width) -> (..., width of the task)."""
        experts = torch.relu(first[..., : self.experts * self.hidden])
        if not self.gated:
            return self.towers[name](experts)  # type: ignore[no-any-return]
        start = self.experts * (self.hidden + self.names.index(name))
        gate = torch.softmax(first[..., start : start + self.experts], dim=-1)
        stacked = experts.reshape(*experts.shape[:-1], self.experts, self.hidden)
        mixed = (stacked * gate.unsqueeze(-1)).sum(dim=-2)
        return self.towers[name](mixed)  # type: ignore[no-any-return]


class PairHeads(nn.Module):
    """All tasks that score an item for a user or a query."""

    mean: Tensor
    spread: Tensor

    def __init__(self, tasks: Sequence[Task], config: ModelConfig, context: int) -> None:
        super().__init__()
        d = config.dimension
        self.tasks = tuple(tasks)
        self.kinds = tuple(kind for kind in KINDS if any(task.inputs == kind for task in tasks))
        experts = config.experts if config.sharing == "mmoe" else 1
        self.mix = Towers(tasks, config.hidden, experts, config.dropout)
        h = self.mix.width
        self.scale = d**0.5  # unit vectors have entries of size d^-1/2; the layers want entries near 1
        self.forget = nn.Dropout(config.vector_dropout)  # few clicks are soon learned by heart from the texts
        self.user, self.query = _block(d, h), _block(d, h)
        self.item, self.item_item = _block(d, h), _block(d, h)
        self.user_item, self.query_item = _block(d, h), _block(d, h)
        self.context = nn.Linear(context, h)
        self.now = nn.Sequential(
            nn.Linear(context, 2 * config.hidden), nn.ReLU(), nn.Dropout(config.dropout),
            nn.Linear(2 * config.hidden, TOWER), nn.ReLU(),
        )  # fmt: skip
        self.told = nn.ModuleDict(
            {task.name: nn.Linear(TOWER, task.width) for task in tasks if task.inputs == "pair"}
        )
        self.register_buffer("mean", torch.zeros(context))  # of the context's columns in training
        self.register_buffer("spread", torch.ones(context))
        self.no_user, self.no_query = nn.Parameter(torch.zeros(h)), nn.Parameter(torch.zeros(h))
        ranked = [task.name for task in tasks if task.type != "multiclass"]
        self.slope = nn.ParameterDict({name: nn.Parameter(torch.tensor([2.0, 2.0])) for name in ranked})

    def standardise(self, context: Tensor) -> None:
        """Learn the columns' mean and spread from contexts (n, F); a column that never varies counts nothing."""
        spread, mean = torch.std_mean(context.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread < 1e-6, torch.inf, spread))

    def forward(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> dict[str, Tensor]:
        """user (B, d), query (B, d; zeros for none), items (B, C, d), context (B, C, F) -> logits (B, C, w)."""
        items = self.forget(items)
        dots = torch.stack(
            [(user.unsqueeze(1) * items).sum(-1), (query.unsqueeze(1) * items).sum(-1)], dim=-1
        )
        u, q, items = user.unsqueeze(1) * self.scale, query.unsqueeze(1) * self.scale, items * self.scale
        item = self.item(items) + self.item_item(items * items)
        parts = {
            "user": self.user(u) + self.user_item(u * items),
            "query": self.query(q) + self.query_item(q * items) + _absent(q) * self.no_query,
            "context": self.context(self._scaled(context)),
        }
        first = {kind: item + self._seen(kind, parts) for kind in self.kinds}
        now = self.now(self._scaled(context))
        return {task.name: self._logit(task, first[task.inputs], dots, now) for task in self.tasks}

    def folded(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> dict[str, Tensor]:
        """The same function for one request: user, query (1, d), items (n, d), context (n, F) -> (n, w)."""
        dots = torch.cat([items @ user.T, items @ query.T], dim=-1)  # (n, 2)
        user, query, items = user * self.scale, query * self.scale, items * self.scale
        squares, context = items * items, self._scaled(context)
        first = {}
        for kind in self.kinds:
            weight, bias = self.item.weight, context @ self.context.weight.T + self.context.bias
            if kind == "query_item":
                bias = self.no_user
            else:
                weight = weight + self.user_item.weight * user
                bias = bias + self.user(user) if kind == "pair" else self.user(user) + self.context.bias
            if kind == "user_item":
                bias = bias + self.no_query
            else:
                weight = weight + self.query_item.weight * query
                bias = bias + self.query(query) + _absent(query) * self.no_query
            first[kind] = items @ weight.T + squares @ self.item_item.weight.T + bias
        now = self.now(context)
        return {task.name: self._logit(task, first[task.inputs], dots, now) for task in self.tasks}

    def _scaled(self, context: Tensor) -> Tensor:
        return torch.clamp((context - self.mean) / self.spread, -OUTLIER, OUTLIER)

    def _seen(self, kind: str, parts: dict[str, Tensor]) -> Tensor:
        if kind == "pair":
            return parts["user"] + parts["query"] + parts["context"]
        if kind == "user_item":
            return parts["user"] + self.no_query + self.context.bias
        return parts["query"] + self.no_user

    def _logit(self, task: Task, first: Tensor, dots: Tensor, now: Tensor) -> Tensor:
        logit = self.mix(first, task.name)
        if task.name in self.told:
            logit = logit + self.told[task.name](now)
        if task.type == "multiclass":  # no single direction for the dot product: the tower alone
            return logit  # type: ignore[no-any-return]
        slope = self.slope[task.name]
        if task.inputs == "query_item":
            slope = slope * slope.new_tensor([0.0, 1.0])
        elif task.inputs == "user_item":
            slope = slope * slope.new_tensor([1.0, 0.0])
        return logit + (dots * slope).sum(dim=-1, keepdim=True)  # type: ignore[no-any-return]


class TextHeads(nn.Module):
    """Tasks that read one text alone: category, tags, sentiment. A linear head on the text's vector."""

    def __init__(self, tasks: Sequence[Task], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({task.name: nn.Linear(width, task.width) for task in tasks})

    def forward(self, name: str, pooled: Tensor) -> Tensor:
        """pooled (B, H) -> logits (B, w)."""
        return self.heads[name](pooled)  # type: ignore[no-any-return]


def _block(width: int, out: int) -> nn.Linear:
    block = nn.Linear(width, out, bias=False)
    nn.init.normal_(block.weight, std=0.5 * width**-0.5)  # six blocks add up to a variance near 1
    return block


def _tower(width: int, out: int, dropout: float) -> nn.Sequential:
    last = nn.Linear(TOWER, out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, TOWER), nn.ReLU(), nn.Dropout(dropout), last)


def _absent(vector: Tensor) -> Tensor:
    """1 where a vector (..., d) is zero, that is, not given."""
    return ((vector * vector).sum(dim=-1, keepdim=True) < 0.25).to(vector.dtype)
