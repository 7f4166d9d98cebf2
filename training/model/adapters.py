"""Adapters: small parts beside the layers that learn, which learn in place of all their weights.

model.adapters   what a linear layer W computes   where
lora             W x + 2 B A x, of rank r         every linear layer (Hu et al., arXiv 2106.09685)
ia3              l * (W x), or W (l * x)          keys and values; the way back from the wide layer (arXiv 2205.05638)

At first they change nothing: B is 0, l is 1. The weights below stay as they came, to the bit, until `plain` puts what
was learned into a copy of them: what is exported is a transformer without adapters, and costs what it always did.
"""

import copy
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from torch import nn

from training.errors import EncoderError
from training.model.halves import stack

Whole = TypeVar("Whole", bound=nn.Module)
# what the layers that make keys and values are called, in one BERT or another
KEYS_AND_VALUES = re.compile(r"(key|value|k|v|k_lin|v_lin|k_proj|v_proj|key_proj|value_proj)")


def adapt(transformer: nn.Module, kind: str, rank: int) -> None:
    """Put adapters into the linear layers that learn; from here on they alone learn.

    Raises EncoderError if there is nowhere to put them.
    """
    from peft import IA3Config, LoraConfig, inject_adapter_in_model  # noqa: PLC0415 three seconds, for these runs only

    path, blocks = stack(transformer)
    found = blocks.named_modules(prefix=".".join(path))
    layers = {name: each for name, each in found if isinstance(each, nn.Linear) and each.weight.requires_grad}
    if not layers:
        raise EncoderError(
            f'model.adapters = "{kind}" needs linear layers, which the encoder\'s blocks have not; use "none"'
        )
    if kind == "lora":
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_any(list(layers)))
    else:
        back = [name for name, each in layers.items() if each.in_features > each.out_features]
        config = IA3Config(target_modules=_any(_attended(layers) + back), feedforward_modules=_any(back))
    inject_adapter_in_model(config, transformer)


def plain(module: Whole) -> Whole:
    """A copy in which what the adapters learned is in the weights; the module itself if there are none."""
    if not any(map(_adapts, module.modules())):
        return module
    found = copy.deepcopy(module)
    adapters: list[tuple[str, Any]] = [pair for pair in found.named_modules() if _adapts(pair[1])]
    for name, each in adapters:
        each.merge()
        found.set_submodule(name, each.get_base_layer())
    return found


def decays(name: str) -> bool:
    """Whether weights of that name may be drawn towards 0: those of IA3 begin at 1, where they do nothing."""
    return ".ia3_l." not in name


def _adapts(module: nn.Module) -> bool:
    """Whether it is a layer of peft's, around one of the transformer's."""
    return hasattr(module, "get_base_layer")


def _attended(layers: Iterable[str]) -> list[str]:
    attended = [name for name in layers if KEYS_AND_VALUES.fullmatch(name.rpartition(".")[2])]
    if not attended:
        raise EncoderError(
            'model.adapters = "ia3" needs keys and values in linear layers of their own, which this encoder has not; '
            'use "lora"'
        )
    return attended


def _any(names: list[str]) -> str:
    """An expression for these names and no others: of lists, peft takes names that end alike, too."""
    return "|".join(map(re.escape, names))
