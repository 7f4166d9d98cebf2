"""The heads: one factored pair layer, experts, one gate and one tower a task.

pair = [u, i, q, u⊙i, q⊙i, i⊙i, c] ─▶ first layer ─▶ E experts ─▶ gate of the task ─▶ tower ─▶ logit
With `model.levels` there are further levels of experts and gates in between.
logit = a·(u·i) + b·(q·i) + tower, whose last layer is zero at first: training begins near the dot product.
With `model.projections` a and b are a number for each dimension: a task measures u·i and q·i in its own way.
A task `given` another is the product of two chances: what is said of it is said of everything that was shown.
A `pair` task also has a tower on c alone: what happens now is learned in few steps, and must not wait for the texts.

Every block of the first layer is linear in i or i⊙i once u and q are known. `folded` uses that:
one (d, h) product a candidate, whatever the number of blocks; it is what the service runs.
What a task may not see is zero for it: `user_item` has no q and c, `query_item` no u and c.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model_store.manifest import Task
from training.model.towers import TOWER, Towers
from training.sections import ModelConfig

KINDS = ("pair", "user_item", "query_item")
CERTAIN = (1e-12, 1.0 - 1e-6)  # ends of a product of chances, so that its log-odds are numbers
OUTLIER = 5.0  # spreads from the mean at which a column of the context ends


class PairHeads(nn.Module):
    """All tasks that score an item for a user or a query."""

    mean: Tensor
    spread: Tensor
    level: Tensor

    def __init__(
        self,
        tasks: Sequence[Task],
        config: ModelConfig,
        context: int,
        *,
        given: Mapping[str, str] | None = None,
    ) -> None:
        """context: columns; given: task -> the task whose chance its own is multiplied by."""
        super().__init__()
        self.given, d, self.width = dict(given or {}), config.dimension, config.width
        self.plain = [d, d + 1 + config.factors]  # columns of learned vectors: of ones, and of biases
        self.tasks = tuple(tasks)
        self.kinds = tuple(kind for kind in KINDS if any(task.inputs == kind for task in tasks))
        self.mix = Towers(tasks, config)
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
        self.register_buffer("level", torch.ones(()))  # slope of the learned columns
        self.no_user, self.no_query = nn.Parameter(torch.zeros(h)), nn.Parameter(torch.zeros(h))
        ranked = [task.name for task in tasks if task.type != "multiclass"]
        slopes = 2 * d if config.projections else 2  # for the user, then for the query
        self.slope = nn.ParameterDict({name: nn.Parameter(torch.full((slopes,), 2.0)) for name in ranked})

    def standardise(self, context: Tensor) -> None:
        """Learn the columns' mean and spread from contexts (n, F); a column that never varies counts nothing."""
        spread, mean = torch.std_mean(context.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread < 1e-6, torch.inf, spread))

    def forward(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> dict[str, Tensor]:
        """user (B, d), query (B, d; zeros for none), items (B, C, d), context (B, C, F) -> logits (B, C, w)."""
        items = self._forgotten(items)
        crossed = torch.stack([user.unsqueeze(1) * items, query.unsqueeze(1) * items], dim=-2)
        return self._logits(self._first(user, query, items, context), crossed, self._scaled(context))

    def gates(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> dict[str, list[Tensor]]:
        """What each task lets through at each level of the experts that it sees, (B, C, choices).

        Empty where nothing is gated.
        """
        first = self._first(user, query, items, context)
        rows = {kind: self.mix.rows(row) for kind, row in first.items()}
        gated = self.tasks if self.mix.gated else ()
        return {task.name: [self.mix.gate(row, task.name) for row in rows[task.inputs]] for task in gated}

    def _first(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> dict[str, Tensor]:
        """The first layer (B, C, h) as each kind of tasks sees it: of the texts alone."""
        user, query, items = self._texts(user, query, items)
        u, q, items = user.unsqueeze(1) * self.scale, query.unsqueeze(1) * self.scale, items * self.scale
        item = self.item(items) + self.item_item(items * items)
        parts = {
            "user": self.user(u) + self.user_item(u * items),
            "query": self.query(q) + self.query_item(q * items) + _absent(q) * self.no_query,
            "context": self.context(self._scaled(context)),
        }
        return {kind: item + self._seen(kind, parts) for kind in self.kinds}

    def folded(self, user: Tensor, query: Tensor, items: Tensor, context: Tensor) -> dict[str, Tensor]:
        """The same function for one request: user, query (1, d), items (n, d), context (n, F) -> (n, w)."""
        crossed = torch.stack([items * user, items * query], dim=-2)  # (n, 2, width)
        user, query, items = self._texts(user, query, items)
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
        return self._logits(first, crossed, context)

    def slopes(self, name: str) -> Tensor:
        """Of user · item and of query · item in a task's logit: (2, 1), or (2, width), a number for each column.

        Learned columns have no slope of their own: it would make up for what holds them small.
        """
        texts: Tensor = self.slope[name].unflatten(0, (2, -1))
        d = self.user.in_features
        if self.width == d:
            return texts
        learned = (self.level * texts.new_tensor([[1.0], [0.0]])).expand(2, self.width - d)
        return torch.cat([texts.expand(2, d), learned], dim=1)

    def _forgotten(self, items: Tensor) -> Tensor:
        """In training some entries of the texts and roles: a bias that is now and then none is learned too small."""
        if self.width == self.user.in_features:
            return self.forget(items)  # type: ignore[no-any-return]
        kept: Tensor = self.forget(torch.ones_like(items))
        kept[..., self.plain] = 1.0
        return items * kept

    def _texts(self, *vectors: Tensor) -> list[Tensor]:
        """Vectors (..., width) without learned columns, which only the dot products read: (..., d)."""
        return [vector[..., : self.user.in_features] for vector in vectors]

    def _scaled(self, context: Tensor) -> Tensor:
        return torch.clamp((context - self.mean) / self.spread, -OUTLIER, OUTLIER)

    def _seen(self, kind: str, parts: dict[str, Tensor]) -> Tensor:
        if kind == "pair":
            return parts["user"] + parts["query"] + parts["context"]
        if kind == "user_item":
            return parts["user"] + self.no_query + self.context.bias
        return parts["query"] + self.no_user

    def _logits(self, first: dict[str, Tensor], crossed: Tensor, context: Tensor) -> dict[str, Tensor]:
        now = self.now(context)
        rows = {kind: self.mix.rows(row)[-1] for kind, row in first.items()}
        found = {task.name: self._logit(task, rows[task.inputs], crossed, now) for task in self.tasks}
        return found | {name: product(found[name], found[parent]) for name, parent in self.given.items()}

    def _logit(self, task: Task, row: Tensor, crossed: Tensor, now: Tensor) -> Tensor:
        logit = self.mix(row, task.name)
        if task.name in self.told:
            logit = logit + self.told[task.name](now)
        if task.type == "multiclass":  # no single direction for the dot product: the tower alone
            return logit  # type: ignore[no-any-return]
        slope = self.slopes(task.name)
        if task.inputs == "query_item":
            slope = slope * slope.new_tensor([[0.0], [1.0]])
        elif task.inputs == "user_item":
            slope = slope * slope.new_tensor([[1.0], [0.0]])
        return logit + (crossed * slope).flatten(-2).sum(dim=-1, keepdim=True)  # type: ignore[no-any-return]


class TextHeads(nn.Module):
    """Tasks that read one vector alone: category, tags, sentiment of a text; interests of a user. Linear heads."""

    def __init__(self, tasks: Sequence[Task], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({task.name: nn.Linear(width, task.width) for task in tasks})

    @property
    def names(self) -> list[str]:
        """The tasks, in order."""
        return list(self.heads)

    def forward(self, name: str, pooled: Tensor) -> Tensor:
        """pooled (B, H) -> logits (B, w)."""
        return self.heads[name](pooled)  # type: ignore[no-any-return]


def product(logit: Tensor, given: Tensor) -> Tensor:
    """Log-odds of the product of two chances that are given as log-odds (ESMM, SIGIR'18)."""
    chance = torch.clamp(torch.sigmoid(logit) * torch.sigmoid(given), *CERTAIN)
    return torch.log(chance) - torch.log(1.0 - chance)


def _block(width: int, out: int) -> nn.Linear:
    block = nn.Linear(width, out, bias=False)
    nn.init.normal_(block.weight, std=0.5 * width**-0.5)  # six blocks add up to a variance near 1
    return block


def _absent(vector: Tensor) -> Tensor:
    """1 where a vector (..., d) is zero, that is, not given."""
    return ((vector * vector).sum(dim=-1, keepdim=True) < 0.25).to(vector.dtype)
