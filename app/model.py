"""One bundle, opened for serving: checked, its golden requests answered, warmed up."""

import logging
import time
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.batcher import Batcher
from app.catalogue import Catalogue
from app.changes import Changes
from app.link import Link
from app.metrics import Metrics
from app.pace import Pace
from app.pulse import Threads
from app.recommender import Pools, Recommender
from app.register import Register
from app.settings import Settings
from app.state import State
from model_store.bundle import Bundle
from model_store.engine import Engine, cores, session
from model_store.fusion import Fusion
from model_store.manifest import Manifest
from model_store.scorer import Scorer
from model_store.shelf import Shelf
from model_store.text import TextTokenizer

log = logging.getLogger(__name__)

GPU_TOKENS = 8_192  # of one run on a GPU
CPU_TOKENS = 256  # on a CPU, where more gain nothing


@dataclass(frozen=True)
class Model:
    """What answers requests."""

    bundle: Bundle
    engine: Engine
    compiled: bool  # the heads are scored by the kernel
    catalogue: Catalogue
    changes: Changes
    state: State
    recommender: Recommender
    pools: Pools

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @cached_property
    def name(self) -> str:
        """Name and version, as in X-Model-Version."""
        return f"{self.manifest.name}/{self.manifest.version}"

    @cached_property
    def fusion(self) -> Fusion:
        """The bundle's own, prepared once."""
        return Fusion.default(self.manifest)

    @property
    def described(self) -> str:
        """For people."""
        return f"{self.name} ({self.manifest.precision}, {self.engine.device})"

    def close(self) -> None:
        """Let its threads end."""
        _end(self.changes, self.state, self.pools)

    def retire(self) -> None:
        """Close once the last request that holds it is answered."""
        weakref.finalize(self, _end, self.changes, self.state, self.pools).atexit = False


def _end(changes: Changes, state: State, pools: Pools) -> None:
    changes.close()
    state.close()
    pools.texts.close()
    pools.heads.shutdown(wait=False, cancel_futures=True)


async def read(settings: Settings, pace: Pace, served: Model | None = None) -> tuple[Bundle, Engine, Scorer]:
    """The bundle that the settings name, all of it read, and its graphs; raises what is wrong with it."""

    def opener(*asked: Any, **options: Any) -> Any:
        return pace.give_way(lambda: session(*asked, **options))

    def opened() -> Bundle:
        shelf, together = Shelf(settings.store), pace.few(cores())
        return shelf.open(settings.model, settings.version, settings.pins, at_once=together)

    bundle = await pace.run(lambda: pace.give_way(opened))
    tokenizer = _tokenizer(bundle, served)
    engine = await pace.run(lambda: Engine(bundle, settings.device, opener=opener, tokenizer=tokenizer))
    scorer = await pace.run(lambda: Scorer(bundle, engine.features, opener))
    await pace.run(lambda: bundle.index)  # here, and not when the first request needs them
    await pace.run(lambda: bundle.items.rows)
    await pace.each(bundle.items.touched())
    await pace.each(scorer.checks(bundle, engine))
    return bundle, engine, scorer


async def build(
    settings: Settings,
    link: Link,
    metrics: Metrics,
    pace: Pace | None = None,
    *,
    served: Model | None = None,
) -> Model:
    """Open the bundle that the settings name. Its golden requests are not answered yet.

    served: another version, with which it shares what is the same.
    """
    start, pace = time.perf_counter(), pace or Pace(beside=False)
    bundle, engine, scorer = await read(settings, pace, served)
    threads = max(1, cores() // settings.workers)
    pools = Pools(
        texts=Batcher(
            engine,
            metrics,
            threads=threads,
            most=settings.max_waiting_tokens,
            tokens=_tokens(settings, engine),
        ),
        heads=Threads(threads, "heads"),
    )

    def assemble() -> Model:
        manifest = bundle.manifest
        catalogue = Catalogue(bundle.items, manifest, scorer.parts, index=bundle.index)
        changes = Changes(Register(link, manifest), catalogue, manifest, texts=pools.texts, metrics=metrics)
        state = State(link, settings, manifest, engine.features)
        recommender = Recommender(
            engine, scorer, catalogue, state=state, pools=pools, settings=settings, metrics=metrics
        )
        return Model(bundle, engine, scorer.compiled, catalogue, changes, state, recommender, pools)

    opened = await pace.run(assemble)
    log.info("opened %s in %.1f s", bundle.folder, time.perf_counter() - start)
    return opened


def _tokenizer(bundle: Bundle, served: Model | None) -> TextTokenizer | None:
    """That of the other version, if it is the same: to read one takes the interpreter's lock for 15 ms."""
    if served is None:
        return None
    one, other = served.manifest, bundle.manifest
    same = [(each.files.get("tokenizer.json"), each.max_tokens) for each in (one, other)]
    return served.engine.tokenizer if same[0] == same[1] else None


def _tokens(settings: Settings, engine: Engine) -> int:
    """Of one run of the text encoder; on a CPU texts run together only where that changes no bit."""
    if settings.batch_tokens is not None:
        return settings.batch_tokens
    if engine.device == "cuda":
        return GPU_TOKENS
    return CPU_TOKENS if engine.exact else 0
