"""One bundle, opened for serving: checked, its golden requests answered, warmed up."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from app.batcher import Batcher
from app.catalogue import Catalogue
from app.changes import Changes
from app.fusion import Fusion
from app.link import Link
from app.metrics import Metrics
from app.recommender import Pools, Recommender
from app.register import Register
from app.settings import Settings
from app.state import State
from model_store.bundle import Bundle
from model_store.engine import Engine, cores
from model_store.manifest import Manifest
from model_store.scorer import Scorer
from model_store.shelf import Shelf

log = logging.getLogger(__name__)

GPU_TOKENS = 8_192  # of one run on a GPU


@dataclass(frozen=True)
class Model:
    """What answers requests."""

    bundle: Bundle
    engine: Engine
    catalogue: Catalogue
    changes: Changes
    state: State
    recommender: Recommender
    pools: Pools

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @cached_property
    def label(self) -> str:
        """Name and version, as in X-Model-Version."""
        return f"{self.manifest.name}/{self.manifest.version}"

    @cached_property
    def fusion(self) -> Fusion:
        """The bundle's own, prepared once."""
        return Fusion.default(self.manifest)

    @property
    def described(self) -> str:
        """For people."""
        return f"{self.label} ({self.manifest.precision}, {self.engine.device})"

    def close(self) -> None:
        """Let its threads end."""
        self.changes.close()
        self.pools.texts.close()
        self.pools.heads.shutdown(wait=False, cancel_futures=True)


async def read(settings: Settings) -> tuple[Bundle, Engine, Scorer]:
    """The bundle that the settings name, and its graphs; raises what is wrong with it."""

    def work() -> tuple[Bundle, Engine, Scorer]:
        bundle = Shelf(settings.store).open(settings.model, settings.version)
        engine = Engine(bundle, settings.device)
        scorer = Scorer(bundle, engine.features)
        scorer.check(bundle, engine)
        return bundle, engine, scorer

    return await asyncio.to_thread(work)


async def build(settings: Settings, link: Link, metrics: Metrics) -> Model:
    """Open the bundle that the settings name. Its golden requests are not answered yet."""
    start = time.perf_counter()
    bundle, engine, scorer = await read(settings)
    manifest = bundle.manifest
    threads = max(1, cores() // settings.workers)
    pools = Pools(
        texts=Batcher(
            engine,
            metrics,
            threads=threads,
            most=settings.max_waiting_texts,
            tokens=_tokens(settings, engine),
        ),
        heads=ThreadPoolExecutor(threads, thread_name_prefix="heads"),
    )
    catalogue = Catalogue(bundle.items, manifest, scorer.parts, index=bundle.index)
    changes = Changes(Register(link, manifest), catalogue, manifest, texts=pools.texts, metrics=metrics)
    state = State(link, settings, manifest, engine.features)
    recommender = Recommender(
        engine, scorer, catalogue, state=state, pools=pools, settings=settings, metrics=metrics
    )
    log.info("opened %s in %.1f s", bundle.folder, time.perf_counter() - start)
    return Model(bundle, engine, catalogue, changes, state, recommender, pools)


def _tokens(settings: Settings, engine: Engine) -> int:
    """Of one run of the text encoder; batches pay on a GPU alone."""
    if settings.batch_tokens is not None:
        return settings.batch_tokens
    return GPU_TOKENS if engine.device == "cuda" else 0
