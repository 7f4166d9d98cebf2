"""What candidates are fetched by: search vectors a·u + b·q that lie near the vectors of the items that were wanted.

contrastive   softmax of what was wanted over all items of the batch, which stand for the whole catalogue
triplet       nearer by a margin than every item of the batch that was not wanted
cosine        at an angle of 0 to what was wanted, at right angles at least to what was shown beside it
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.batch import Batch

SHARPNESS = 10.0  # at first: cosines are softmaxed at a temperature of a tenth
MARGIN = 0.2
RAREST = 1e-6  # least share of the log's candidates that an item is taken to have


@dataclass(frozen=True)
class Wanted:
    """The P wanted pairs of a batch beside its M distinct items.

    scores, cosines (P, M); own (P,): the place of what was wanted; other (P, M): items that were not wanted by the
    same user; seen (M,): the chance that a batch like this has the item; shown (P, M): beside the wanted one.
    """

    scores: Tensor
    cosines: Tensor
    own: Tensor
    other: Tensor
    shown: Tensor
    seen: Tensor


class Search(nn.Module):
    """The objective of the vectors alone, whatever the heads make of them."""

    shares: Tensor

    def __init__(self, loss: str, items: int) -> None:
        super().__init__()
        self._loss = LOSSES[loss]
        self.sharpness = nn.Parameter(torch.full((2,), SHARPNESS).log())
        self.register_buffer("shares", torch.full((items,), 1.0 / max(items, 1)))

    @property
    def slopes(self) -> Tensor:
        """a and b."""
        return self.sharpness.exp()

    @torch.no_grad()
    def count(self, rows: Tensor) -> None:
        """Learn how often an item is a candidate, from the items (n,) of the training rows."""
        counts = torch.bincount(rows, minlength=len(self.shares))
        self.shares.copy_((counts / max(len(rows), 1)).clamp(min=RAREST))

    def forward(self, batch: Batch, labels: Tensor, pair: tuple[Tensor, ...]) -> Tensor | None:
        """labels (B, C), user, query, items of the batch -> the loss, 1 being a uniform guess.

        None where nothing was wanted, or all of the batch was.
        """
        wanted = self._wanted(batch, labels, *pair)
        return self._loss(wanted) if wanted is not None and wanted.other.any() else None

    def _wanted(
        self, batch: Batch, labels: Tensor, user: Tensor, query: Tensor, items: Tensor
    ) -> Wanted | None:
        real = batch.mask > 0
        positive = real & (torch.nan_to_num(labels) > 0.5)
        if not positive.any():
            return None
        numbers = batch.texts[batch.candidates]
        distinct, places = torch.unique(numbers, return_inverse=True)
        last = numbers.numel() - 1  # of an item that only fills up, which stands for nothing
        first = torch.full_like(distinct, last).scatter_reduce(
            0, places[real], real.flatten().nonzero()[:, 0], "amin"
        )
        pool = items.flatten(0, 1)[first]  # (M, d)
        has = torch.zeros(len(numbers), len(distinct), dtype=torch.bool)
        liked, shown = has.clone(), has
        liked[torch.where(positive)[0], places[positive]] = True
        shown[torch.where(real)[0], places[real]] = True
        same = (batch.users[:, None] == batch.users) & (batch.users >= 0)[:, None]
        taken = ((same | torch.eye(len(same), dtype=torch.bool)).float() @ liked.float()) > 0
        whose, own = torch.where(positive)[0], places[positive]
        search = (self.slopes[0] * user + self.slopes[1] * query)[whose]
        return Wanted(
            scores=_beside(search, pool, own, items[positive]),
            cosines=_beside(functional.normalize(search, dim=-1), pool, own, items[positive]),
            own=own,
            other=~taken[whose] & (shown.any(dim=0)),
            shown=shown[whose],
            seen=-torch.expm1(int(real.sum()) * torch.log1p(-self.shares[distinct].clamp(max=0.999))),
        )


def _beside(search: Tensor, pool: Tensor, own: Tensor, items: Tensor) -> Tensor:
    """Of search (P, d) with each of the pool (M, d) -> (P, M); at `own` with the wanted one as its own row sees it.

    Other rows may know more of it, such as what this user thought of it.
    """
    return (search @ pool.T).scatter(1, own[:, None], (search * items).sum(dim=1, keepdim=True))


def contrastive(wanted: Wanted) -> Tensor:
    """Each item of the batch stands for as many of the catalogue as it is rarely in one.

    The logarithm of the chance to be drawn is taken from the scores of others, not of what was wanted, which was not
    drawn (logQ: Yi et al., RecSys 2019; on negatives only: arXiv 2507.09331).
    """
    own = wanted.scores.gather(1, wanted.own[:, None])
    others = (wanted.scores - torch.log(wanted.seen)).masked_fill(~wanted.other, -torch.inf)
    surprise = torch.logsumexp(torch.cat([own, others], dim=1), dim=1) - own[:, 0]
    uniform = torch.log1p((wanted.other / wanted.seen).sum(dim=1))
    return surprise.sum() / uniform.sum().clamp(min=1e-6)


def triplet(wanted: Wanted) -> Tensor:
    """Schroff et al., CVPR 2015, over all items of the batch that come too near."""
    own = wanted.cosines.gather(1, wanted.own[:, None])
    late = torch.relu(MARGIN - own + wanted.cosines) * wanted.other
    return late.sum() / wanted.other.sum().clamp(min=1) / MARGIN


def cosine(wanted: Wanted) -> Tensor:
    """torch's CosineEmbeddingLoss of margin 0, both kinds of pairs counting half."""
    own = wanted.cosines.gather(1, wanted.own[:, None])
    beside = wanted.other & wanted.shown
    far = (torch.relu(wanted.cosines) * beside).sum() / beside.sum().clamp(min=1)
    return (1.0 - own).mean() + far


LOSSES: dict[str, Callable[[Wanted], Tensor]] = {
    "contrastive": contrastive, "triplet": triplet, "cosine": cosine,
}  # fmt: skip
