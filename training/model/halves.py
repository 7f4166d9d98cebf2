"""A transformer in two: the lower layers, which never change, and the last ones, which learn.

What the lower half makes of a text is the same in every epoch, so it is computed once; a step runs the upper half.
Both share the weights of the transformer, which stays whole: what is exported knows nothing of it.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import EncoderError


class Halves:
    """The two halves of a transformer of which the last layers learn."""

    def __init__(self, transformer: nn.Module, last: int) -> None:
        """`last`: how many learn, one at least."""
        self._whole = transformer
        path, layers = stack(transformer)
        self._first = layers[-last]
        self._upper = _shortened(transformer, path, last)

    @torch.no_grad()
    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, L) token ids and mask -> (B, L, H), what the first layer that learns is given."""
        hook = self._first.register_forward_pre_hook(_stop)
        try:
            self._whole(input_ids=ids, attention_mask=mask)
        except Reached as reached:
            return reached.states
        finally:
            hook.remove()
        raise RuntimeError("the transformer ended before its last layers")

    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, L, H) of the lower half -> (B, L, H) of the transformer."""
        found: Tensor = self._upper(inputs_embeds=states, attention_mask=mask).last_hidden_state
        return found


class Reached(Exception):
    """The first layer that learns has its input."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


class Given(nn.Module):
    """In place of a transformer's embeddings: what it is given, as it is."""

    def forward(self, *others: Tensor | None, inputs_embeds: Tensor | None = None, **_: Any) -> Tensor:
        """inputs_embeds (B, L, H), by name or among the others -> the same."""
        given = (inputs_embeds, *others)
        return next(each for each in given if each is not None and each.is_floating_point())


def stack(transformer: nn.Module) -> tuple[list[str], nn.ModuleList]:
    """Where the blocks of a transformer are, and they: the longest list of modules, whatever it is called.

    Raises EncoderError if there is none.
    """
    stacks = [(name, each) for name, each in transformer.named_modules() if isinstance(each, nn.ModuleList)]
    if not stacks:
        raise EncoderError(
            "model.freeze = last:N and model.adapters need an encoder with a list of layers; use freeze = all or none"
        )
    name, layers = max(stacks, key=lambda each: len(each[1]))
    return name.split("."), layers


def _shortened(transformer: nn.Module, path: list[str], last: int) -> nn.Module:
    """The transformer, which is given its embeddings and has its last layers alone."""
    twin: nn.Module = _twin(transformer)
    above: Any = twin
    twin._modules["embeddings"] = Given()
    *parents, layers = path
    for name in parents:
        above._modules[name] = _twin(above._modules[name])
        above = above._modules[name]
    above._modules[layers] = above._modules[layers][-last:]
    return twin


def _twin(module: Any) -> Any:
    """A module with the same parts, which may be changed for others."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _stop(_: nn.Module, given: tuple[Any, ...]) -> None:
    raise Reached(given[0])
