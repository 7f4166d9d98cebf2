"""All texts of a data set, tokenised once; their pooled states too, where the transformer is frozen.

Frozen, the pooled states (T, H) are computed once and kept in a cache file that is named by everything
that decides them. Trained, each distinct text of a step is encoded once, shortest beside shortest.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from model_store.text import TextTokenizer
from training.model.encoder import TextEncoder
from training.model.network import pad

TOKENS = 4096  # in one padded batch: about 100 MiB of activations in MiniLM


class Texts:
    """Text numbers in, pooled states out."""

    def __init__(self, texts: list[str], encoder: TextEncoder, tokenizer: TextTokenizer) -> None:
        self._encoder = encoder
        self._tokens = [torch.from_numpy(ids) for ids in tokenizer.encode_batch(texts)]
        self._kept: Tensor | None = None
        self._name = hashlib.sha256("\x00".join(texts).encode()).hexdigest()[:24]

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def kept(self) -> bool:
        """Whether pooled states are looked up rather than computed."""
        return self._kept is not None

    def keep(self, cache: Path, identity: str, progress: Progress) -> None:
        """Compute or read the pooled states, if the transformer never changes."""
        if not self._encoder.keeps_pooled:
            return
        longest = max(map(len, self._tokens))
        path = cache / f"{identity[:16]}-{self._name}-{longest}.npy"
        if not path.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            pooled = self.encode(np.arange(len(self)), progress).numpy()
            partial = path.with_suffix(".partial.npy")
            np.save(partial, pooled)
            partial.replace(path)
        self._kept = torch.from_numpy(np.load(path, allow_pickle=False))

    def pooled(self, numbers: Tensor) -> Tensor:
        """Pooled states (n, H) of texts by number, with gradients where the encoder learns."""
        if self._kept is not None:
            return self._kept[numbers]
        if self._encoder.frozen and not self._encoder.pooling.training:
            return self.encode(numbers.numpy(), None)
        order = sorted(range(len(numbers)), key=lambda place: len(self._tokens[int(numbers[place])]))
        parts = [self._run(numbers.numpy()[chunk]) for chunk in self._chunks(numbers.numpy(), order)]
        return torch.cat(parts)[torch.argsort(torch.tensor(order))]

    @torch.no_grad()
    def encode(self, numbers: NDArray[np.int64], progress: Progress | None) -> Tensor:
        """Pooled states of many texts without gradients, (n, H)."""
        order = sorted(range(len(numbers)), key=lambda place: len(self._tokens[int(numbers[place])]))
        bar = progress.add_task("encode texts", total=len(numbers)) if progress else None
        found = torch.empty(len(numbers), self._encoder.width)
        for chunk in self._chunks(numbers, order):
            found[chunk] = self._run(numbers[chunk])
            if progress and bar is not None:
                progress.advance(bar, len(chunk))
        return found

    def all(self, progress: Progress | None = None) -> Tensor:
        """Pooled states of every text, (T, H), without gradients."""
        return self._kept if self._kept is not None else self.encode(np.arange(len(self)), progress)

    def tokens(self, number: int) -> NDArray[np.int64]:
        """Token ids (L,) of one text."""
        return self._tokens[number].numpy()

    def _run(self, numbers: NDArray[np.int64]) -> Tensor:
        return self._encoder.pooled(*pad([self._tokens[number] for number in numbers]))

    def _chunks(self, numbers: NDArray[np.int64], order: list[int]) -> Iterator[list[int]]:
        """Places in order of length, cut where a padded batch would pass TOKENS."""
        chunk: list[int] = []
        for place in order:
            length = len(self._tokens[int(numbers[place])])
            if chunk and length * (len(chunk) + 1) > TOKENS:
                yield chunk
                chunk = []
            chunk.append(place)
        if chunk:
            yield chunk
