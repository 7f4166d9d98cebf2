"""The service's life: Redis, the model, and whether it is ready."""

import asyncio
import logging
import time
from contextlib import ExitStack

from app import golden, model, redis_server, warmup
from app.admission import Admission
from app.errors import NotReady
from app.gate import Gate
from app.link import Link
from app.metrics import Metrics
from app.model import Model
from app.redis_server import RedisServer
from app.settings import Settings
from model_store.errors import ChorusError

log = logging.getLogger(__name__)


class Redis:
    """Where the state lives: a server that was named, an embedded one, or none to be had.

    embedded: where one listens that another process of this service has started.
    """

    def __init__(self, settings: Settings, metrics: Metrics, embedded: str | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._embedded = embedded
        self.server: RedisServer | None = None
        self.link = Link(None, timeout=0.0, metrics=metrics)

    async def open(self) -> Link:
        """Connect, first starting the embedded server if none is named."""
        url = self._settings.redis_url or self._embedded
        if url is None:
            self.server = await redis_server.start(self._settings.redis_dir, self._metrics)
            url = self._embedded = self.server.url if self.server else None
        self.link = Link(
            url,
            timeout=self._settings.redis_timeout_ms / 1_000,
            metrics=self._metrics,
            readers=self._settings.redis_connections,
            tracked=self._settings.local_cache > 0,
        )
        await self.link.open()
        return self.link

    @property
    def kind(self) -> str:
        """external, embedded or none."""
        return "external" if self._settings.redis_url else "embedded" if self._embedded else "none"

    @property
    def place(self) -> str:
        """For people: where it listens, without a password, and what it keeps."""
        if self._embedded:
            kept = f"data in {self._settings.redis_dir}" if self._settings.redis_dir else "forgets at exit"
            return f"embedded, {kept}"
        url = self._settings.redis_url
        return url.rpartition("@")[2] if url else "none: no redis-server here; set CHORUS_REDIS_URL"

    async def close(self) -> None:
        """Hang up, and end the embedded server."""
        await self.link.close()
        if self.server:
            await self.server.stop()


class Service:
    """Everything that one app holds. `start` returns at once; the model loads beside the first requests.

    metrics, embedded: of a worker, what it shares with the others.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics | None = None, *, embedded: str | None = None
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.redis = Redis(settings, self.metrics, embedded)
        self.gate = Gate(settings.api_keys_file, self.metrics)
        self.admission = Admission(self.metrics, settings.max_wait_ms / 1_000)
        self.draining = False
        self.failure: ChorusError | None = None
        self._model: Model | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def model(self) -> Model:
        """The served model; NotReady until there is one."""
        if self._model is None:
            raise NotReady("; ".join(self.reasons()) or "the model is loading; try again")
        return self._model

    @property
    def label(self) -> str | None:
        """X-Model-Version, once there is a model."""
        return self._model.label if self._model else None

    @property
    def status(self) -> str:
        """One word for /health."""
        if self.draining:
            return "draining"
        if self._model is None:
            return "failed" if self.failure else "starting"
        return "degraded" if self.redis.link.away else "ok"

    def reasons(self) -> list[str]:
        """Why the service is not ready; empty if it is."""
        reasons = []
        if self.failure:
            reasons.append(f"the model was refused: {self.failure}")
        elif self._model is None:
            reasons.append("the model is loading; try again")
        if self.draining:
            reasons.append("draining: the service is about to stop")
        return reasons

    def drain(self) -> None:
        """Stop being ready; requests are still answered."""
        self.draining = True
        self.metrics.ready.set(0)

    def start(self) -> None:
        """Begin to load."""
        self._loading = asyncio.create_task(self._load())

    async def loaded(self) -> None:
        """Wait until the model is there or was refused."""
        if self._loading:
            await asyncio.wait([self._loading])

    async def stop(self) -> None:
        """Let go of everything."""
        self.drain()
        if self._loading:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        if self._model:
            await self._model.state.settle()
            self._model.close()
        await self.gate.close()
        await self.redis.close()

    async def _load(self) -> None:
        try:
            await self._open()
        except ChorusError as error:
            self._refuse(error)
        except (
            Exception
        ) as error:  # whatever a foreign bundle does to a library, the service says so and ends
            log.exception("the model could not be opened")
            self._refuse(ChorusError(f"the model could not be opened: {error}"))

    async def _open(self) -> None:
        await self.gate.open()
        start = time.perf_counter()
        opened = await model.build(self.settings, await self.redis.open(), self.metrics)
        with ExitStack() as undo:
            undo.callback(opened.close)
            await golden.check(opened, self.settings, self.metrics)
            await warmup.run(opened, self.settings, self.metrics)
            await opened.changes.start()  # only now: golden requests are answered by the bundle alone
            undo.pop_all()
        manifest = opened.manifest
        labels = (manifest.name, str(manifest.version), manifest.precision, manifest.fingerprint[:16])
        self.metrics.model.labels(*labels).set(1)
        if not opened.engine.features.layout.empty:
            self.metrics.prior.set(manifest.statistics_until)
        self.metrics.loads.labels("ready").inc()
        self.metrics.load_seconds.set(time.perf_counter() - start)
        self._model = opened
        self.metrics.ready.set(0 if self.draining else 1)
        log.info("ready: %s, Redis %s", opened.label, self.redis.place)

    def _refuse(self, error: ChorusError) -> None:
        self.metrics.loads.labels("refused").inc()
        self.failure = error
