"""Where the text encoder is computed: on the graphics card where there is one, else on the processor.

texts ─▶ tokens ─▶ transformer and pooling, there ─▶ (n, H) ─▶ all the rest, small as it is, on the processor

Steps of an encoder that learns are in bfloat16 on a card that has it. What is kept on disk, judged or exported is
in fp32 everywhere, as it will be served.
"""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from training.errors import ConfigError
from training.sections import TrainingConfig


@dataclass(frozen=True)
class Device:
    """A place, and whether steps are in bfloat16 there."""

    place: torch.device
    bf16: bool = False

    @classmethod
    def of(cls, config: TrainingConfig) -> "Device":
        """As the configuration wants it; of several cards, each process of a torchrun takes its own.

        Raises ConfigError if there is none and it wants one, or if the card has no bfloat16.
        """
        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if config.device == "cuda" and not cards:
            raise ConfigError(
                'training.device = "cuda", but torch finds no card; install torch with CUDA, or take "auto"'
            )
        if config.device == "cpu" or not cards:
            return cls(torch.device("cpu"), config.precision == "bf16")
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % cards)
        torch.cuda.set_device(place)
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        if config.precision == "bf16" and not able:
            raise ConfigError('training.precision = "bf16", but this card has none; take "auto" or "fp32"')
        return cls(place, able and config.precision != "fp32")

    def step(self) -> AbstractContextManager[None]:
        """What the encoder's part of a step is computed in."""
        return torch.autocast(self.place.type, torch.bfloat16, enabled=self.bf16)
