"""The optimiser and its rates: which one `training.optimizer` names, and how `training.schedule` moves its rates.

all parameters that learn ─▶ groups, by rate and by decay ─▶ an optimiser of torch
share of the rate:  0 ─ warm-up, straight ─▶ 1 ─ linear, cosine or constant ─▶ 0, 0 or 1 after the last step

All that an optimiser and a schedule know is in their state_dict, so a run that goes on is the same run.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim import SGD, Adafactor, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from training.sections import TrainingConfig
from training.study import Study

KINDS: dict[str, Callable[..., Optimizer]] = {
    "adamw": partial(AdamW, fused=True),
    "adam": partial(Adam, fused=True),
    "rmsprop": RMSprop,
    "sgd": partial(SGD, momentum=0.9),
    "adafactor": Adafactor,
}
SCHEDULES: dict[str, Callable[[float], float]] = {  # of the share of steps that is left after the warm-up
    "linear": lambda left: left,
    "cosine": lambda left: (1.0 - math.cos(math.pi * min(left, 1.0))) / 2.0,
    "constant": lambda _: 1.0,
}


def made(studies: Sequence[Study], steps: int) -> tuple[Optimizer, LambdaLR]:
    """As the first one's configuration names it, over epochs of so many steps; rates and decay are each one's own."""
    config = studies[0].config
    optimiser = KINDS[config.optimizer](_groups(studies))
    return optimiser, LambdaLR(optimiser, course(config, steps))


def course(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    """The share of its rate that a step has: linear warm-up, then as the schedule says."""
    total = max(config.epochs * steps, 1)
    warm = max(int(config.warmup * total), 1)
    falls = SCHEDULES[config.schedule]

    def rate(step: int) -> float:
        return min((step + 1) / warm, falls(max(total - step, 0) / max(total - warm, 1)))

    return rate


def _groups(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Those of all networks; what they share is in those of the first."""
    groups, met = [], set[int]()
    for study in studies:
        own, adapted = study.config, study.dataset.config.model.adapters != "none"
        inner = own.lr_adapters if adapted else own.lr_encoder
        for group in study.network.parameter_groups(own.lr_heads, inner, own.weight_decay):
            new: list[torch.nn.Parameter] = [each for each in group["params"] if id(each) not in met]
            met |= {id(each) for each in new}
            groups.append({**group, "params": new})
    return groups
