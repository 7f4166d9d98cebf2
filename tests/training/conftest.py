"""A tiny real encoder, and the run that the tiny bundle came from."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress

from model_store.bundle import Bundle
from tests import tiny
from tests.training import toy
from training import pipeline
from training.pipeline import Workbench
from training.run import Run


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums on one thread are the same bits every time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A command owns its process and sets it up for speed; here it runs inside of ours."""
    yield
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def progress() -> Iterator[Progress]:
    with Progress(disable=True) as progress:
        yield progress


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an encoder with random weights that knows the words of the toy tables."""
    texts = toy.items()["text"].to_list() + [row["text:mood"] or "" for row in toy.log()]
    return tiny.encoder(tmp_path_factory.mktemp("encoder") / "bert", [*texts, *toy.USERS.values()])


@pytest.fixture(scope="session")
def opened(bundle: Path) -> Bundle:
    """The tiny bundle, opened."""
    return Bundle.open(bundle)


@pytest.fixture(scope="session")
def run(bundle: Path) -> Run:
    """The run that the tiny bundle was published from."""
    return Run(bundle.parents[2] / "runs" / "tiny")


@pytest.fixture(scope="session")
def bench(run: Run, progress: Progress) -> Workbench:
    """Its workbench, with the trained weights."""
    found = pipeline.prepare(run.config, run.folder.parents[1] / "cache", progress)
    run.best(found.network)
    found.network.eval()
    return found


@pytest.fixture(scope="session")
def workbench(
    bert: Path, tmp_path_factory: pytest.TempPathFactory, progress: Progress
) -> Callable[..., Workbench]:
    """A new workbench on the toy log; the same arguments make the same one."""
    cache = tmp_path_factory.mktemp("cache")

    def make(seed: int = 0, **sections: dict[str, Any]) -> Workbench:
        model = {"encoder": str(bert), **sections.pop("model", {})}
        return pipeline.bench(toy.made(seed=seed, model=model, **sections), cache, progress, [])

    return make
