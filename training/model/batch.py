"""What goes through the network in one step: the texts and requests of a batch, and what the heads read of them."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B requests with up to C candidates and L history events; texts by their place in `texts`.

    texts:       (U,) numbers of the distinct texts of this step
    candidates:  (B, C), history (B, L), queries (B,): places in `texts`
    users:       (B,) who asks by number, -1 for nobody
    times:       (B,) float64, when, in unix seconds
    events, gaps, hours (B, L) int64 · history_mask (B, L) · query_mask (B,) · context (B, C, F)
    mask:        (B, C) 1 for a real candidate
    labels:      task -> (B, C), NaN (or -1 for classes) where missing; (B, w) of the tasks that read the user alone
    taught:      task -> logits (B, C, w) of a network that learned it alone, NaN where there is none
    alone:       task -> (places (n,), labels (n,) or (n, w)) of the tasks that read one text
    """

    texts: Tensor
    users: Tensor
    times: Tensor
    candidates: Tensor
    mask: Tensor
    history: Tensor
    events: Tensor
    gaps: Tensor
    hours: Tensor
    history_mask: Tensor
    queries: Tensor
    query_mask: Tensor
    context: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)
    taught: dict[str, Tensor] = field(default_factory=dict)
    alone: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Shared:
    """What the heads read of a batch.

    pair:  users (B, d), queries (B, d) and candidates (B, C, d), or nothing if no task is online
    texts: task -> pooled texts (n, H) of the tasks that read one text
    """

    pair: tuple[Tensor, ...]
    texts: dict[str, Tensor]

    @property
    def learned(self) -> list[Tensor]:
        """Those that gradients go through."""
        return [each for each in (*self.pair, *self.texts.values()) if each.requires_grad]
