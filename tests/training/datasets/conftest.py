"""Files for the tables' tests, and the public data where it is to be had."""

import os
from pathlib import Path

import pytest

from training import config
from training.config import Config
from training.datasets import collm, ebnerd, homedepot, movielens

PUBLIC = Path(os.environ.get("CHORUS_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
ADAPTERS = {
    "ebnerd": (ebnerd.convert, "ebnerd-demo"),
    "homedepot": (homedepot.convert, "home-depot"),
    "movielens": (movielens.convert, "movielens-100k"),
    "collm": (collm.convert, "movielens-1m-collm"),
}


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory):
    """Name of an adapter -> its configuration, converted once a session; skips where the data is absent."""
    made: dict[str, Config] = {}

    def convert(name: str) -> Config:
        adapter, folder = ADAPTERS[name]
        if not (PUBLIC / folder).is_dir():
            pytest.skip(f"no {folder} in {PUBLIC}; set CHORUS_DATA to the folder that holds it")
        if name not in made:
            made[name] = config.read(adapter(PUBLIC / folder, tmp_path_factory.mktemp(name)))
        return made[name]

    return convert
