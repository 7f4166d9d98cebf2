"""What can be wrong on the way from tables to a bundle, as a tree.

ChorusError               (model_store.errors) everything that this project raises on purpose
└── TrainingError         a run cannot go on; the message names the place and the fix
    ├── ConfigError       the TOML file: unknown key, wrong value, impossible combination
    │   └── Diverged      with these values the metric that decides is undefined
    ├── DataError         the tables: missing file or column, too many bad rows, an empty split
    ├── EncoderError      the pre-trained text encoder is absent or not the file it should be
    └── GateError         the exported graphs do not compute what torch computes
"""

from model_store.errors import ChorusError


class TrainingError(ChorusError):
    """A run cannot go on."""


class ConfigError(TrainingError):
    """The configuration names something that does not exist or cannot work."""


class Diverged(ConfigError):
    """With these values the metric that decides is undefined."""


class DataError(TrainingError):
    """The tables cannot be used."""


class EncoderError(TrainingError):
    """The pre-trained text encoder is absent, or not the one that it should be."""


class GateError(TrainingError):
    """The exported graphs do not compute what torch computes."""
