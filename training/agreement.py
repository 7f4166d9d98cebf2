"""What the configurations of tables that train one text encoder agree on."""

from collections.abc import Sequence

from training.config import Config
from training.errors import ConfigError

SHARED = {  # what the text encoder is made from, and how it learns
    "model": ("encoder", "freeze", "adapters", "rank", "pooling", "max_tokens", "dimension"),
    "training": ("optimizer", "schedule", "device", "precision"),
}


def agree(configs: Sequence[Config]) -> None:
    """ConfigError unless these tables can train one text encoder."""
    first = configs[0]
    for config in configs[1:]:
        for section, keys in SHARED.items():
            for key in keys:
                ours, theirs = (getattr(getattr(each, section), key) for each in (config, first))
                if ours != theirs:
                    raise ConfigError(
                        f"{config.name}: {section}.{key} = {ours!r}, but {theirs!r} in {first.name}; tables that "
                        "train one encoder need the same"
                    )
    names = [config.name for config in configs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"name = {twice[0]!r} of two configurations; runs and bundles are told apart by it")
