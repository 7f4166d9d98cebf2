"""The whole network: texts of a step encoded once each, then gathered into users, queries and candidates."""

from typing import Any

import torch
from torch import Tensor, nn

from model_store.manifest import Task
from training.config import Config
from training.model.adapters import decays
from training.model.audience import Audience
from training.model.batch import Batch, Shared
from training.model.encoder import TextEncoder
from training.model.factors import Factors, Past, spreads
from training.model.heads import PairHeads, TextHeads
from training.model.readout import Readout
from training.model.search import Search
from training.model.user import UserEncoder

FAINT = 0.05  # least slope of texts beside factors, which are fetched by on their scale


class Network(nn.Module):
    """Shared text encoder, user encoder, heads; `forward` gives logits, `readout` what is served."""

    def __init__(
        self,
        config: Config,
        tasks: tuple[Task, ...],
        transformer: nn.Module,
        context: int,
        *,
        items: int = 0,
        users: int = 0,
    ) -> None:
        """`context`: columns of the features; `items`, `users`: how many, for what is learned of each."""
        super().__init__()
        model = config.model
        self.tasks = tasks
        self.text = TextEncoder(model, transformer)
        self.width, history = model.width, config.history
        grades = spreads(history.graded)
        past = Past(model.factors, grades) if model.factors else None
        self.user = UserEncoder(model.dimension, len(grades), model.dropout, past)
        self.readout = Readout(tasks, config.tasks)
        online = [task for task in tasks if task.online]
        self.heads = PairHeads(online, model, context, given=self.readout.given)
        told = [[task for task in tasks if task.inputs in kinds] for kinds in (("item", "text"), ("user",))]
        self.text_heads = TextHeads(told[0], self.text.width)
        self.user_heads = TextHeads(told[1], model.dimension)
        self.residual = Residual(items, model.dimension) if model.item_ids else None
        self.factors = Factors(items, model.factors) if model.factors else None
        self.audience = (
            Audience(items, users, model.factors, limit=model.audience) if model.audience else None
        )
        self.wanted = config.retrieval.task if config.retrieval else ""
        self.search = Search(config.retrieval.loss, items) if config.retrieval else None

    def forward(self, batch: Batch, pooled: Tensor) -> dict[str, Tensor]:
        """pooled (U, H) of the batch's texts -> logits: (B, C, w) of online tasks, (n, w) of the others."""
        return self.logits(batch, self.shared(batch, pooled))

    def shared(self, batch: Batch, pooled: Tensor) -> Shared:
        """The representation of a batch, from the pooled (U, H) of its texts."""
        pair: tuple[Tensor, ...] = ()
        if self.heads.tasks or self.user_heads.names:
            vectors = self.vectors(batch.texts, pooled)
            query = vectors[batch.queries] * batch.query_mask.unsqueeze(-1)
            pair = (self.users(batch, vectors), query, self._candidates(batch, vectors))
        return Shared(pair, {name: pooled[places] for name, (places, _) in batch.alone.items()})

    def logits(self, batch: Batch, shared: Shared) -> dict[str, Tensor]:
        """What the heads make of it."""
        logits: dict[str, Tensor] = self.heads(*shared.pair, batch.context) if shared.pair else {}
        logits |= self.interests(shared.pair[0]) if shared.pair else {}
        return logits | {name: self.text_heads(name, pooled) for name, pooled in shared.texts.items()}

    def interests(self, users: Tensor) -> dict[str, Tensor]:
        """What the tasks that read the user alone make of vectors (B, width): logits (B, w)."""
        spoken = users[..., : self.text.projection.out_features]
        return {name: self.user_heads(name, spoken) for name in self.user_heads.names}

    def retrieval(self, batch: Batch, shared: Shared) -> Tensor | None:
        """The loss of the vectors by which candidates are fetched, if they have one of their own."""
        return None if self.search is None else self.search(batch, batch.labels[self.wanted], shared.pair)

    @property
    def fetched(self) -> tuple[float, float]:
        """By how much of the user's and of the query's vector candidates are fetched.

        The slopes of the dot products in the first main task's logit, what it ranks by before its tower, unless the
        vectors have an objective of their own.
        """
        if self.search is not None:
            slopes = self.search.slopes
        else:
            tasks = [task for task in self.heads.tasks if task.type != "multiclass"]
            if not tasks:  # classes have no dot product in their logits
                return 1.0, 1.0
            first = next((task for task in tasks if task.main), tasks[0])
            slopes = self.heads.slope[first.name]
        user, query = slopes.detach().reshape(2, -1).mean(dim=1).tolist()
        return max(user, FAINT if self.factors else 0.0), max(query, 0.0)

    @torch.no_grad()
    def even(self) -> None:
        """Put learned columns on the scale of the texts', so that they are fetched by as they are scored by.

        All that is said stays the same. Vectors with an objective of their own have learned to stand beside them.
        """
        if self.user.past is not None and self.search is None:
            self.heads.level.fill_(self.fetched[0])
            self.user.past.scale.fill_(1.0 / self.fetched[0])

    def vectors(self, texts: Tensor, pooled: Tensor) -> Tensor:
        """Vectors (U, width) of texts by number (U,): the first ones are the catalogue's own."""
        return self.located(texts, self.text.project(pooled))

    def located(self, texts: Tensor, vectors: Tensor) -> Tensor:
        """Text vectors (U, d), or as they are `spoken`, with what was learned of the items themselves: (U, width)."""
        vectors = vectors[..., : self.text.projection.out_features]
        if self.residual is not None:
            vectors = self.residual(texts, vectors)
        if self.factors is None:
            return vectors
        located: Tensor = self.factors(texts, vectors)
        if self.audience is None or self.training:  # then only candidates are told by who met them
            return located
        known = texts < self.audience.items
        told = located.new_zeros(len(texts), self.factors.factors)
        told[known] = self.audience(texts[known])
        return self._met(located, told)

    def spoken(self, pooled: Tensor) -> Tensor:
        """Vectors (U, width) of texts that belong to no item, from their pooled (U, H)."""
        vectors = self.text.project(pooled)
        return vectors if self.factors is None else self.factors.unknown(vectors)

    def _candidates(self, batch: Batch, vectors: Tensor) -> Tensor:
        """Vectors (B, C, width) of the candidates; in training without what their own user says of them."""
        items = vectors[batch.candidates]
        if self.audience is None or not self.training:
            return items
        return self._met(
            items, self.audience.at(batch.texts[batch.candidates], batch.users, batch.times, batch.mask)
        )

    def _met(self, items: Tensor, told: Tensor) -> Tensor:
        """Items (..., width) with what is told of them (..., k) added to their roles."""
        before = self.text.projection.out_features + 1
        return items + nn.functional.pad(told, (before, self.width - before - told.shape[-1]))

    @torch.no_grad()
    def settle(self) -> None:
        """Let the items' columns say what their users said: these are needed by number in training only."""
        if self.factors is not None and self.audience is not None:
            self.factors.add(self.audience.settled())

    def size(self, batch: Batch) -> tuple[Tensor, int] | None:
        """How large the factors of the candidates are, if there are some: the mean, and of how many."""
        if self.factors is None:
            return None
        items = batch.texts[batch.candidates][batch.mask > 0]
        size = self.factors.size(items)
        if self.audience is not None:
            users = batch.users.unsqueeze(1).expand(batch.mask.shape)[batch.mask > 0]
            size = size + self.audience.size(users)
        return size, len(items)

    def users(self, batch: Batch, vectors: Tensor) -> Tensor:
        """User vectors (B, width) from the vectors (U, width) of the batch's texts."""
        history = vectors[batch.history]
        users: Tensor = self.user(history, batch.events, batch.gaps, batch.hours, batch.history_mask)
        return users

    def parameter_groups(self, lr_heads: float, lr_encoder: float, decay: float) -> list[dict[str, Any]]:
        """Two learning rates; no decay on biases, norms, single numbers, and factors that begin at 1."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                rate = lr_encoder if name.startswith("text.transformer.") else lr_heads
                held = parameter.ndim > 1 and decays(name)
                groups.setdefault((rate, decay if held else 0.0), []).append(parameter)
        return [{"params": group, "lr": lr, "weight_decay": wd} for (lr, wd), group in groups.items()]


class Residual(nn.Module):
    """What the log says of an item beyond its text: a learned vector added to the text's.

    It is zero for items that were never trained on, and forgotten at random in training, so that the text
    alone goes on to suffice for new items.
    """

    def __init__(self, items: int, dimension: int, forget: float = 0.2) -> None:
        super().__init__()
        self.items, self.forget = items, forget
        self.table = nn.Embedding(items, dimension)
        nn.init.zeros_(self.table.weight)

    def forward(self, texts: Tensor, vectors: Tensor) -> Tensor:
        """texts (U,), vectors (U, d) -> unit vectors (U, d)."""
        known = texts < self.items
        if self.training:
            known = known & (torch.rand(texts.shape) >= self.forget)
        learned = self.table(torch.where(known, texts, 0)) * known.unsqueeze(-1)
        return nn.functional.normalize(vectors + learned, dim=-1)


def pad(sequences: list[Tensor], value: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids of unequal length -> (n, L) and its mask."""
    ids = nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=value)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return ids, (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
