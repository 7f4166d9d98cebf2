"""The service's life: Redis, the model, and whether it is ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from app import redis_server
from app.admission import Admission
from app.choice import Choice
from app.errors import NotReady
from app.gate import Gate
from app.labels import Wish
from app.link import Link
from app.metrics import Metrics
from app.model import Model
from app.pulse import STUCK_SECONDS
from app.redis_server import RedisServer
from app.renewal import Renewal
from app.settings import Settings
from app.versions import Versions
from model_store.errors import ChorusError

if TYPE_CHECKING:
    from app.spans import Spans

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
    def kept(self) -> bool:
        """Whether what it keeps is told."""
        return not (self.link.away or self.link.denied)

    @property
    def condition(self) -> str:
        """Its kind, or what is wrong with it."""
        if self.kind == "none" or self.kept:
            return self.kind
        return "away" if self.link.away else "denied"

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
        return (
            url.rpartition("@")[2].partition("?")[0]
            if url
            else "none: no redis-server here; set CHORUS_REDIS_URL"
        )

    async def close(self) -> None:
        """Hang up, and end the embedded server."""
        await self.link.close()
        if self.server:
            await self.server.stop()


class Service:
    """Everything that one app holds. `start` returns at once; the model loads beside the first requests.

    metrics, embedded: of a worker, what it shares with the others; take: how versions change, in all workers or in
    none.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics | None = None, *, embedded: str | None = None
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.redis = Redis(settings, self.metrics, embedded)
        self.gate = Gate(settings.api_keys_file, self.metrics)
        self.admission = Admission(self.metrics, settings.max_wait_ms / 1_000)
        self.spans = _spans() if settings.traces else None
        self.draining = False
        self.failure: ChorusError | None = None
        self.versions = Versions(settings, self.metrics)
        self.take: Callable[[Wish], Awaitable[None]] = self.versions.take
        self._loading: asyncio.Task[None] | None = None
        self._renewal = Renewal(lambda wish: self.take(wish))  # noqa: PLW0108 a worker has it changed

    @property
    def choice(self) -> Choice:
        """Which version answers whom; NotReady until there is one."""
        choice = self.versions.choice
        if choice is None:
            raise NotReady("; ".join(self.reasons()) or "the model is loading; try again")
        return choice

    @property
    def model(self) -> Model:
        """The stable version; NotReady until there is one."""
        return self.choice.stable

    @property
    def models(self) -> list[Model]:
        """All versions that answer or are compared, the stable one first; NotReady until there is one."""
        return self.versions.active if self.choice else []

    @property
    def name(self) -> str | None:
        """Of the stable version, as in X-Model-Version, once there is one."""
        choice = self.versions.choice
        return choice.stable.name if choice else None

    @property
    def status(self) -> str:
        """One word for /health."""
        if self.draining:
            return "draining"
        if self.versions.choice is None:
            return "failed" if self.failure else "starting"
        return "ok" if self.redis.kept else "degraded"

    @property
    def stuck(self) -> float:
        """Seconds that the longest run of those that answer has lasted."""
        choice = self.versions.choice
        models = (choice.stable, choice.canary) if choice else ()
        return max((model.pools.longest for model in models if model), default=0.0)

    def reasons(self) -> list[str]:
        """Why the service is not ready; empty if it is."""
        reasons = []
        if self.failure:
            reasons.append(f"the model was refused: {self.failure}")
        elif self.versions.choice is None:
            reasons.append("the model is loading; try again")
        if (stuck := self.stuck) > STUCK_SECONDS:
            reasons.append(f"an inference has lasted {stuck:.0f} s: its thread hangs")
        if self.draining:
            reasons.append("draining: the service is about to stop")
        return reasons

    def tell(self) -> None:
        """Have the metric say, and other workers see, whether it is ready."""
        self.metrics.ready.set(0 if self.reasons() else 1)

    def drain(self) -> None:
        """Stop being ready; requests are still answered."""
        self.draining = True
        self.tell()

    def start(self) -> None:
        """Begin to load."""
        self._loading = asyncio.create_task(self._load())

    async def loaded(self) -> None:
        """Wait until the model is there or was refused."""
        if self._loading:
            await asyncio.wait([self._loading])

    def renew(self) -> None:
        """Serve the newest version, beside the requests; the log says what became of it."""
        self._renewal.ask()

    async def stop(self) -> None:
        """Let go of everything."""
        self.drain()
        if self._loading:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        await self._renewal.close()
        await self.versions.close()
        await self.gate.close()
        await self.redis.close()
        if self.spans:
            await asyncio.to_thread(self.spans.close)

    async def _load(self) -> None:
        try:
            await self.gate.open()
            await self.versions.begin(await self.redis.open())
        except ChorusError as error:
            self.failure = error
            return
        except Exception as error:  # nobody waits for this task: else it would load for ever, and not say why
            log.exception("the service could not start")
            self.failure = ChorusError(f"the service could not start: {error}")
            return
        self.tell()
        log.info("ready: %s, Redis %s", self.name, self.redis.place)


def _spans() -> "Spans":
    """What they need is an extra, and takes a third of a second to import."""
    from app.spans import Spans  # noqa: PLC0415

    return Spans()
