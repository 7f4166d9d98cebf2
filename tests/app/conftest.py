"""The app as tests want it: ready, on a real Redis."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.settings import Settings
from model_store.bundle import Bundle
from model_store.shelf import Shelf
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


@pytest.fixture
def republished(bundle, tmp_path, redis_server):
    """Publishes the bundle again with other golden or warm-up lines; returns settings that serve it."""

    def publish(name, lines):
        shelf, manifest = Shelf(tmp_path), Bundle.open(bundle).manifest
        with shelf.draft(manifest.name) as draft:
            for path in bundle.iterdir():
                if path.name != "manifest.json":
                    (draft / path.name).write_bytes(path.read_bytes())
            (draft / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
            shelf.publish(draft, manifest)
        return Settings(store=tmp_path, redis_url=redis_server.url, redis_timeout_ms=2_000)

    return publish
