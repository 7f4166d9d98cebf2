"""The app as tests want it: ready, on a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.settings import Settings
from tests.live import RealRedis, running


@pytest.fixture(scope="session")
def shelf(bundle: Path) -> Path:
    return bundle.parent.parent


@pytest.fixture(scope="session")
def settings(shelf: Path, redis_server: RealRedis) -> Settings:
    """Patient with Redis: a busy test machine is not a broken Redis."""
    return Settings(store=shelf, redis_url=redis_server.url, redis_timeout_ms=2_000)


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient]:
    """One app for all tests that leave nothing behind but users of their own."""
    with running(settings) as client:
        yield client
