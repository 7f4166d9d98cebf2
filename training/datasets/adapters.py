"""The public data sets that can be turned into tables and a configuration."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from training.datasets import collm, ebnerd, homedepot, movielens


class Source(StrEnum):
    """Public data sets with an adapter."""

    ebnerd = "ebnerd"
    homedepot = "homedepot"
    movielens = "movielens"
    collm = "collm"


ADAPTERS: dict[Source, Callable[[Path, Path], Path]] = {
    Source.ebnerd: ebnerd.convert,
    Source.homedepot: homedepot.convert,
    Source.movielens: movielens.convert,
    Source.collm: collm.convert,
}
