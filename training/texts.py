"""All texts of a data set, tokenised once; what never changes of them is encoded once too.

Frozen, the pooled states (T, H) are computed once and kept in a cache file that is named by everything
that decides them. Where the last layers learn, the states (tokens, H) that they are given are kept likewise, and
read from the disk as they are needed. Each distinct text of a step is encoded once, shortest beside shortest.

What a step keeps for its gradient grows with its texts. With checkpointing it is (n, H) alone: going back, each
padded batch is computed again, for as little memory as one needs (Chen et al., arXiv 1604.06174). Unlike gradients
that are added up over small batches, these are the whole batch's, of whatever loss, balance and negatives.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model_store.text import TextTokenizer
from training.device import Device
from training.model.encoder import TextEncoder
from training.model.network import pad

CPU = Device(torch.device("cpu"))
TOKENS = 4096  # in one padded batch: about 100 MiB of activations in MiniLM


class Texts:
    """Text numbers in, pooled states out."""

    def __init__(
        self,
        texts: list[str],
        encoder: TextEncoder,
        tokenizer: TextTokenizer,
        device: Device = CPU,
        *,
        checkpointing: bool = False,
    ) -> None:
        self._encoder, self._device, self._checkpointing = encoder, device, checkpointing
        encoder.move(device.place)
        self._tokens = [torch.from_numpy(ids) for ids in tokenizer.encode_batch(texts)]
        self._starts = np.cumsum([0, *map(len, self._tokens)])  # (T + 1,) of the texts among all tokens
        self._kept: Tensor | None = None
        self._states: NDArray[np.float32] | None = None
        self._name = hashlib.sha256("\x00".join(texts).encode()).hexdigest()[:24]

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return self._encoder.place

    @property
    def kept(self) -> bool:
        """Whether pooled states are looked up rather than computed."""
        return self._kept is not None

    def share(self, token: int | None) -> float:
        """Share of all tokens that are this one."""
        tokens = torch.cat(self._tokens)
        return 0.0 if token is None else float((tokens == token).float().mean())

    def keep(self, cache: Path, identity: str, progress: Progress) -> None:
        """Compute or read what never changes: the pooled states, or those that the layers that learn are given."""
        longest = max(map(len, self._tokens))
        name = f"{identity[:16]}-{self._name}-{longest}"
        if self._encoder.keeps_pooled:
            path = self._made(cache / f"{name}.npy", self._write_pooled, progress)
            self._kept = torch.from_numpy(np.load(path, allow_pickle=False))
        elif self._encoder.learned:
            path = self._made(cache / f"{name}-last{self._encoder.learned}.npy", self._write_states, progress)
            self._states = np.load(path, mmap_mode="r", allow_pickle=False)

    @staticmethod
    def _made(path: Path, write: Callable[[Path, Progress], None], progress: Progress) -> Path:
        """A file that is there whole or not at all."""
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npy")
            write(partial, progress)
            partial.replace(path)
        return path

    def _write_pooled(self, path: Path, progress: Progress) -> None:
        np.save(path, self.encode(np.arange(len(self)), progress).numpy())

    def _write_states(self, path: Path, progress: Progress) -> None:
        """The states of all tokens of all texts, one text after the other."""
        shape = (int(self._starts[-1]), self._encoder.width)
        file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        numbers = np.arange(len(self))
        bar = progress.add_task("encode texts", total=len(numbers))
        for chunk in self._chunks(numbers, self._by_length(numbers)):
            ids, mask = pad([self._tokens[number] for number in chunk])
            found = self._encoder.halves.lower(*self._there(ids, mask)).cpu().numpy()
            for number, states in zip(chunk, found, strict=True):
                start, stop = self._starts[number : number + 2]
                file[start:stop] = states[: stop - start]
            progress.advance(bar, len(chunk))
        file.flush()

    def pooled(self, numbers: Tensor) -> Tensor:
        """Pooled states (n, H) of texts by number, with gradients where the encoder learns."""
        if self._kept is not None:
            return self._kept[numbers]
        if self._encoder.frozen and not self._encoder.pooling.training:
            return self.encode(numbers.numpy(), None)
        order = self._by_length(numbers.numpy())
        with self._device.step():
            parts = [self._learn(numbers.numpy()[chunk]) for chunk in self._chunks(numbers.numpy(), order)]
        return torch.cat(parts)[torch.argsort(torch.tensor(order))]

    @torch.no_grad()
    def encode(self, numbers: NDArray[np.int64], progress: Progress | None) -> Tensor:
        """Pooled states of many texts without gradients, (n, H)."""
        order = self._by_length(numbers)
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

    def chosen(self, numbers: NDArray[np.int64]) -> Tensor:
        """Pooled states (n, H) of texts by number, without gradients."""
        return self._kept[numbers] if self._kept is not None else self.encode(numbers, None)

    def some(self, numbers: NDArray[np.int64]) -> Tensor:
        """The same of some texts, zeros for the others unless they are kept."""
        if self._kept is not None:
            return self._kept
        found = torch.zeros(len(self), self._encoder.width)
        found[numbers] = self.encode(numbers, None)
        return found

    def tokens(self, number: int) -> NDArray[np.int64]:
        """Token ids (L,) of one text."""
        return self._tokens[number].numpy()

    def _learn(self, numbers: NDArray[np.int64]) -> Tensor:
        if not self._checkpointing:
            return self._run(numbers)
        here = torch.empty(0, device=self.device)  # whose random numbers are to be the same again
        found: Tensor = checkpoint(lambda numbers, _: self._run(numbers), numbers, here, use_reentrant=False)
        return found

    def _run(self, numbers: NDArray[np.int64]) -> Tensor:
        if self._states is None:
            found = self._encoder.pooled(*self._there(*pad([self._tokens[number] for number in numbers])))
        else:
            spans = [slice(*self._starts[number : number + 2]) for number in numbers]
            states = [torch.from_numpy(self._states[span].copy()) for span in spans]
            found = self._encoder.finished(*self._there(*pad(states)))
        return found.float().cpu()

    def _there(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens or states, and their mask, where the encoder is."""
        place = self._encoder.place
        return values.to(place), mask.to(place)

    def _by_length(self, numbers: NDArray[np.int64]) -> list[int]:
        """Places of the numbers, the shortest text first."""
        return sorted(range(len(numbers)), key=lambda place: len(self._tokens[int(numbers[place])]))

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
