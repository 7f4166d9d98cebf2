"""Small tables with a search."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.training.search.tables import write


@pytest.fixture(scope="session")
def written(bert: Path) -> Callable[..., Path]:
    """Writes tables and a configuration into a folder; the configuration's path."""
    return partial(write, bert=bert)
